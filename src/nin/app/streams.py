"""How does a command write to stdout and stderr, whoever has closed them?"""

import contextlib
import os
import sys
from pathlib import Path

from nin.text import printable


def complain(message: str) -> int:
    """Print one line to stderr, if there is one, and return the exit code 2."""
    if sys.stderr is not None:  # print would take stdout in its place
        with contextlib.suppress(OSError):
            print(f"nin: {printable(message)}", file=sys.stderr)
    return 2


def mute() -> None:
    """Discard what is still printed, once its reader has gone."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the process
