"""How do several processes do one task? As `torchrun` starts them, by PyTorch's process group; one process is alone.

Whoever is alone pays nothing: every function then returns at once. With several, all processes must call the functions
below in the same order.
"""

import atexit
import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from nin.choices import DeviceName
from nin.device import find_device, usable_threads
from nin.errors import NinError, OptionError, RunError
from nin.launch import launched_processes, processes_here, rank_here, restarts

Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=10)  # for the others, between two steps of a training
PATIENCE = timedelta(days=7)  # while one of them reads data, or trains alone


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


def join(device: DeviceName = "auto") -> None:
    """Join the other processes that `torchrun` has started, if there are any, and give this one its share of the cores.

    Args:
        device: on which it is going to compute.

    Raises:
        OptionError: there are fewer GPUs than processes.
        RunError: the others do not answer, or run another version of this package or of PyTorch.

    """
    global _joined, _patient
    if launched_processes() == 1:
        return
    torch.set_num_threads(usable_threads())
    if _joined:
        return
    gpus = torch.cuda.device_count() if find_device(device).type == "cuda" else 0
    if 0 < gpus < processes_here():
        raise OptionError(
            f"{processes_here()} processes need as many GPUs, and this machine has {gpus}: lower --nproc-per-node"
        )
    if gpus:
        torch.cuda.set_device(rank_here())
    try:
        if not dist.is_initialized():
            found, number, count = next(iter(rendezvous("env://", timeout=TIMEOUT)))
            # torchrun keeps one store through its restarts: without a prefix the addresses of the dead are found.
            store = dist.PrefixStore(f"start {restarts()}", found)  # pyright: ignore[reportPrivateImportUsage]
            backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
            dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=TIMEOUT)
            atexit.register(leave)
        _patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"the other processes do not answer ({reason}); check MASTER_ADDR, ports and firewalls"
        ) from error
    _joined = True
    check_agreement("nin and PyTorch", f"nin {version('network-in-network')}, PyTorch {torch.__version__}")


def leave() -> None:
    """Leave the other processes."""
    global _joined
    _joined = False
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
    """Return what the function returns in the main process, which alone calls it: only there may be what it reads.

    Raises:
        NinError: the function raises one; it is then raised in every process.

    """
    if processes() == 1:
        return function()
    answer: tuple[Any, NinError | None] = (None, None)
    if is_main():
        try:
            answer = (function(), None)
        except NinError as error:
            answer = (None, error)
    wait()  # its work may take longer than an exchange may
    value, failed = share(answer)
    if failed is not None:
        raise failed
    return value  # pyright: ignore[reportReturnType] - None only where the function returns it


def share_flags(*flags: bool) -> list[bool]:
    """Return the flags that the main process gives: quicker than `share`."""
    if processes() == 1:
        return list(flags)
    values = torch.tensor(flags, dtype=torch.uint8)
    dist.broadcast(values, 0)
    return values.bool().tolist()


def gather(value: Value) -> list[Value]:
    """Return the value of each process, by rank."""
    if processes() == 1:
        return [value]
    values: list[Value] = [value] * processes()
    dist.all_gather_object(values, value)
    return values


def gather_tensors(
    mine: Sequence[Tensor], shapes: Sequence[Sequence[torch.Size]], dtype: torch.dtype, device: torch.device
) -> list[list[Tensor]]:
    """Return the tensors of each process, by rank, whose `shapes` and `dtype` all know."""
    sizes = [[shape.numel() for shape in own] for own in shapes]
    sent = torch.zeros(max(map(sum, sizes)), dtype=dtype, device=device)
    if mine:
        sent[: sum(sizes[rank()])] = torch.cat([one.flatten() for one in mine])
    received = [torch.empty_like(sent) for _ in sizes]
    dist.all_gather([one.view(torch.uint8) for one in received], sent.view(torch.uint8))  # gloo knows few dtypes
    return [
        [part.view(shape) for part, shape in zip(one[: sum(own)].split(own), given, strict=True)]
        for one, own, given in zip(received, sizes, shapes, strict=True)
    ]


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


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, most: int, device: torch.device) -> Tensor:
    """Return what `function` makes of images, `most` at a time, on `device`; each process computes some of the batches.

    The batches are the same for any number of processes, and so is the result, in every process.
    """
    batches = images.split(most)
    mine = [function(batch) for batch in batches[rank() :: processes()]]
    if processes() == 1:
        return torch.cat(mine)
    every = gather([found.cpu() for found in mine])
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
