"""How much training fits into the minutes? A measured pace becomes so many epochs, and a late plan a shorter one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor, nn

from nin.data import LabelledImages, Splits
from nin.devices import Precision
from nin.errors import OptionError
from nin.evaluation import scores
from nin.experiment import PICTURES_TO_LIFT_BY, build, ship
from nin.plan import Plan
from nin.recipe import LONGEST, Recipe
from nin.training import Epoch, Step, Trouble, fit

SECONDS_PER_EPOCH = 60  # an epoch is planned no longer than this, so that a machine that slows down is noticed in time
SECONDS_OF_DRAWING = 3  # figures and report
TOLERANCE = 0.03  # a plan whose rest is so little late or early stays as it is
SECONDS_TO_MEASURE = 5  # a size's steps, on a slow machine


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

    def epochs_within(self, seconds: float, recipe: Recipe, images: int) -> float:
        """Say how many passes through so many images `seconds` are enough for, in `parts` epochs."""
        step, validation = self._means(recipe)
        a_pass = images / recipe.batch_size * step
        left = max(0.0, seconds - self.ending)
        # Each epoch takes its part of the passes and a validation.
        epochs = max(1, math.ceil(left / (min(a_pass, SECONDS_PER_EPOCH) + validation)))
        return max(0.0, left - epochs * validation) / a_pass

    def parts(self, epochs: float, recipe: Recipe, images: int) -> int:
        """Say in how many epochs to make so many passes, so that none takes longer than `SECONDS_PER_EPOCH`."""
        a_pass = images / recipe.batch_size * self._means(recipe)[0]
        return max(1, math.ceil(epochs), math.ceil(epochs * a_pass / SECONDS_PER_EPOCH))

    def _means(self, recipe: Recipe) -> tuple[float, float]:
        """Give the seconds of a step and of a validation, as means over the recipe's sizes."""
        whole = sum(share for _, share in recipe.sizes)
        step = sum(self.step[size] * share for size, share in recipe.sizes) / whole
        return step, sum(self.validation[size] * share for size, share in recipe.sizes) / whole


def measure(plan: Plan, data: Splits) -> Pace:
    """Time real steps of training at each of the recipe's sizes, and some scoring; takes seconds.

    `plan` is any plan of the recipe for these data on this device. The network that is trained here is thrown away.

    Raises:
        OptionError: the network is dead from its first step on.

    """
    step: dict[int, float] = {}
    validation: dict[int, float] = {}
    network = build(plan, data.train.images.shape[1])
    for size in dict.fromkeys(size for size, _ in plan.recipe.sizes):
        step[size] = plan.recipe.batch_size / _images_per_second(network, plan, data, size)
        few = _few(data.validation, plan.recipe.batch_size / step[size])
        validation[size] = len(data.validation) * _seconds_a_picture(network, few.images, size, plan, plan.precision)
    few = _few(data.validation, plan.recipe.batch_size / step[plan.recipe.size])
    shipped = ship(network, plan, few)
    scored = len(data.test) + len(data.validation) + min(PICTURES_TO_LIFT_BY, len(data.train))
    ending = SECONDS_OF_DRAWING + scored * _seconds_a_picture(shipped, few.images, plan.recipe.size, plan, "float32")
    return Pace(step, validation, ending)


def _few(images: LabelledImages, images_per_second: float) -> LabelledImages:
    """Give as many of the images as are trained on in a second: enough to time the scoring, which is faster."""
    return images.subset(torch.arange(min(len(images), max(50, min(500, int(images_per_second))))))


def _images_per_second(network: nn.Module, plan: Plan, data: Splits, size: int) -> float:
    """Train for some steps or seconds; the first third warms up."""
    steps = 18 if plan.device == "cpu" else 100  # an accelerator is looked at every 20 steps
    schedule = ((0.0, 0.0), (float(steps), 0.0))
    probe = replace(plan, recipe=plan.recipe.at(size), sizes=(size,), steps_by_epoch=(steps + 1,), schedule=schedule)
    speeds: list[float] = []
    began = time.monotonic()
    for event in fit(network, data.train, data.validation, probe):
        if isinstance(event, Trouble) and event.kind == "dead":
            raise OptionError(f"nothing can be planned for: {event.message}")
        if isinstance(event, Step):
            speeds.append(event.images_per_second)
            slow = len(speeds) >= 3 and time.monotonic() - began > SECONDS_TO_MEASURE
            if event.step >= steps or slow:
                break
    return median(speeds[len(speeds) // 3 :])


def _seconds_a_picture(network: nn.Module, few: Tensor, size: int, plan: Plan, precision: Precision) -> float:
    """Time the scoring of some pictures; the first of three times warms up."""
    took: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        scores(network, few, size, plan.mean, plan.std, precision).sum().item()
        took.append(time.perf_counter() - began)
    return min(took[1:]) / len(few)


def keeping(deadline: float, pace: Pace, longer: bool = True) -> Callable[[Plan, Epoch], Plan]:
    """Make a function for `fit` that revises a plan at each epoch's end, so that the run ends at `deadline`.

    `deadline` is a time of `time.monotonic()`. A plan is made longer only if it may, and never beyond the recipe's
    longest.
    """
    longest: list[int] = []  # in steps, as the first plan says it; a revised one does not any more

    def revise(plan: Plan, epoch: Epoch) -> Plan:
        """Give the plan that ends in time, when all that is left takes as much longer as this epoch did."""
        if not longest:
            most = plan.steps * LONGEST.get(plan.recipe.name, 10_000.0) / plan.recipe.epochs
            longest.append(max(plan.steps, int(most)))
        made = plan.steps_by_epoch[epoch.epoch - 1]
        slower = epoch.seconds / (made * pace.step[epoch.size])  # than measured
        rest = list(zip(plan.sizes, plan.steps_by_epoch, strict=True))[epoch.epoch :]
        apart = pace.ending + sum(pace.validation[size] for size, _ in rest)
        needed = slower * sum(steps * pace.step[size] for size, steps in rest)
        fits = (deadline - time.monotonic() - slower * apart) / needed
        left = sum(steps for _, steps in rest)
        fits = min(fits, (longest[0] - plan.steps + left) / left if longer else 1.0)
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
