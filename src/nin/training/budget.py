"""How much training fits into the minutes? Measured speed becomes a number of epochs."""

import math
import time
from dataclasses import astuple, dataclass

from msgspec.structs import replace
from torch import Tensor, nn

from nin.choices import Precision
from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.errors import OptionError
from nin.networks.forward import compute_logits
from nin.training.events import Step, Trouble
from nin.training.fit import Training
from nin.training.network import IMAGES_FOR_SHIFT, final_network, initial_network
from nin.training.plan import Plan
from nin.training.recipe import Recipe

MIN_EPOCHS = 0.25  # less teaches too little to be worth a run
SLOW_MOMENT = 8  # how many times slower than it is a machine may look in the moment in which it is measured
SECONDS_PER_INTERVAL = 60  # no interval is planned longer
SECONDS_FOR_REPORT = 4  # figures, model card and report
SECONDS_TO_MEASURE = 5  # training steps, on a slow machine


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine needs for a recipe: a training step, a validation, and the final evaluation."""

    step: float
    validation: float
    evaluation: float

    @property
    def ending(self) -> float:
        """Seconds for all that comes after the last validation."""
        return self.evaluation + SECONDS_FOR_REPORT

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

    def or_faster(self, other: "Pace") -> "Pace":
        """Return the shorter of each of the times: a machine can be slowed down by others, and not made faster."""
        return Pace(*(min(pair) for pair in zip(astuple(self), astuple(other), strict=True)))

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
    evaluation = evaluated * _seconds_per_image(final, few.images, plan.preprocessing, "float32")
    return Pace(plan.recipe.batch_size / images_per_second, validation, evaluation)


def _images_per_second(network: nn.Module, plan: Plan, data: Splits) -> float:
    """Train for some steps or seconds; return the speed of the fastest, for others can only slow a step down."""
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
    return max(speeds)


def _seconds_per_image(network: nn.Module, images: Tensor, preprocessing: Preprocessing, precision: Precision) -> float:
    """Time the forward pass of some images; the first of three times is warm-up."""
    took: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        compute_logits(network, images, preprocessing, precision).sum().item()
        took.append(time.perf_counter() - started)
    return min(took[1:]) / len(images)


def measure_for(minutes: float, started: float, plan: Plan, data: Splits) -> Pace:
    """Measure, and again up to twice where the minutes since `started` allow too little: it may be a slow moment.

    Raises what `measure` does.
    """
    pace = measure(plan, data)
    for _ in range(2):
        left = 60 * minutes - (time.monotonic() - started)
        if pace.epochs_within(left, plan.recipe, len(data.train)) >= min(MIN_EPOCHS, plan.recipe.max_epochs):
            break
        pace = pace.or_faster(measure(plan, data))
    return pace


def fit_to_budget(minutes: float, started: float, pace: Pace, recipe: Recipe, images: int) -> float:
    """Return how many epochs over `images` fit into what is left of the minutes since `started`; a step at least.

    Too few may be due to a slow moment of the machine. They are refused only where they would be too few on a machine
    `SLOW_MOMENT` times as fast.

    Raises:
        OptionError: they are too few.

    """
    spent = time.monotonic() - started
    left, fewest = 60 * minutes - spent, min(MIN_EPOCHS, recipe.max_epochs)
    at_best = Pace(*(seconds / SLOW_MOMENT for seconds in astuple(pace)))
    if at_best.epochs_within(left, recipe, images) < fewest:
        least = spent + pace.seconds(fewest, recipe, images, pace.intervals(fewest, recipe, images))
        an_epoch, rest = pace.seconds(1.0, recipe, images) - pace.ending, spent + pace.ending
        raise OptionError(
            f"{minutes:g} minutes are too few: here an epoch of {recipe.network} at {recipe.size}x{recipe.size} takes "
            f"{an_epoch:.0f} s, and data, evaluation and report {rest:.0f} s; give {math.ceil(least / 6) / 10:g} or "
            "more"
        )
    return min(max(recipe.batch_size / images, pace.epochs_within(left, recipe, images)), recipe.max_epochs)
