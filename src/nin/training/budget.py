"""How much training fits into the minutes? Measured speed becomes an image size, a number of epochs, and threads."""

import math
import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from nin.data.images import Splits
from nin.distributed import from_main
from nin.errors import OptionError
from nin.networks.registry import build_without_weights
from nin.networks.summary import layers
from nin.training.health import MIN_EPOCHS
from nin.training.pace import Pace, measure
from nin.training.plan import Plan, resolve_schedule
from nin.training.recipe import Recipe

FEWEST_STEPS = 20
SLOW_MOMENT = 8  # how many times slower than it is a machine may look in the moment in which it is measured
EPOCHS_TO_ENLARGE, STEPS_TO_ENLARGE = 4.0, 800  # that must fit at a larger size for it to win (docs/lab-notes.md)


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
    plan = replace(plan, minutes=minutes)
    pace = measure(plan, data)
    if sizes and max(data.train.images.shape[2:]) < sizes[0]:
        so_far = pace
        size = from_main(lambda: choose_size(deadline - time.monotonic(), so_far, plan, images, sizes))
        if size != plan.recipe.size:
            plan = with_size(plan, size)
            pace = measure(plan, data)
    epochs = from_main(lambda: fit_to_budget(minutes, started, pace, plan.recipe, images))
    recipe = replace(recipe_for(epochs), size=plan.recipe.size)
    steps_per_interval, schedule = resolve_schedule(recipe, images, pace.intervals(epochs, recipe, images))
    changes = {"recipe": recipe, "steps_per_interval": steps_per_interval, "schedule": schedule}
    return replace(plan, **changes, threads=pace.threads), pace


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
            f"{minutes:g} min is too short: here an epoch of {recipe.network} at {recipe.size}x{recipe.size} takes "
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
        slower = per_image[size] / per_image[plan.recipe.size] if per_image[plan.recipe.size] else 1.0
        if pace.times(slower).epochs_within(seconds, plan.recipe, images) >= enough:
            return size
    return plan.recipe.size


def _multiply_adds(plan: Plan) -> int:
    recipe, channels = plan.recipe, plan.preprocessing.channels
    network = build_without_weights(recipe.network, channels, plan.num_classes, recipe.size)
    return sum(layer.multiply_adds for layer in layers(network, channels, recipe.size))


def with_size(plan: Plan, size: int) -> Plan:
    """Return the plan for images resized to another size."""
    recipe, preprocessing = replace(plan.recipe, size=size), replace(plan.preprocessing, size=size)
    return replace(plan, recipe=recipe, preprocessing=preprocessing)
