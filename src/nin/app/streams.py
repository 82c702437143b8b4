"""How does a command read stdin, and write to stdout and stderr, whoever has closed them?"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nin.errors import FileError
from nin.text import printable

_LONGEST_NAME = 1_000_000  # bytes


def complain(message: str) -> int:
    """Print one line to stderr, if there is one, and return the exit code 2."""
    if sys.stderr is not None:  # print would take stdout in its place
        with contextlib.suppress(OSError):
            print(f"nin: {printable(message)}", file=sys.stderr)
    return 2


def mute(stream: Literal["stdout", "stderr"] = "stdout") -> None:
    """Discard what is still printed to a stream, once its reader has gone."""
    setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115 - to the end of the process


def names_on_stdin(*, end: bytes) -> Iterator[Path]:
    """Yield the names on stdin as they come, each ended by a line feed or NUL; the last may lack it.

    Raises:
        FileError: they cannot be read, or one is too long to be a name.

    """
    left = b""
    while content := _read_stdin():
        *names, left = (left + content).split(end)
        if len(left) > _LONGEST_NAME:
            raise FileError("standard input has a name of over a million bytes: is it a list of names?")
        yield from _paths(names, end)
    yield from _paths([left], end)


def _read_stdin() -> bytes:
    """Return what is there to read, waiting for some; nothing at the end. Raises FileError."""
    while True:
        try:
            # Unbuffered: a thread that waits in sys.stdin when the program ends would make Python abort.
            return os.read(0, 2**16)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError as error:
            raise FileError(f"cannot read names from standard input: {error.strerror}; give it some") from error


def _paths(names: list[bytes], end: bytes) -> Iterator[Path]:
    for name in names:
        if shown := name.removesuffix(b"\r") if end == b"\n" else name:  # a list from Windows
            try:
                yield Path(os.fsdecode(shown))
            except UnicodeDecodeError as error:  # only on Windows: elsewhere names are bytes
                raise FileError(f"standard input has the name {shown!r}; write the list as UTF-8") from error
