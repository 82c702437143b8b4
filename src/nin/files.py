"""How is a file written, whole or not at all, and how is JSON read back?"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from nin.errors import FileError, OptionError

Kind = TypeVar("Kind")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole: under a temporary name beside it, to the disk, then renamed, so that nobody meets half of it.

    The folder that it lies in is made if it is missing.

    Raises:
        FileError: the disk is full, or the folder cannot be written; what was there stays.

    """
    write_all({path: content})


def write_all(contents: dict[Path, bytes | str]) -> None:
    """Write several files whole; none takes its name before all of them are on the disk. Raises what `write` does."""
    temporary: dict[Path, Path] = {}
    path = None
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            temporary[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            path.parent.mkdir(exist_ok=True)
            with temporary[path].open("wb") as file:
                file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            temporary[path].replace(path)
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileError(f"cannot write {path}: {reason}; make room or write elsewhere") from error
    finally:
        for left in temporary.values():
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)


def remove_temporary_files(folder: Path) -> None:
    """Remove what a process that was killed while writing has left in `folder`."""
    for left in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(left.name) and left.is_file():
            left.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON; a number that is not finite becomes null. Raises what `write` does."""
    write(path, msgspec.json.format(_encode(path, content), indent=2) + b"\n")


def write_json_lines(path: Path, lines: Sequence[Any]) -> None:
    """Write one JSON object a line. Raises what `write` does."""
    write(path, b"".join(_encode(path, line) + b"\n" for line in lines))


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        FileError: it cannot be read.

    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileError(f"cannot read {path}: {reason}; check its name and permissions") from error


def read_json(path: Path, kind: type[Kind] | Any = Any) -> Kind:
    """Read a JSON file as `kind`, any type that msgspec decodes.

    Raises:
        FileError: it cannot be read, is not JSON, or does not hold a `kind`.

    """
    return _decode(path, read_bytes(path), kind)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line. Raises what `read_json` does."""
    return [_decode(path, line, dict[str, Any]) for line in read_bytes(path).splitlines()]


def check_types(struct: msgspec.Struct) -> None:
    """Check that every field has its declared type, so that the struct can be written and read back.

    Raises:
        OptionError: the first field that has another type, with its value.

    """
    for field, kind in get_type_hints(type(struct)).items():
        value = getattr(struct, field)
        try:
            msgspec.convert(value, kind)
            msgspec.json.encode(value)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise OptionError(f"{field} has the wrong type or value ({error}): {value!r}") from error


def _encode(path: Path, content: Any) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError as error:
        raise FileError(f"cannot write {path}: {error.object!r} is not valid text; rename it") from error


def _decode(path: Path, content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise FileError(f"{path}: {error}; was it edited, or written by another version?") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"{path} is not JSON: {error}; was it edited or cut off?") from error
