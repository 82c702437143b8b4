"""What does a run keep on disk, and who may write there? The run folder and the state to resume from."""

import contextlib
import hashlib
import io
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from nin.errors import RunError
from nin.files import read_json, remove_temporary_files, write
from nin.launch import restarts
from nin.training.events import State

LAUNCH = ".torchrun"


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that exists already, since nothing that exists is ever written over.

    Raises:
        RunError: `folder` exists.

    """
    if os.path.lexists(folder):
        raise RunError(f"{folder} is there already: name a new folder, or remove it first")


def new_folder(folder: Path | None = None) -> Path:
    """Make a new folder: `folder`, or one in `runs/` named by the local time, such as 2026-11-22T15-04-05.

    Raises:
        RunError: `folder` is there already, or cannot be made.

    """
    named_by_time = folder is None
    folder = Path("runs", time.strftime("%Y-%m-%dT%H-%M-%S")) if folder is None else folder
    for attempt in range(2, 100):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not named_by_time:
                refuse_existing(folder)
                raise
            folder = folder.with_name(f"{folder.name.split('_')[0]}_{attempt}")  # two runs in one second
        except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
            reason = error.strerror if isinstance(error, OSError) else error
            raise RunError(f"cannot make the folder {folder}: {reason}; name another") from error
        else:
            return folder
    raise RunError(f"cannot find a free name beside {folder}; name one yourself")


@contextlib.contextmanager
def lock(run: Path, seconds: float = 0) -> Iterator[None]:
    """Keep other processes from working on the same run; the system ends that with the process, however it ends.

    For so many `seconds` it waits for a process that works there.

    Raises:
        RunError: another process is working on it.

    """
    held = FileLock(run / ".lock")
    try:
        held.acquire(timeout=seconds)
    except Timeout as error:
        raise RunError(f"{run} is still running in another process; wait for it, or stop it first") from error
    except (OSError, NotImplementedError):  # a file system without locks, or one that cannot be written: said later
        yield
        return
    try:
        yield
    finally:
        held.release()


def remove_leftovers(run: Path) -> None:
    """Remove what a process that was killed while writing has left in a run folder."""
    for folder in (run, *(below for below in run.iterdir() if below.is_dir())):
        remove_temporary_files(folder)


# --- What torchrun needs to go on after it has restarted its processes ---


def note_launch(run: Path) -> None:
    """Note which launch of `torchrun` makes this run, if one does."""
    if os.environ.get("TORCHELASTIC_RUN_ID") is not None:
        write(run / LAUNCH, _this_launch())


def run_of_launch(named: Path | None) -> Path | None:
    """Return the run that this launch of `torchrun` began before it restarted its processes; None if there is none.

    Args:
        named: the run folder, if it was named; otherwise all in `runs/` are searched.

    """
    if restarts() == 0:
        return None
    begun = [named / LAUNCH] if named is not None else sorted(Path("runs").glob(f"*/{LAUNCH}"), reverse=True)
    return next((note.parent for note in begun if note.exists() and note.read_text() == _this_launch()), None)


def _this_launch() -> str:
    """Return what one launch alone has: the machine, and the process of `torchrun`, which starts all others."""
    launcher = os.getppid()
    try:  # when it was started: in a container its number is the same every day
        started = Path(f"/proc/{launcher}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return f"{socket.gethostname()} {launcher} {started} {os.environ.get('TORCHELASTIC_RUN_ID')}"


# --- The state to resume from ---


def write_state(run: Path, state: State) -> None:
    """Write a state, and keep the one before it.

    The file is named by its step and its content's hash, so that a reader knows whether it is whole.
    """
    buffer = io.BytesIO()
    torch.save(vars(state), buffer)
    content = buffer.getvalue()
    write(run / "state" / f"{state.step:08d}-{_digest(content)}.pt", content)
    for old in _state_files(run)[:-2]:
        old.unlink()


def read_state(run: Path) -> State | None:
    """Read the latest state of a run that was stopped; None where it was stopped before the first.

    Raises:
        RunError: the run has ended, or the latest state is damaged.

    """
    files = _state_files(run)
    if not files:
        if (run / "report.html").exists() and read_json(run / "result.json").get("ended") != "interrupted":
            raise RunError(f"{run} has ended, and there is nothing to resume; start another run with nin train")
        return None
    *before, latest = files
    try:
        content = latest.read_bytes()
        if _digest(content) != latest.stem.partition("-")[2]:
            raise RunError("its content is not what was written")
        values = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # torch.load raises anything for what is damaged
        wrong = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        way_out = f"the state before it is {before[-1].name}: remove {latest.name}" if before else f"remove {latest}"
        then = "to resume from there" if before else "to begin the run's plan anew"
        raise RunError(f"{latest} is damaged ({wrong}); {way_out} {then}") from error
    try:
        return State(**values)
    except TypeError as error:
        raise RunError(
            f"{latest} is of another version of nin; train anew with nin train --plan {run / 'plan.json'}"
        ) from error


def remove_state(run: Path) -> None:
    """Remove what is only needed to resume."""
    shutil.rmtree(run / "state", ignore_errors=True)


def _state_files(run: Path) -> list[Path]:
    return sorted((run / "state").glob("[0-9]*.pt"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
