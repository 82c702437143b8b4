"""How do several processes train one network? Each computes its share of every batch, and gradients are averaged."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nin.distributed import average_, gather, processes, rank, total
from nin.errors import OptionError
from nin.networks.imported import is_import_path
from nin.stopping import was_interrupted
from nin.training.plan import Plan


def seed_for_step(seed: int, step: int, rank: int = 0) -> int:
    """Return a generator's seed for one step, so that (seed 0, step 2) and (seed 1, step 1) share nothing."""
    parts = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def distributed_module(network: nn.Module, plan: Plan) -> nn.Module:
    """Return what computes the logits in training: the network, or its wrapper that averages gradients over processes.

    Raises:
        OptionError: what `check_processes` raises.

    """
    if processes() == 1:
        return network
    check_processes(plan)
    # That weights lie channels-last, and DDP's buckets do not, costs a copy.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # A network of one's own may have parameters that a step does not use.
    unused = is_import_path(plan.recipe.network)
    with warnings.catch_warnings():  # PyTorch 2.13 has another name for broadcast_buffers, which 2.11 does not know
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=unused)


def check_processes(plan: Plan) -> None:
    """Check that there are images enough in a batch for each process: with batch norm two. Raises OptionError."""
    fewest, batch = (2 if plan.recipe.batch_norm else 1) * processes(), plan.recipe.batch_size
    if batch < fewest and processes() > 1:
        norm = " with batch norm" if plan.recipe.batch_norm else ""
        raise OptionError(
            f"{processes()} processes cannot share a batch of {batch} images{norm}, which needs {fewest}: start fewer"
        )


class Agreed(NamedTuple):
    """What all processes know after a step.

    Attributes:
        total: sum of the losses of the interval.
        alive: whether a logit of the batch is not zero: more than 0 if so.
        interrupted: whether one of the processes is to stop.

    """

    total: float
    alive: Tensor
    interrupted: bool


def agree(total_loss: Tensor, logits: Tensor) -> Agreed:
    """Tell the other processes this one's share of the losses, and whether it has met zeros or Ctrl-C."""
    interrupted = torch.full_like(total_loss, was_interrupted())
    agreed = total(torch.stack([total_loss, logits.any().float(), interrupted]).cpu())
    return Agreed(agreed[0].item(), agreed[1], bool(agreed[2]))


# --- The statistics of batch norm, which each process has of the images that it has seen ---


def average_buffers(network: nn.Module) -> None:
    """Replace the statistics of every process by their mean."""
    for buffer in network.buffers():
        if buffer.is_floating_point():
            average_(buffer)


def buffers_of_all(network: nn.Module) -> list[dict[str, Tensor]]:
    """Return the statistics of each process, by rank; none where there is one process."""
    return gather({name: buffer.cpu() for name, buffer in network.named_buffers()}) if processes() > 1 else []


def restore_buffers(network: nn.Module, buffers: Sequence[dict[str, Tensor]]) -> None:
    """Give this process the statistics that it had, or the mean of all where there are not as many as there were."""
    if len(buffers) == processes():
        network.load_state_dict(buffers[rank()], strict=False)
    elif buffers:
        for name, buffer in network.named_buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.stack([one[name] for one in buffers]).mean(dim=0))
