"""Which photos does a file of answers have already, and how do more get into it?"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from nin.errors import FileError
from nin.text import printable

_WAY_OUT = "name another file with --resume"


class Answers:
    """A file of JSON Lines, an answer each, that a run which was killed may have left; as a context manager.

    Args:
        path: of the file; made if it is missing.
        model: what identifies the model, and how it is asked; in each answer.

    Raises:
        FileError: it cannot be opened, or another process writes it.

    """

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        self.count = self.errors = 0  # of the answers that were there
        self.lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self.lock.acquire(timeout=0)
            path.touch()
            self.file: BinaryIO = path.open("r+b")
        except Timeout:
            raise FileError(f"another process writes {path}: wait for it, or {_WAY_OUT}") from None
        except (OSError, ValueError, NotImplementedError) as error:  # ValueError: the name holds a NUL
            self._unlock()
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"cannot write {path}: {reason}; {_WAY_OUT}") from error

    def __enter__(self) -> "Answers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        self._unlock()

    def skip(self, photos: Iterator[Path]) -> Iterator[Path]:
        """Return the photos that are not answered yet, and cut off an answer that was not written to its end.

        Raises:
            FileError: the file is of other photos, of another model, or holds something else.

        """
        whole = 0
        for line in self.file:
            self.count += 1
            photo = next(photos, None)
            if not line.endswith(b"\n"):
                self._check_unfinished(line, photo)
                self.count -= 1
                photos = itertools.chain(() if photo is None else (photo,), photos)
                break
            self._check(line, photo)
            whole += len(line)
        self.file.seek(whole)
        self.file.truncate()
        return photos

    def write(self, answer: dict[str, Any]) -> None:
        """Append an answer, and hand it to the system: a kill of this process then loses none of it."""
        self.file.write(to_line(answer).encode())
        self.file.flush()

    def _check(self, line: bytes, photo: Path | None) -> None:
        where = f"{self.path}, line {self.count}"
        try:
            answer = json.loads(line)
            named, model = answer["photo"], answer["model"]
            self.errors += "error" in answer
        except (ValueError, TypeError, KeyError) as error:
            raise FileError(f"{where} is no answer of nin predict --jsonl; {_WAY_OUT}") from error
        if photo is None or os.fspath(photo) != named:
            wanted = "there are no more photos" if photo is None else f"the photo there is {photo}"
            raise FileError(
                f"{where} is of {printable(str(named))}, and {printable(wanted)}: name the same photos in the same "
                f"order, or {_WAY_OUT}"
            )
        if model != self.model:
            raise FileError(f"{where} is of another model, or another --invert; name the same, or {_WAY_OUT}")

    def _check_unfinished(self, line: bytes, photo: Path | None) -> None:
        """Refuse what is not the beginning of the answer for a photo, or NULs, which a crash of the system leaves."""
        begins = b"" if photo is None else json.dumps({"photo": str(photo), "model": self.model})[:-1].encode()
        if line.strip(b"\0") and not (begins and (line.startswith(begins) or begins.startswith(line))):
            raise FileError(
                f"{self.path}, line {self.count} is not the beginning of an answer for the photo there: nothing was "
                f"changed; {_WAY_OUT}"
            )

    def _unlock(self) -> None:
        if self.lock.is_locked:
            with contextlib.suppress(OSError):
                Path(self.lock.lock_file).unlink(missing_ok=True)
            self.lock.release()


def to_line(answer: dict[str, Any]) -> str:
    """Write an answer as a line of JSON, in ASCII: a photo's name may not be valid text."""
    return json.dumps(answer) + "\n"
