"""How do tests call the command line? In this process, which is quick, or as a program of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from nin.app.cli import main

TESTS = Path(__file__).parents[1]
GARMENTS = TESTS.parent / "docs" / "garments"
PROGRAM = [sys.executable, "-c", "from nin.app.cli import main; main()"]
# The same on a small data set: a training takes seconds.
SMALL_PROGRAM = [sys.executable, str(TESTS / "app" / "small_program.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS)}


class Answer(NamedTuple):
    """What a command line came to."""

    returncode: int
    stdout: str
    stderr: str


def start(*arguments: str | Path, program: list[str] = PROGRAM, **options: object) -> subprocess.CompletedProcess[str]:
    """Carry out a command line in a process of its own; `options` are those of `subprocess.run`."""
    given = {"capture_output": True, "text": True, "check": False, "env": ENVIRONMENT} | options
    return subprocess.run([*program, *map(str, arguments)], **given)


class Nin:
    """Carries out command lines in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capture, self.monkeypatch = capture, monkeypatch

    def __call__(self, *arguments: str | Path) -> Answer:
        self.monkeypatch.setattr("sys.argv", ["nin", *map(str, arguments)])
        self.capture.readouterr()  # what was printed before
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, *self.capture.readouterr())
