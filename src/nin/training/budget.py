"""How much training fits into the minutes? Measured speed becomes a number of epochs, and a late plan a shorter one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from msgspec.structs import replace
from torch import Tensor, nn

from nin.choices import Precision
from nin.data.images import LabelledImages, Splits
from nin.data.preprocessing import Preprocessing
from nin.errors import OptionError
from nin.networks.forward import compute_logits
from nin.training.events import Step, Trouble, Validation
from nin.training.fit import Training
from nin.training.network import IMAGES_FOR_SHIFT, final_network, initial_network
from nin.training.plan import Plan
from nin.training.recipe import Recipe

MIN_EPOCHS = 0.25  # less teaches too little to be worth a run
SECONDS_PER_INTERVAL = 60  # no interval is planned longer, so that a machine that slows down is noticed in time
SECONDS_FOR_REPORT = 4  # figures, model card and report
TOLERANCE = 0.03  # a plan that is late or early by a smaller fraction stays as it is
SECONDS_TO_MEASURE = 5  # training steps, on a slow machine


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine needs for a recipe: a training step, a validation, and all that comes at the end."""

    step: float
    validation: float
    ending: float

    def seconds(self, epochs: float, recipe: Recipe, images: int, intervals: int = 1) -> float:
        """Return the seconds that `epochs` over `images` take, in `intervals` intervals, with the ending."""
        return epochs * self._epoch_seconds(recipe, images) + intervals * self.validation + self.ending

    def epochs_within(self, seconds: float, recipe: Recipe, images: int) -> float:
        """Return how many epochs over `images` fit into `seconds`, with validations and the ending."""
        left = max(0.0, seconds - self.ending)
        epoch = self._epoch_seconds(recipe, images)
        intervals = max(1, math.ceil(left / (min(epoch, SECONDS_PER_INTERVAL) + self.validation)))
        return max(0.0, left - intervals * self.validation) / epoch

    def intervals(self, epochs: float, recipe: Recipe, images: int) -> int:
        """Return into how many intervals to divide the epochs; none takes longer than `SECONDS_PER_INTERVAL`."""
        return max(1, math.ceil(epochs), math.ceil(epochs * self._epoch_seconds(recipe, images) / SECONDS_PER_INTERVAL))

    def _epoch_seconds(self, recipe: Recipe, images: int) -> float:
        return images / recipe.batch_size * self.step


def measure(plan: Plan, data: Splits) -> Pace:
    """Time real training steps and forward passes; takes seconds. The network trained here is thrown away.

    Args:
        plan: any plan of the recipe for these data on this device.
        data: to train on and to evaluate.

    Raises:
        OptionError: the network is dead from its first step on.

    """
    network = initial_network(plan)
    images_per_second = _images_per_second(network, plan, data)
    # As many images as are trained on in a second are enough to time the forward pass, which is faster.
    few = data.validation.first(max(50, min(500, int(images_per_second))))
    validation = len(data.validation) * _seconds_per_image(network, few.images, plan.preprocessing, plan.precision)
    final = final_network(network, plan, few)
    held_out = len(data.validation) + (0 if data.test is None else len(data.test))
    evaluated = held_out + min(IMAGES_FOR_SHIFT, len(data.train))
    ending = SECONDS_FOR_REPORT + evaluated * _seconds_per_image(final, few.images, plan.preprocessing, "float32")
    return Pace(plan.recipe.batch_size / images_per_second, validation, ending)


