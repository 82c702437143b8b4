"""What will a run do, step by step? The plan that a recipe becomes for given data on a given machine."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

import msgspec
import torch

from nin.choices import Precision
from nin.data.images import LabelledImages
from nin.data.preprocessing import Preprocessing, preprocessing_for
from nin.device import fastest_precision
from nin.errors import OptionError
from nin.files import check_types
from nin.training.recipe import Recipe

MOST_THREADS = 4096

Schedule = tuple[tuple[float, float], ...]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that a training starts from: as it was named, and the SHA-256 of its file of weights."""

    model: str
    sha256: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe with its schedule resolved: all that a run needs besides the data; written to disk first.

    A plan for minutes is revised while it runs (`nin.training.deadline`); what is on disk is what was executed.

    Attributes:
        recipe: what it was made from.
        seed: from 0 to 2^63 - 1.
        preprocessing: of the images.
        num_classes: classes in the data.
        steps_per_interval: optimizer steps of each validation interval: a pass through the training images or less,
            after which the network is validated and the state saved.
        schedule: breakpoints (step, factor) of the learning-rate schedule, with straight lines between them; the
            factors, from 0 to 1, are of the recipe's learning rates.
        revisions: of the schedule during the run: each replaces what came before from its first breakpoint on.
        thread_changes: of the number of threads during the run, as (step, threads): from `step` on the CPU computes
            with `threads`.
        device: where to train.
        precision: "bfloat16" (autocast) or "float32".
        threads: of the CPU, at the start.
        minutes: the budget that it was made for, if it was made for one.
        start: the model that the training starts from, with a new last block; None from random weights.

    Raises:
        OptionError: the parts do not fit each other.

    """

    recipe: Recipe
    seed: int
    preprocessing: Preprocessing
    num_classes: int
    steps_per_interval: tuple[int, ...]
    schedule: Schedule
    device: Literal["cpu", "cuda", "mps"]
    precision: Precision
    threads: int
    minutes: float | None = None
    start: Start | None = None
    revisions: tuple[Schedule, ...] = ()
    thread_changes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        check_types(self)
        schedules = (self.schedule, *self.revisions)
        breakpoints = [point for schedule in schedules for point in schedule]
        size, intervals = self.preprocessing.size, self.steps_per_interval
        minutes = [] if self.minutes is None else [self.minutes]
        for fits, wrong in (
            (0 <= self.seed < 2**63, f"seed must be from 0 to 2^63 - 1, not {self.seed}"),
            (size == self.recipe.size, f"preprocessing has size {size}, and recipe {self.recipe.size}"),
            (len(self.steps_per_interval) > 0, "steps_per_interval is empty"),
            (
                all(1 <= n <= 10**7 for n in intervals),
                f"steps_per_interval must be from 1 to 10,000,000, not {intervals}",
            ),
            (
                all(map(math.isfinite, [*minutes, *(step for step, _ in breakpoints)])),
                "schedule, revisions and minutes must be finite numbers",
            ),
            (all(0 <= factor <= 1 for _, factor in breakpoints), "the factors of schedule must be from 0 to 1"),
            (all(value > 0 for value in minutes), f"minutes must be over 0, not {self.minutes}"),
            (
                all(schedules) and all(map(_in_order, [*schedules, [schedule[0] for schedule in schedules]])),
                "schedule and revisions must have breakpoints (step, factor) in order of the steps",
            ),
            (self.num_classes >= 1, f"num_classes must be 1 or more, not {self.num_classes}"),
            (
                all(1 <= threads <= MOST_THREADS for threads in (self.threads, *dict(self.thread_changes).values())),
                f"threads and thread_changes must be from 1 to {MOST_THREADS}, not {self.threads} and "
                f"{self.thread_changes}",
            ),
            (_in_order(self.thread_changes), "thread_changes must be in order of their steps"),
        ):
            if not fits:
                raise OptionError(f"invalid plan: {wrong}")

    @property
    def intervals(self) -> int:
        """Validation intervals in the plan."""
        return len(self.steps_per_interval)

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole plan."""
        return sum(self.steps_per_interval)

    @property
    def warm_up_steps(self) -> int:
        """Optimizer steps until the learning rate is highest."""
        rising, highest = self.schedule, _highest(self.schedule)
        for revision in self.revisions:
            if revision[0][1] == highest or _highest(revision) < highest:  # it began at the highest, or after it
                break
            rising, highest = revision, _highest(revision)
        return round(next(step for step, factor in rising if factor == highest))

    def interval_at(self, step: int) -> tuple[int, int]:
        """Return after how many steps the interval begins, and ends, that goes on after `step` steps."""
        ends = accumulate(self.steps_per_interval, initial=0)
        return next((begin, end) for begin, end in pairwise(ends) if step < end)

    def learning_rate_factor(self, step: float) -> float:
        """Return the factor on the recipe's learning rates after `step` steps of the whole plan.

        A step is made with the factor of its middle: at either end of the schedule it may be 0, and change nothing.
        """
        schedule = self.schedule_at(step)
        for (begin, low), (end, high) in pairwise(schedule):
            if begin <= step < end:
                return low + (high - low) * (step - begin) / (end - begin)
        return schedule[0][1] if step < schedule[0][0] else schedule[-1][1]

    def threads_at(self, step: int) -> int:
        """Return the number of threads for the step after `step` steps."""
        return next((threads for begin, threads in reversed(self.thread_changes) if begin <= step), self.threads)

    def schedule_at(self, step: float) -> Schedule:
        """Return the schedule in force after `step` steps: the last revision that began, if one did.

        A revision does not cut the lines of the schedule before it, so the factors of the past stay as they were, to
        the last bit.
        """
        return next((one for one in reversed(self.revisions) if one[0][0] <= step), self.schedule)

    def breakpoints_after(self, step: float) -> Schedule:
        """Return the breakpoints that follow `step`, of the schedules in force there."""
        later = [one for one in self.revisions if one[0][0] > step]
        schedules = [self.schedule_at(step), *later]
        ends = [one[0][0] for one in later] + [math.inf]
        return tuple(
            point for schedule, end in zip(schedules, ends, strict=True) for point in schedule if step < point[0] <= end
        )


