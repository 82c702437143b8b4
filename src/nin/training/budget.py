"""How much training fits into the minutes? Measured speed becomes an image size, a number of epochs, and threads."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from nin.choices import Precision
from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.distributed import from_main, gather, processes, share
from nin.errors import OptionError
from nin.networks.forward import evaluating, forward_batches
from nin.networks.registry import build_network
from nin.networks.summary import layers
from nin.training.events import Step, Trouble
from nin.training.fit import Training
from nin.training.health import MIN_EPOCHS
from nin.training.network import IMAGES_FOR_SHIFT, final_network, initial_network
from nin.training.plan import Plan, resolve_schedule
from nin.training.recipe import Recipe
from nin.training.threads import thread_counts

FEWEST_STEPS = 20
SLOW_MOMENT = 8  # how many times slower than it is a machine may look in the moment in which it is measured
EPOCHS_TO_ENLARGE, STEPS_TO_ENLARGE = 4.0, 800  # that must fit at a larger size for it to win (docs/lab-notes.md)
SECONDS_PER_INTERVAL = 60  # no interval is planned longer
SECONDS_FOR_REPORT = 4  # figures, model card and report
SECONDS_TO_MEASURE = 3.0  # training steps in a number of threads, on a slow machine
SHARE_TO_MEASURE = 1 / 50  # of the minutes, where they are few


@dataclass(frozen=True)
class Pace:
    """Seconds that this machine needs for a recipe.

    Attributes:
        step: a training step.
        validation: a validation after an interval.
        evaluation: the final evaluation.
        threads: with which a step was fastest when it was measured.
        fastest: the fastest training step with so many threads.

    """

    step: float
    validation: float
    evaluation: float
    threads: int = 1
    fastest: Mapping[int, float] = field(default_factory=dict)

    @property
    def ending(self) -> float:
        """Seconds for all that comes after the last validation."""
        return self.evaluation + SECONDS_FOR_REPORT

    def times(self, factor: float) -> "Pace":
        """Return the pace at which everything takes `factor` times as long."""
        return dataclasses.replace(
            self, step=factor * self.step, validation=factor * self.validation, evaluation=factor * self.evaluation
        )

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


def measure(plan: Plan, data: Splits, seconds: float = SECONDS_TO_MEASURE) -> Pace:
    """Time real training steps and forward passes; takes seconds. The network trained here is thrown away.

    Of several processes, which wait for each other in every step, it is the slowest that is timed.

    Args:
        plan: any plan of the recipe for these data on this device.
        data: to train on and to evaluate.
        seconds: after which no more steps are taken with a number of threads, once there is one besides the warm-up.

    Raises:
        OptionError: the network is dead from its first step on.

    """
    counts = share(thread_counts(plan))
    took = {n: _step_seconds(plan, data, n, 10 if n == counts[0] else 3, seconds) for n in counts}
    took = share(took)
    fastest = {threads: min(steps) for threads, steps in took.items()}
    threads = min(counts, key=lambda threads: median(took[threads]))
    torch.set_num_threads(threads)
    step, network = min(fastest.values()), initial_network(plan)
    # As many images as are trained on in a second are enough to time the forward pass, which is faster.
    few = data.validation.first(max(50, min(500, int(plan.recipe.batch_size / step))))
    validation = len(data.validation) * _seconds_per_image(network, few.images, plan.preprocessing, plan.precision)
    final = final_network(network, plan, few)
    held_out = len(data.validation) + (0 if data.test is None else len(data.test))
    evaluated = held_out + min(IMAGES_FOR_SHIFT, len(data.train))
    evaluation = evaluated * _seconds_per_image(final, few.images, plan.preprocessing, "float32")
    return share(Pace(step, validation, evaluation, threads, fastest))


def _step_seconds(plan: Plan, data: Splits, threads: int, steps: int, seconds: float) -> list[float]:
    """Train for some steps or seconds with so many threads; return the seconds of each after the first, a warm-up."""
    steps = steps if plan.device == "cpu" else 100  # an accelerator reports every 20
    schedule = ((0.0, 0.0), (float(steps), 0.0))
    probe = replace(plan, steps_per_interval=(steps + 1,), schedule=schedule, revisions=(), thread_changes=())
    torch.set_num_threads(threads)
    found: list[float] = []
    started = time.monotonic()
    for event in Training(initial_network(probe), data.train, data.validation, probe).fit():
        if isinstance(event, Trouble) and event.kind == "dead":
            raise OptionError(f"nothing can be planned for: {event.message}")
        if isinstance(event, Step):
            found.append(plan.recipe.batch_size / event.images_per_second)
            most = seconds if len(found) > 1 else SECONDS_TO_MEASURE
            if share(event.step >= steps or time.monotonic() - started > most):
                break
    return found[1:] or found


def _seconds_per_image(network: nn.Module, images: Tensor, preprocessing: Preprocessing, precision: Precision) -> float:
    """Time the forward pass of some images, in each process; the first of three times is warm-up.

    Several processes divide the images: of the slowest, the seconds are those of its share of an image.
    """
    device = next(network.parameters()).device
    took: list[float] = []
    with evaluating(network):
        for _ in range(3):
            started = time.perf_counter()
            next(forward_batches(network, [images], preprocessing, device, precision)).sum().item()
            took.append(time.perf_counter() - started)
    return max(gather(min(took[1:]))) / len(images) / processes()


def plan_for_minutes(
    minutes: float,
    started: float,
    plan: Plan,
    recipe_for: Callable[[float], Recipe],
    data: Splits,
    sizes: Sequence[int] = (),
) -> tuple[Plan, Pace]:
    """Return the plan that fills what is left of the minutes since `started`, and the measured pace.

    Args:
        minutes: how long the whole run may take.
        started: the `time.monotonic()` from which they count.
        plan: any plan of the recipe for these data.
        recipe_for: the recipe for a number of epochs.
        data: to train on and to evaluate.
        sizes: to choose from, for images that are smaller than all of them; other images keep the plan's size.

    Raises:
        OptionError: the minutes are too few.

    """
    images, deadline = len(data.train), started + 60 * minutes
    seconds = min(SECONDS_TO_MEASURE, SHARE_TO_MEASURE * 60 * minutes)
    pace = measure(plan, data, seconds)
    if sizes and max(data.train.images.shape[2:]) < sizes[0]:
        so_far = pace
        size = from_main(lambda: choose_size(deadline - time.monotonic(), so_far, plan, images, sizes))
        if size != plan.recipe.size:
            plan = with_size(plan, size)
            pace = measure(plan, data, seconds)
    epochs = from_main(lambda: fit_to_budget(minutes, started, pace, plan.recipe, images))
    recipe = replace(recipe_for(epochs), size=plan.recipe.size)
    steps_per_interval, schedule = resolve_schedule(recipe, images, pace.intervals(epochs, recipe, images))
    changes = {"recipe": recipe, "steps_per_interval": steps_per_interval, "schedule": schedule}
    return replace(plan, **changes, minutes=minutes, threads=pace.threads), pace


def fit_to_budget(minutes: float, started: float, pace: Pace, recipe: Recipe, images: int) -> float:
    """Return how many epochs over `images` fit into what is left of the minutes since `started`.

    Few may be due to a slow moment of the machine: `FEWEST_STEPS` are planned at least, for the plan to be revised by
    the clock, and few are refused only where they would be too few on a machine `SLOW_MOMENT` times as fast.

    Raises:
        OptionError: they are too few.

    """
    spent = time.monotonic() - started
    left, fewest = 60 * minutes - spent, min(MIN_EPOCHS, recipe.max_epochs)
    if pace.times(1 / SLOW_MOMENT).epochs_within(left, recipe, images) < fewest:
        least = spent + pace.seconds(fewest, recipe, images, pace.intervals(fewest, recipe, images))
        an_epoch, rest = pace.seconds(1.0, recipe, images) - pace.ending, spent + pace.ending
        raise OptionError(
            f"{minutes:g} minutes are too few: here an epoch of {recipe.network} at {recipe.size}x{recipe.size} takes "
            f"{an_epoch:.0f} s, and data, evaluation and report {rest:.0f} s; give {math.ceil(least / 6) / 10:g} or "
            "more"
        )
    few = FEWEST_STEPS * recipe.batch_size / images
    return min(max(few, pace.epochs_within(left, recipe, images)), recipe.max_epochs)


def choose_size(seconds: float, pace: Pace, plan: Plan, images: int, sizes: Sequence[int]) -> int:
    """Return the largest of the sizes at which enough epochs and steps fit into the seconds, or the plan's.

    Args:
        seconds: what is left of the minutes.
        pace: as measured at the plan's size. At others it is estimated by the network's multiply-adds.
        plan: of the recipe.
        images: to train on.
        sizes: to choose from.

    """
    enough = max(EPOCHS_TO_ENLARGE, STEPS_TO_ENLARGE * plan.recipe.batch_size / images)
    per_image = {size: _multiply_adds(with_size(plan, size)) for size in {*sizes, plan.recipe.size}}
    for size in sorted(sizes, reverse=True):
        slower = per_image[size] / per_image[plan.recipe.size]
        if pace.times(slower).epochs_within(seconds, plan.recipe, images) >= enough:
            return size
    return plan.recipe.size


def _multiply_adds(plan: Plan) -> int:
    recipe, channels = plan.recipe, plan.preprocessing.channels
    with torch.device("meta"):  # shapes are enough
        network = build_network(recipe.network, channels, plan.num_classes, recipe.size)
    return sum(layer.multiply_adds for layer in layers(network, channels, recipe.size))


def with_size(plan: Plan, size: int) -> Plan:
    """Return the plan for images resized to another size."""
    recipe, preprocessing = replace(plan.recipe, size=size), replace(plan.preprocessing, size=size)
    return replace(plan, recipe=recipe, preprocessing=preprocessing)
