"""What does a run leave on the disk? The run folder, in which every file is whole or absent."""

import contextlib
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nin.errors import RunError

try:
    import fcntl
except ImportError:  # Windows, which has no such locks
    fcntl = None


def refuse_existing(folder: Path) -> None:
    """Refuse a run folder that is there already, since an existing run is never written over.

    Raises:
        RunError: `folder` exists.

    """
    if os.path.lexists(folder):
        raise RunError(f"{folder} is there already: name a new folder, or remove it first")


def new_run(folder: Path | None = None) -> Path:
    """Make the folder of a new run: `folder`, or one in `runs/` named by the local time, as 2026-11-22T15-04-05.

    Raises:
        RunError: `folder` is there already (an existing run is never written over), or cannot be made.

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
        except OSError as error:
            raise RunError(f"cannot make the run folder {folder}: {error.strerror}; name another") from error
        else:
            return folder
    raise RunError(f"cannot find a free name beside {folder}; name one yourself")


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole: beside it, to the disk, then by renaming, so that a reader or a crash never meets half of it.

    Raises:
        RunError: the disk is full, or the folder cannot be written; what was there stays.

    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; make room or write elsewhere") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON; a number that is not finite, which JSON cannot hold, becomes null."""
    write(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    write(path, "".join(json.dumps(_finite(line), allow_nan=False) + "\n" for line in lines))


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: it is missing or no JSON.

    """
    return _parse(path, _read(path))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line. Raises what `read_json` does."""
    lines = [_parse(path, line) for line in _read(path).splitlines()]
    if not all(isinstance(line, dict) for line in lines):
        raise RunError(f"{path} has a line that is no JSON object; was it edited?")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# The state to resume from


def write_state(run: Path, step: int, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values from which the run can go on behind `step`; the state before it is kept too.

    The file is named by its step and its content's hash, so a reader knows whether it is whole.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    whole = buffer.getvalue()
    write(run / "state" / f"{step:08d}-{_digest(whole)}.pt", whole)
    for old in _states(run)[:-2]:
        old.unlink()


def read_state(run: Path) -> dict[str, Any]:
    """Read the latest state of a run that was stopped; an empty one where it was stopped before the first.

    Raises:
        RunError: the run has ended and needs no more, or the latest state is damaged.

    """
    states = _states(run)
    if not states:
        if (run / "report.html").exists() and read_json(run / "result.json").get("ended") != "interrupted":
            raise RunError(f"{run} has ended, and nothing of it is left to do; start another run with nin train")
        return {}
    *before, latest = states
    try:
        whole = latest.read_bytes()
        if _digest(whole) != latest.stem.partition("-")[2]:
            raise RunError("its content is not what was written")
        return torch.load(io.BytesIO(whole), weights_only=True, map_location="cpu")
    except (OSError, RunError, RuntimeError, pickle.UnpicklingError) as error:
        wrong = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        way_out = f"the state before it is {before[-1].name}: remove {latest.name}" if before else f"remove {latest}"
        then = "to go on from there" if before else "to begin the run's plan anew"
        raise RunError(f"{latest} is damaged ({wrong}); {way_out} {then}") from error


def remove_state(run: Path) -> None:
    """Remove what is only needed to resume."""
    shutil.rmtree(run / "state", ignore_errors=True)


def remove_leftovers(run: Path) -> None:
    """Remove what a process that was killed while writing has left beside the files and folders."""
    for left in [*run.glob(".model.new.*"), *run.glob(".model.old.*")]:
        shutil.rmtree(left, ignore_errors=True)
    ours = re.compile(r"\..+\.(json|jsonl|html|png|svg|md|pt)\.\d+")
    for left in [*run.glob(".*"), *run.glob("*/.*")]:
        if ours.fullmatch(left.name) and left.is_file():
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(run: Path) -> Iterator[None]:
    """Keep other processes from working on the same run folder; the system ends that with the process, however it ends.

    Raises:
        RunError: another one is at it.

    """
    if fcntl is None:
        yield
        return
    folder = os.open(run, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that has no locks
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{run} is still running in another process; wait for it, or stop it first") from error
        yield
    finally:
        os.close(folder)


def _states(run: Path) -> list[Path]:
    return sorted((run / "state").glob("[0-9]*.pt"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RunError(f"cannot read {path}: {reason}; is {path.parent} the folder of a run?") from error


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON: {error}; was it edited?") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # NaN compares false too
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