def _highest(schedule: Schedule) -> float:
    return max(factor for _, factor in schedule)


def _in_order(breakpoints: Sequence[tuple[float, float] | tuple[int, int]]) -> bool:
    return all(one <= other for (one, _), (other, _) in pairwise(breakpoints))


def resolve(
    recipe: Recipe,
    train: LabelledImages,
    seed: int,
    device: torch.device,
    intervals: int = 1,
    *,
    start: Start | None = None,
    preprocessing: Preprocessing | None = None,
) -> Plan:
    """Resolve a recipe into a plan for these training images on this device, with at least `intervals` intervals.

    A training that starts from a model has that model's `preprocessing`.

    Raises:
        OptionError: there are fewer training images than a batch.

    """
    if len(train) < recipe.batch_size:
        raise OptionError(f"a batch of {recipe.batch_size} needs as many training images, and there are {len(train)}")
    steps_per_interval, schedule = resolve_schedule(recipe, len(train), intervals)
    return Plan(
        recipe,
        seed,
        preprocessing or preprocessing_for(train, recipe.size, normalise=recipe.normalise),
        len(train.names),
        steps_per_interval,
        schedule,
        device=device.type,  # pyright: ignore[reportArgumentType] - find_device gives no other
        precision=fastest_precision(device) if recipe.bfloat16 else "float32",
        threads=torch.get_num_threads(),
        start=start,
    )


def resolve_schedule(recipe: Recipe, images: int, intervals: int = 1) -> tuple[tuple[int, ...], Schedule]:
    """Resolve a recipe for `images` training images into a plan's `steps_per_interval` and `schedule`.

    An interval is one pass through the images, or less if that is needed to have `intervals` of them.
    """
    steps = max(1, int(recipe.epochs * images / recipe.batch_size))
    intervals = min(steps, max(math.ceil(recipe.epochs), intervals))
    ends = [round(steps * interval / intervals) for interval in range(intervals + 1)]
    warm = recipe.warm_up * steps
    rise = ((0.0, 0.0),) if warm else ()
    schedule = (*rise, (warm, 1.0), (float(steps), 0.0 if recipe.decay else 1.0))
    return tuple(end - begin for begin, end in pairwise(ends)), schedule
