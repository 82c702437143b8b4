"""What will a run do, step by step? The plan that a recipe becomes for given data on a given machine."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

import msgspec

from nin.errors import OptionError
from nin.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """A recipe with its schedule resolved: all that a run needs beside the data, written to disk before the first step.

    `sizes` and `steps_by_epoch` have a value for each epoch: the side of its pictures in pixels, and its optimiser
    steps. An epoch is planned as one pass through the training images or less, and ends with a validation. `schedule`
    has the corners (step, rate) of the learning rate's course, as shares of the recipe's rates; between them run
    straight lines. `mean` and `std` are a value a channel of pixels scaled to 0..1. `precision` is "bfloat16"
    (autocast) or "float32". `minutes` is the budget that it was made for, if it was made for one; when the machine
    turns out slower or faster, the plan is revised at an epoch's end, and what is on the disk is what was executed.
    """

    recipe: Recipe
    seed: int
    sizes: tuple[int, ...]
    steps_by_epoch: tuple[int, ...]
    schedule: tuple[tuple[float, float], ...]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["bfloat16", "float32"]
    threads: int
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            OptionError: they do not.

        """
        corners = [step for step, _ in self.schedule]
        numbers = [*corners, *self.mean, *self.std, *([] if self.minutes is None else [self.minutes])]
        known = {size for size, _ in self.recipe.sizes}
        for fits, wrong in (
            (0 <= self.seed < 2**63, f"seed is a whole number from 0 to 2^63 - 1, not {self.seed}"),
            (len(self.sizes) == len(self.steps_by_epoch) > 0, "sizes and steps_by_epoch need a value for each epoch"),
            (known.issuperset(self.sizes), f"sizes are among the recipe's, {sorted(known)} pixels"),
            (all(1 <= steps <= 10**7 for steps in self.steps_by_epoch), "steps_by_epoch are from 1 to 10,000,000"),
            (all(map(math.isfinite, numbers)), "schedule, mean, std and minutes are finite numbers"),
            (all(0 <= rate <= 1 for _, rate in self.schedule), "the rates of schedule are shares from 0 to 1"),
            (self.minutes is None or self.minutes > 0, f"minutes are more than 0, not {self.minutes}"),
            (corners and corners == sorted(corners), "schedule needs corners (step, rate) in order of the steps"),
            (self.classes >= 1, f"classes are 1 or more, not {self.classes}"),
            (len(self.mean) == len(self.std) > 0, "mean and std need a value for each channel"),
            (1 <= self.threads <= 4096, f"threads are from 1 to 4096, not {self.threads}"),
        ):
            if not fits:
                raise OptionError(f"the plan does not fit together: {wrong}")

    @property
    def epochs(self) -> int:
        """Epochs in the plan."""
        return len(self.sizes)

    @property
    def steps(self) -> int:
        """Optimiser steps in the whole plan."""
        return sum(self.steps_by_epoch)

    @property
    def warm_up_steps(self) -> int:
        """Optimiser steps until the learning rate is highest."""
        return round(max(self.schedule, key=lambda corner: corner[1])[0])

    def rate(self, step: float) -> float:
        """Give the share of the recipe's learning rates that holds behind so many steps of the whole plan.

        A step moves by what holds in its middle: at either end of the schedule that may be 0, and teach nothing.
        """
        for (begin, low), (end, high) in pairwise(self.schedule):
            if begin <= step < end:
                return low + (high - low) * (step - begin) / (end - begin)
        return self.schedule[0][1] if step < self.schedule[0][0] else self.schedule[-1][1]


def timetable(
    recipe: Recipe, images: int, parts: int = 1
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[float, float], ...]]:
    """Divide a recipe for so many images into epochs: a `Plan`'s sizes, steps by epoch and schedule.

    An epoch is one pass through the images, or less where that makes `parts` of them; the last is at the last size.
    """
    steps = max(1, int(recipe.epochs * images / recipe.batch_size))
    epochs = min(steps, max(math.ceil(recipe.epochs), parts, len(recipe.sizes)))
    ends = [round(steps * epoch / epochs) for epoch in range(epochs + 1)]
    shares = list(accumulate(share for _, share in recipe.sizes))
    middles = [(epoch + 0.5) / epochs * shares[-1] for epoch in range(epochs - 1)]
    sizes = (*(recipe.sizes[bisect_left(shares, middle)][0] for middle in middles), recipe.size)
    warm = recipe.warm_up * steps
    rises = ((0.0, 0.0),) if warm else ()
    schedule = (*rises, (warm, 1.0), (float(steps), 0.0 if recipe.decay else 1.0))
    return sizes, tuple(end - begin for begin, end in pairwise(ends)), schedule


def plan_from_json(content: Any) -> Plan:
    """Make a plan of what `plan.json` holds.

    Raises:
        OptionError: a field is missing, unknown, of the wrong type or out of its range.

    """
    if not isinstance(content, Mapping):
        raise OptionError("a plan is a JSON object")
    for part, kind in ((content, Plan), (content.get("recipe"), Recipe)):
        if isinstance(part, Mapping) and (unknown := set(part) - set(kind.__dataclass_fields__)):
            raise OptionError(f"a plan has no field {sorted(unknown)[0]!r}")
    try:
        return msgspec.convert(content, Plan)
    except msgspec.ValidationError as error:
        raise OptionError(str(error)) from error
