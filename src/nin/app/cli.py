"""How is a command line carried out? Parsing, dispatch, and one line with an exit code for whatever goes wrong."""

import contextlib
import importlib
import io
import os
import re
import sys
import time
import warnings
from importlib.metadata import version
from itertools import takewhile
from typing import get_args

import tyro

from nin.app.options import Command, Compare, Evaluate, Train
from nin.app.streams import complain, mute
from nin.errors import NinError, OptionError
from nin.launch import launched_processes, launched_rank
from nin.networks.imported import import_network, is_import_path

STARTED = time.monotonic()  # before torch is imported, which takes its part of the minutes

MIN_COLUMNS = 20
SECONDS_FOR_FIRST = 3.0  # in which the first of several processes says what is wrong
DESCRIPTION = """Network in Network: train, evaluate and explain small image classifiers.
--version prints the version."""


def main() -> None:
    """Run the command line and exit: with 0, 1 after a dead run, 2 for invalid input, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not be text
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about what describes a photo, not its pixels
    try:
        code = run_command(sys.argv[1:])
        print(end="", flush=True)
    except NinError as error:
        code = complain_once(str(error))
    except KeyboardInterrupt:
        if launched_rank() == 0:
            complain("stopped")
        code = 130
    except BrokenPipeError:  # `nin summary | head`: nobody reads on
        mute()
        code = 0
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        reason = _machine_fault(error)
        if reason is None:
            raise
        mute()
        code = complain(reason)
    sys.exit(code)


def complain_once(message: str) -> int:
    """Print one line to stderr, and return the exit code 2.

    Of several processes the first says what is wrong with all: `torchrun` ends the others before they say it again.
    """
    if (rank := launched_rank()) > 0:
        time.sleep(SECONDS_FOR_FIRST)
        message = f"rank {rank}: {message}"
    return complain(message)


def run_command(arguments: list[str]) -> int:
    """Carry out one command and return its exit code.

    Raises:
        NinError: invalid input.
        SystemExit: after --help, or for options that cannot be parsed.

    """
    if arguments == ["--version"]:
        print(f"nin {version('network-in-network')}")
        return 0
    if "" in arguments:
        raise OptionError('an argument is empty: leave it out, or give "." for this folder')
    options = parse(arguments)
    if launched_processes() > 1 and not isinstance(options, Train | Compare | Evaluate):
        name = type(options).__name__.lower()
        raise OptionError(f"nin {name} is for one process; torchrun is for nin train, nin compare and nin evaluate")
    share_the_machine()
    import_networks(getattr(options, "network", None), *getattr(options, "networks", ()))
    module = importlib.import_module(f"nin.app.{type(options).__name__.lower()}")  # imports torch
    return module.main(options)


def import_networks(*names: str | None) -> None:
    """Import the networks that were named by import path, from this folder too. Raises what `import_network` does."""
    paths = [name for name in names if name is not None and is_import_path(name)]
    if paths and os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path takes no Path
        sys.path.append(os.getcwd())  # noqa: PTH109
    for path in paths:
        import_network(path)


def share_the_machine() -> None:
    """Let OpenMP's threads spin only briefly while they wait, where the user has not decided; before torch is imported.

    A thread that spins holds the core which the thread that it waits for may need. Beside one busy process,
    this makes training on two cores a quarter faster, and alone 2 % slower (`benchmarks/waiting.py`, and
    docs/lab-notes.md).
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "1000"


def parse(arguments: list[str]) -> Command:
    """Parse the options; of those that cannot be parsed, print one line instead of tyro's box of many, and exit with 2.

    tyro can hand its errors over, but only by a module that it calls private and unstable (tyro._errors).
    """
    box = io.StringIO()
    if os.environ.get("COLUMNS", "").isdecimal() and int(os.environ["COLUMNS"]) < MIN_COLUMNS:
        os.environ["COLUMNS"] = str(MIN_COLUMNS)  # in fewer, tyro never ends
    try:
        with contextlib.redirect_stderr(box):
            config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
            return tyro.cli(Command, prog="nin", description=DESCRIPTION, args=arguments, config=config)
    except SystemExit as end:
        if end.code:
            lines = [line.strip("│╭╮╰╯─ ") for line in box.getvalue().splitlines()]
            said = " ".join(takewhile(bool, lines[1:]))  # up to the box's first blank line or rule
            said = re.sub(r"no type matching \{None\}\|(\w+) could .* from \['(.*)'\]", r"\1 needed, not \2", said)
            names = [command.__name__.lower() for command in get_args(Command)]
            command = f" {arguments[0]}" if arguments and arguments[0] in names else ""
            complain(f"{said.rstrip('.')}; see nin{command} --help")
        raise


def _machine_fault(error: Exception) -> str | None:
    """Return in one line what the machine lacks, where an exception says so; None where it is a fault of ours."""
    text = str(error).partition("\n")[0]
    signs = (
        "can't allocate memory",
        "Cannot allocate memory",
        "failed to map segment",
        "could not create a primitive",  # oneDNN's
        "out of memory",  # CUDA's and MPS's
    )
    out_of_memory = isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)
    if out_of_memory:
        return f"too little free memory ({text or 'MemoryError'}); close other programs, or use smaller images"
    if not isinstance(error, OSError):
        return None
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    reason = error.strerror or text or type(error).__name__
    return f"cannot write the output: {reason}; redirect the output elsewhere"
