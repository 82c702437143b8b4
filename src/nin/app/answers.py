"""Which photos does a file of answers have already, and how do more get into it?"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from nin.errors import FileError
from nin.text import printable


class Answers:
    """A file of JSON Lines, an answer each, that a run which was killed may have left; as a context manager.

    Args:
        path: of the file; made if it is missing.
        labels: of the model.

    Raises:
        FileError: it cannot be opened.

    """

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self.path, self.labels = path, labels
        self.count = self.errors = 0  # of the answers that were there
        try:
            path.touch()
            self.file: BinaryIO = path.open("r+b")
        except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
            reason = error.strerror if isinstance(error, OSError) else error
            raise FileError(f"cannot write {path}: {reason}; name another file with --resume") from error

    def __enter__(self) -> "Answers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def skip(self, photos: Iterator[Path]) -> None:
        """Take from `photos` those that are answered, and cut off an answer that was not written to its end.

        Raises:
            FileError: the file is of other photos, of another model, or holds something else.

        """
        whole = 0
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            self._check(line, next(photos, None))
            whole += len(line)
        self.file.seek(whole)
        self.file.truncate()

    def write(self, answer: dict[str, Any]) -> None:
        """Append an answer, and hand it to the system: a kill of this process then loses none of it."""
        self.file.write(to_line(answer).encode())
        self.file.flush()

    def _check(self, line: bytes, photo: Path | None) -> None:
        self.count += 1
        where = f"{self.path}, line {self.count}"
        try:
            answer = json.loads(line)
            named, labels = answer["photo"], tuple(answer.get("probabilities", self.labels))
            self.errors += "error" in answer
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileError(f"{where} is no answer of nin predict --jsonl; name another file with --resume") from error
        if photo is None or os.fspath(photo) != named:
            wanted = "there are no more photos" if photo is None else f"the photo there is {photo}"
            raise FileError(
                f"{where} is of {printable(str(named))}, and {printable(wanted)}: name the same photos in the same "
                "order, or another file with --resume"
            )
        if labels != self.labels:
            raise FileError(f"{where} is of a model with other labels; name that, or another file with --resume")


def to_line(answer: dict[str, Any]) -> str:
    """Write an answer as a line of JSON, in ASCII: a photo's name may not be valid text."""
    return json.dumps(answer) + "\n"
