"""How fast does this machine train and evaluate a recipe's network? Timed in a few real steps."""

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from nin.choices import Precision
from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.distributed import gather, processes, share
from nin.errors import OptionError
from nin.networks.forward import evaluating, forward_batches
from nin.training.events import Step, Trouble
from nin.training.fit import Training
from nin.training.network import IMAGES_FOR_SHIFT, final_network, initial_network
from nin.training.plan import Plan
from nin.training.recipe import Recipe
from nin.training.threads import thread_counts

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


def measure(plan: Plan, data: Splits) -> Pace:
    """Time real training steps and forward passes; takes seconds. The network trained here is thrown away.

    Of several processes, which wait for each other in every step, it is the slowest that is timed.

    Args:
        plan: any plan of the recipe for these data on this device; if its minutes are few, fewer steps are timed.
        data: to train on and to evaluate.

    Raises:
        OptionError: the network is dead from its first step on.

    """
    counts = share(thread_counts(plan))
    seconds = {threads: _step_seconds(plan, data, threads, 10 if threads == counts[0] else 3) for threads in counts}
    seconds = share(seconds)
    fastest = {threads: min(steps) for threads, steps in seconds.items()}
    threads = min(counts, key=lambda threads: median(seconds[threads]))
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


def _step_seconds(plan: Plan, data: Splits, threads: int, steps: int) -> list[float]:
    """Train for some steps or seconds with so many threads; return the seconds of each after the first, a warm-up.

    After the warm-up at least one more step is taken, unless the warm-up alone has taken `SECONDS_TO_MEASURE`.
    """
    steps = steps if plan.device == "cpu" else 100  # an accelerator reports every 20
    schedule = ((0.0, 0.0), (float(steps), 0.0))
    probe = replace(plan, steps_per_interval=(steps + 1,), schedule=schedule, revisions=(), thread_changes=())
    torch.set_num_threads(threads)
    found: list[float] = []
    training = Training(initial_network(probe), data.train, data.validation, probe)
    most, started = SECONDS_TO_MEASURE, time.monotonic()
    for event in training.fit():
        if isinstance(event, Trouble) and event.kind == "dead":
            raise OptionError(f"nothing can be planned for: {event.message}")
        if isinstance(event, Step):
            found.append(plan.recipe.batch_size / event.images_per_second)
            if share(event.step >= steps or time.monotonic() - started > most):
                break
            if len(found) == 1:
                minutes = math.inf if plan.minutes is None else plan.minutes
                most, started = min(SECONDS_TO_MEASURE, SHARE_TO_MEASURE * 60 * minutes), time.monotonic()
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
