"""What does a training report while it runs, and from what can it be resumed?"""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from torch import Tensor

from nin.training.plan import Plan


@dataclass(frozen=True)
class Step:
    """A report of progress: after every step on a CPU, after every 20 on an accelerator.

    Attributes:
        step: counts from 1 over the whole plan.
        epoch: passes through the training images so far.
        loss: mean since the last event, in nats.
        images_per_second: since the last event.

    """

    step: int
    epoch: float
    loss: float
    images_per_second: float


class Validation(msgspec.Struct, frozen=True):
    """An interval ended, and the network was validated: a line of `metrics.jsonl`.

    Losses are what the recipe minimises (with its label smoothing, for both splits), in nats. The training figures are
    means over the interval, in which the weights changed. `seconds` and `images_per_second` are of the training steps
    of the interval, without the validation.
    """

    step: int
    epoch: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float
    seconds: float


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with a run, in `message`: "dead" and "interrupted" end it, "stalled" and "undertrained" warn."""

    kind: Literal["dead", "stalled", "undertrained", "interrupted"]
    step: int
    message: str


@dataclass(frozen=True)
class Revision:
    """The plan was revised; the steps that follow are those of `plan`."""

    plan: Plan


@dataclass(frozen=True, eq=False)
class State:
    """All that is needed besides the plan to resume after `step` as if the training had never stopped.

    Tensors and plain values only. The tensors are the live ones: save or copy them before the next event.

    Attributes:
        step: steps taken in the whole plan.
        interval_seconds: seconds that the steps of the current interval took.
        interval_totals: loss and accuracy, summed over the steps of the current interval, (2,).
        network: the network's state dict.
        optimizer: the optimizers' state dicts.
        health: see `nin.training.health`.
        validations: what was validated so far, as plain values.
        troubles: what was wrong so far, as plain values.
        elapsed: seconds since the run began.
        buffers: of the network in each of several processes, by rank: their statistics of batch norm differ.

    """

    step: int
    interval_seconds: float
    interval_totals: Tensor
    network: dict[str, Any]
    optimizer: list[dict[str, Any]]
    health: dict[str, Any]
    validations: list[dict[str, Any]]
    troubles: list[dict[str, Any]]
    elapsed: float
    buffers: list[dict[str, Tensor]] = field(default_factory=list)


Event = Step | Validation | Trouble | Revision | State
