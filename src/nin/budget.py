"""How much training fits into the minutes? A measured pace becomes so many epochs, and a late plan a shorter one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch

from nin.data import LabelledImages, Splits
from nin.evaluation import scores
from nin.experiment import PICTURES_TO_LIFT_BY, build, ship
from nin.recipe import LONGEST, Plan, Recipe
from nin.training import Epoch, Step, fit

SECONDS_PER_EPOCH = 60  # an epoch is planned no longer than this, so that a machine that slows down is noticed in time
SECONDS_OF_DRAWING = 3  # figures and report
TOLERANCE = 0.03  # a plan whose rest is so little late or early stays as it is
PICTURES_TO_TIME = 500


@dataclass(frozen=True)
class Pace:
    """What this machine needs, in seconds: a training step and a validation by size, and all that comes afterwards."""

    step: dict[int, float]
    validation: dict[int, float]
    ending: float

    def seconds(self, epochs: float, recipe: Recipe, images: int, parts: int = 1) -> float:
        """Say how long so many passes through so many images take, in `parts` epochs, and all that comes afterwards."""
        step, validation = self._means(recipe)
        return epochs * images / recipe.batch_size * step + parts * validation + self.ending

    def epochs_within(self, seconds: float, recipe: Recipe, images: int) -> tuple[float, int]:
        """Say how many passes through so many images `seconds` are enough for, and in how many epochs to make them."""
        step, validation = self._means(recipe)
        a_pass = images / recipe.batch_size * step
        left = max(0.0, seconds - self.ending)
        parts = max(1, math.ceil(left / min(a_pass, SECONDS_PER_EPOCH)))
        return max(0.0, left - parts * validation) / a_pass, parts

    def _means(self, recipe: Recipe) -> tuple[float, float]:
        """Give the seconds of a step and of a validation, as means over the recipe's sizes."""
        whole = sum(share for _, share in recipe.sizes)
        step = sum(self.step[size] * share for size, share in recipe.sizes) / whole
        return step, sum(self.validation[size] * share for size, share in recipe.sizes) / whole


def measure(plan: Plan, data: Splits) -> Pace:
    """Time real steps of training at each of the recipe's sizes, and some scoring; takes a few seconds.

    `plan` is any plan of the recipe for these data on this device. The network that is trained here is thrown away.
    """
    steps = 18 if plan.device == "cpu" else 100  # an accelerator is looked at every 20 steps
    few = data.validation.subset(torch.arange(min(PICTURES_TO_TIME, len(data.validation))))
    network = build(plan, data.train.images.shape[1])
    step: dict[int, float] = {}
    validation: dict[int, float] = {}
    for size in dict.fromkeys(size for size, _ in plan.recipe.sizes):
        probe = replace(plan, sizes=(size,), steps_by_epoch=(steps,), schedule=((0.0, 0.0), (float(steps), 0.0)))
        speeds = [e.images_per_second for e in fit(network, data.train, few, probe) if isinstance(e, Step)]
        step[size] = plan.recipe.batch_size / median(speeds[len(speeds) // 3 :])
        validation[size] = len(data.validation) * _seconds_a_picture(network, few, size, plan, plan.precision)
    shipped = ship(network, plan, few)
    scored = len(data.test) + len(data.validation) + min(PICTURES_TO_LIFT_BY, len(data.train))
    ending = SECONDS_OF_DRAWING + scored * _seconds_a_picture(shipped, few, plan.recipe.size, plan, "float32")
    return Pace(step, validation, ending)


def _seconds_a_picture(network: torch.nn.Module, few: LabelledImages, size: int, plan: Plan, precision: str) -> float:
    """Time the scoring of some pictures; the first of three times warms up."""
    took: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        scores(network, few.images, size, plan.mean, plan.std, precision).sum().item()
        took.append(time.perf_counter() - began)
    return min(took[1:]) / len(few)


def keeping(deadline: float, pace: Pace) -> Callable[[Plan, Epoch], Plan]:
    """Make a function for `fit` that revises a plan at each epoch's end, so that the run ends at `deadline`.

    `deadline` is a time of `time.monotonic()`.
    """

    def revise(plan: Plan, epoch: Epoch) -> Plan:
        made = plan.steps_by_epoch[epoch.epoch - 1]
        slower = epoch.seconds / (made * pace.step[epoch.size])  # than measured
        rest = list(zip(plan.sizes, plan.steps_by_epoch, strict=True))[epoch.epoch :]
        apart = pace.ending + sum(pace.validation[size] for size, _ in rest)
        needed = slower * sum(steps * pace.step[size] for size, steps in rest)
        fits = (deadline - time.monotonic() - slower * apart) / needed
        if plan.recipe.epochs >= LONGEST.get(plan.recipe.name, math.inf):
            fits = min(fits, 1.0)  # it is at its longest already
        return plan if abs(fits - 1) <= TOLERANCE else stretched(plan, epoch.epoch, fits)

    return revise


def stretched(plan: Plan, epoch: int, ratio: float) -> Plan:
    """Make all that follows `epoch` longer or shorter by `ratio`: steps and learning rate's course, which still ends.

    Sizes and number of epochs stay; an epoch keeps one step at least.
    """
    done, rest = plan.steps_by_epoch[:epoch], plan.steps_by_epoch[epoch:]
    rest = tuple(max(1, int(steps * ratio)) for steps in rest)
    now = float(sum(done))
    true_ratio = sum(rest) / (plan.steps - now)
    schedule = (
        *((step, rate) for step, rate in plan.schedule if step < now),
        (now, plan.rate(now)),
        *((now + (step - now) * true_ratio, rate) for step, rate in plan.schedule if step > now),
    )
    return replace(plan, steps_by_epoch=done + rest, schedule=schedule)
