"""Which of the processes that `torchrun` has started is this one? The environment says it; nothing here needs torch."""

import os

_OWN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


def launched_processes() -> int:
    """Return how many processes `torchrun` has started; 1 without it."""
    numbers = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    return int(os.environ["WORLD_SIZE"]) if all(number.isdecimal() for number in numbers) else 1


def launched_rank() -> int:
    """Return which of them this one is, from 0 on."""
    return int(os.environ["RANK"]) if launched_processes() > 1 else 0


def processes_here() -> int:
    """Return how many of them run on this machine."""
    return max(1, int(os.environ["LOCAL_WORLD_SIZE"])) if launched_processes() > 1 else 1


def rank_here() -> int:
    """Return which of those on this machine this one is, from 0 on."""
    return int(os.environ["LOCAL_RANK"]) if launched_processes() > 1 else 0


def restarts() -> int:
    """Return how often `torchrun` has started its processes again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def environment_alone() -> dict[str, str]:
    """Return the environment for a program that is to know nothing of the other processes."""
    return {name: value for name, value in os.environ.items() if name not in _OWN and "TORCHELASTIC" not in name}
