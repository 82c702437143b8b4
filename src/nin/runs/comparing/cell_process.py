"""How is a cell made? In a process of its own, so that its memory can be measured and no crash ends the comparison."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import torch

from nin.device import usable_threads
from nin.distributed import processes
from nin.errors import RunError
from nin.launch import environment_alone, rank_here
from nin.runs.comparing.cell import Inference, Job, Progress, Read, Trained
from nin.text import printable

_START = "import sys; sys.path[:] = sys.argv[1:]; from nin.runs.comparing.cell_worker import main; main()"


def run_job(job: Job, on_progress: Callable[[Progress], None]) -> Read | Trained | Inference:
    """Do a job in a process of its own.

    Raises:
        RunError: it failed, with the reason in one line.

    """
    kind = {"data": Read, "train": Trained, "inference": Inference}[job.kind]
    try:
        encoded = msgspec.json.encode(job)
    except UnicodeEncodeError as error:
        raise RunError(f"{error.object!r} is not valid text; rename it") from error
    home = str(Path(__file__).parents[__name__.count(".")])  # that has `nin`
    paths = [*sys.path, *([] if home in sys.path else [home])]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _START, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment_alone() | (_share_of_machine() if processes() > 1 else {}),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            errors = _Lines(process.stderr)
            with contextlib.suppress(OSError):  # it has ended already
                process.stdin.write(encoded + b"\n")
                process.stdin.flush()  # and left open: the process ends when it is closed
            for line in _lines(process.stdout):
                message = msgspec.json.decode(line, type=dict[str, Any])
                if "failed" in message:
                    raise RunError(message["failed"])
                if "done" not in message:
                    return msgspec.convert(message, kind)
                on_progress(msgspec.convert(message, Progress))
            process.wait()
        finally:
            process.kill()
        last = printable(errors.last().decode(errors="replace"))
    if process.returncode == -9:
        raise RunError("its process was killed, as happens when memory runs out")
    said = f": {last}" if last else " and no error message"
    raise RunError(f"its process ended with exit code {process.returncode}{said}")


def _share_of_machine() -> dict[str, str]:
    """Return what lets a program use this process's share of the cores, and its GPU."""
    share = {"OMP_NUM_THREADS": str(usable_threads())}
    if gpus := torch.cuda.device_count():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
        share["CUDA_VISIBLE_DEVICES"] = visible[rank_here() % gpus]
    return share


class _Lines:
    """Reads a pipe to its end in a thread, and keeps the last line."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._last = b""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def last(self) -> bytes:
        self._thread.join()
        return self._last

    def _read(self) -> None:
        for line in _until_closed(self._pipe):
            self._last = line.strip() or self._last


def _until_closed(pipe: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a pipe to its end, or until another thread closes it."""
    with contextlib.suppress(ValueError):
        yield from pipe


def _lines(pipe: IO[bytes]) -> Iterator[bytes]:
    """Yield lines as they come; on Windows Ctrl-C is met only between two waits."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        for line in _until_closed(pipe):
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=0.5)
            if line is None:
                return
            yield line