def _images_per_second(network: nn.Module, plan: Plan, data: Splits) -> float:
    """Train for some steps or seconds; the first third is warm-up."""
    steps = 18 if plan.device == "cpu" else 100  # an accelerator reports every 20 steps
    probe = replace(plan, steps_per_interval=(steps + 1,), schedule=((0.0, 0.0), (float(steps), 0.0)))
    speeds: list[float] = []
    started = time.monotonic()
    for event in Training(network, data.train, data.validation, probe).fit():
        if isinstance(event, Trouble) and event.kind == "dead":
            raise OptionError(f"nothing can be planned for: {event.message}")
        if isinstance(event, Step):
            speeds.append(event.images_per_second)
            slow = len(speeds) >= 3 and time.monotonic() - started > SECONDS_TO_MEASURE
            if event.step >= steps or slow:
                break
    return median(speeds[len(speeds) // 3 :])


def _seconds_per_image(network: nn.Module, images: Tensor, preprocessing: Preprocessing, precision: Precision) -> float:
    """Time the forward pass of some images; the first of three times is warm-up."""
    took: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        compute_logits(network, images, preprocessing, precision).sum().item()
        took.append(time.perf_counter() - started)
    return min(took[1:]) / len(images)


def fit_to_budget(
    minutes: float, started: float, pace: Pace, recipe: Recipe, train: LabelledImages
) -> tuple[float, int]:
    """Return how many epochs fit into what is left of the minutes since `started`, and in how many intervals.

    Raises:
        OptionError: they are too few for a run that is worth it.

    """
    spent, images = time.monotonic() - started, len(train)
    epochs = min(pace.epochs_within(60 * minutes - spent, recipe, images), recipe.max_epochs)
    fewest = min(MIN_EPOCHS, recipe.max_epochs)
    if epochs < fewest:
        intervals = pace.intervals(fewest, recipe, images)
        least = spent + pace.seconds(fewest, recipe, images, intervals)
        an_epoch, rest = pace.seconds(1.0, recipe, images) - pace.ending, spent + pace.ending
        raise OptionError(
            f"{minutes:g} minutes are too few: here an epoch of {recipe.network} at {recipe.size}x{recipe.size} takes "
            f"{an_epoch:.0f} s, and data, evaluation and report {rest:.0f} s; give {math.ceil(least / 6) / 10:g} or "
            "more"
        )
    return epochs, pace.intervals(epochs, recipe, images)


def keep_deadline(deadline: float, pace: Pace, *, may_extend: bool = True) -> Callable[[Plan, Validation], Plan]:
    """Return a function for `Training.fit` that revises the plan after each validation, so that the run ends in time.

    Args:
        deadline: a time of `time.monotonic()`.
        pace: as measured before the run.
        may_extend: whether a plan that would end early is made longer, up to the recipe's `max_epochs`.

    """
    longest = 0  # in steps, by the first plan; a revised one no longer tells

    def revise(plan: Plan, validation: Validation) -> Plan:
        """Return the plan that ends in time if all that is left takes as much longer as this interval did."""
        nonlocal longest
        longest = longest or max(plan.steps, int(plan.steps * plan.recipe.max_epochs / plan.recipe.epochs))
        done = _intervals_done(plan, validation.step)
        slowdown = validation.seconds / (plan.steps_per_interval[done - 1] * pace.step)
        left = plan.steps - validation.step
        apart = pace.ending + pace.validation * (plan.intervals - done)
        ratio = (deadline - time.monotonic() - slowdown * apart) / (slowdown * pace.step * left)
        ratio = min(ratio, (longest - validation.step) / left if may_extend else 1.0)
        return plan if abs(ratio - 1) <= TOLERANCE else rescale(plan, done, ratio)

    return revise


def rescale(plan: Plan, done: int, ratio: float) -> Plan:
    """Return the plan with all that follows its first `done` intervals longer or shorter by `ratio`.

    The schedule is rescaled with the steps, so that it still ends where it did. The number of intervals stays, and each
    keeps at least one step.
    """
    past, rest = plan.steps_per_interval[:done], plan.steps_per_interval[done:]
    rest = tuple(max(1, int(steps * ratio)) for steps in rest)
    now = float(sum(past))
    true_ratio = sum(rest) / (plan.steps - now)
    schedule = (
        *((step, factor) for step, factor in plan.schedule if step < now),
        (now, plan.learning_rate_factor(now)),
        *((now + (step - now) * true_ratio, factor) for step, factor in plan.schedule if step > now),
    )
    return replace(plan, steps_per_interval=past + rest, schedule=schedule)


def _intervals_done(plan: Plan, step: int) -> int:
    return next(done for done in range(1, plan.intervals + 1) if sum(plan.steps_per_interval[:done]) == step)
