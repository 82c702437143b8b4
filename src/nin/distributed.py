"""How do several processes do one task? As `torchrun` starts them, by PyTorch's process group; one process is alone.

Whoever is alone pays nothing: every function then returns at once. With several, all processes must call the functions
below in the same order.
"""

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nin.device import usable_threads
from nin.errors import OptionError, RunError
from nin.launch import launched_processes, processes_here, rank_here, restarts

Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=10)  # for the others, between two steps of a training
PATIENCE = timedelta(days=7)  # while one of them reads data, or trains alone
SECONDS_TO_REPORT = 3  # in which every process that still runs says so, once one does not answer
_SIGNS = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "process group")  # in errors about the others


# --- Who is there ---


def processes() -> int:
    """Return how many processes share the task, once this one has joined them."""
    return dist.get_world_size() if _joined else 1


def rank() -> int:
    """Return which of them this one is, from 0 on."""
    return dist.get_rank() if _joined else 0


def is_main() -> bool:
    """Return whether this is the process that writes and prints."""
    return rank() == 0


_joined = False
_patient: Any = None  # a process group


def join() -> None:
    """Join the other processes that `torchrun` has started, if there are any, and give this one its share of the cores.

    Raises:
        OptionError: there are fewer GPUs than processes.
        RunError: the others do not answer, or run another version of this package or of PyTorch.

    """
    global _joined, _patient
    if _joined or launched_processes() == 1:
        return
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    gpus = torch.cuda.device_count() if accelerator is not None and accelerator.type == "cuda" else 0
    if 0 < gpus < processes_here():
        raise OptionError(
            f"{processes_here()} processes need as many GPUs, and this machine has {gpus}: lower --nproc-per-node"
        )
    if gpus:
        torch.cuda.set_device(rank_here())
    torch.set_num_threads(usable_threads())
    try:
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
            atexit.register(_leave)
        _patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"the other processes do not answer ({reason}); check MASTER_ADDR, ports and firewalls"
        ) from error
    _joined = True
    check_agreement("nin and PyTorch", f"nin {version('network-in-network')}, PyTorch {torch.__version__}")


def _leave() -> None:
    with contextlib.suppress(Exception):
        dist.destroy_process_group()


# --- What they tell each other ---


def share(value: Value) -> Value:
    """Return the value that the main process gives; it must be one that can be pickled."""
    if processes() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def from_main(function: Callable[[], Value]) -> Value:
    """Return what the function returns in the main process, which alone calls it: only there may be what it reads."""
    return share(function() if is_main() else None)  # pyright: ignore[reportReturnType] - none is of another process


def gather(value: Value) -> list[Value]:
    """Return the value of each process, by rank."""
    if processes() == 1:
        return [value]
    values: list[Value] = [value] * processes()
    dist.all_gather_object(values, value)
    return values


def total(values: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes; that of the one process itself, if it is alone."""
    if processes() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


def average_(values: Tensor) -> None:
    """Replace a tensor by its mean over the processes."""
    if processes() > 1:
        values.copy_(total(values) / processes())


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, most: int) -> Tensor:
    """Return what `function` makes of images, `most` at a time; each process computes its share of the batches.

    The batches are the same for any number of processes, and so is the result, in every process.
    """
    batches = images.split(most)
    mine = [function(batch) for batch in batches[rank() :: processes()]]
    if processes() == 1:
        return torch.cat(mine)
    every = gather([found.cpu() for found in mine])
    device = mine[0].device if mine else every[0][0].device
    return torch.cat([every[i % processes()][i // processes()] for i in range(len(batches))]).to(device)


def check_agreement(what: str, value: str) -> None:
    """Check that all processes have the same. Raises RunError, which names the first that has something else."""
    values = gather(value)
    for other, theirs in enumerate(values):
        if theirs != values[0]:
            raise RunError(f"rank {other} has other {what} than rank 0 ({theirs}, not {values[0]}): make them the same")


@contextlib.contextmanager
def one_by_one() -> Iterator[None]:
    """Let the first process of each machine run the block, and then the others, which find what it put in a cache."""
    if rank_here() > 0:
        wait()
    yield
    if rank_here() == 0:
        wait()


def wait() -> None:
    """Wait for all processes, whatever the others do meanwhile."""
    if processes() > 1:
        dist.barrier(_patient)


# --- When one of them ends ---


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
        gone = _gone()
        who = f"rank {', '.join(map(str, gone))}" if gone else "another process"
        raise RunError(
            f"{who} of {processes()} has ended or does not answer; the run can be resumed (nin train --resume RUN)"
        ) from error


def _gone() -> list[int]:
    """Return the ranks of the processes that do not report in time."""
    with contextlib.suppress(Exception):
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage] - it is documented
            host, port, is_master=False, timeout=timedelta(seconds=SECONDS_TO_REPORT)
        )
        store.set(f"nin/{restarts()}/{rank()}", "here")
        time.sleep(SECONDS_TO_REPORT)
        return [other for other in range(processes()) if not store.check([f"nin/{restarts()}/{other}"])]
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
