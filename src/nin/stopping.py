"""How do several processes stop? At Ctrl-C together, and when one of them ends with a line that names it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType

import torch.distributed as dist

from nin.distributed import leave, processes, rank
from nin.errors import RunError
from nin.launch import restarts

SECONDS_TO_REPORT = 3  # in which every process that still runs says so, once one does not answer
_SIGNS = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "process group")  # in errors about the others


@contextlib.contextmanager
def naming_who_left() -> Iterator[None]:
    """Turn the error of a process that waits in vain for another into one line that names that one.

    Raises:
        RunError: another process has ended, or does not answer.

    """
    try:
        yield
    except RuntimeError as error:
        if processes() == 1 or not any(sign in str(error).lower() for sign in _SIGNS):
            raise
        count = processes()
        gone = _gone(rank(), count)
        who = f"rank {', '.join(map(str, gone))}" if gone else "another process"
        raise RunError(
            f"{who} of {count} has ended or does not answer: start again (a training goes on with --resume)"
        ) from error


def _gone(own: int, count: int) -> list[int]:
    """Return the ranks of the processes that do not report in time."""
    leave()  # so that those who wait for this process wait no longer, and report too
    with contextlib.suppress(Exception):
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage] - it is documented
            host, port, is_master=False, timeout=timedelta(seconds=SECONDS_TO_REPORT)
        )
        store.set(f"nin/{restarts()}/{own}", "here")
        time.sleep(SECONDS_TO_REPORT)
        return [other for other in range(count) if not store.check([f"nin/{restarts()}/{other}"])]
    return []


# --- Ctrl-C ---

_interrupted = False


@contextlib.contextmanager
def interrupted_together() -> Iterator[None]:
    """Within the block let Ctrl-C only be noted, by `was_interrupted`: all processes have to stop at the same step."""
    global _interrupted
    _interrupted = False
    if processes() == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        global _interrupted
        _interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def was_interrupted() -> bool:
    """Return whether there was a Ctrl-C within `interrupted_together`."""
    return _interrupted
