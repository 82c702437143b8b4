"""What will a run do, step by step? The plan that a recipe becomes for given data on a given machine."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from nin.choices import Precision
from nin.data.images import LabelledImages
from nin.data.preprocessing import Preprocessing, preprocessing_for
from nin.device import fastest_precision
from nin.errors import OptionError
from nin.files import check_types, read_json
from nin.training.recipe import RECIPES, Recipe

Schedule = tuple[tuple[float, float], ...]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that a training starts from: as it was named, and the SHA-256 of its file of weights."""

    model: str
    sha256: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe with its schedule resolved: all that a run needs besides the data; written to disk first.

    When the machine turns out slower or faster, the plan is revised after a validation; what is on disk is what was
    executed.

    Attributes:
        recipe: what it was made from.
        seed: from 0 to 2^63 - 1.
        preprocessing: of the images.
        num_classes: classes in the data.
        steps_per_interval: optimizer steps of each validation interval: a pass through the training images or less,
            after which the network is validated and the state saved.
        schedule: breakpoints (step, factor) of the learning-rate schedule, with straight lines between them; the
            factors, from 0 to 1, are of the recipe's learning rates.
        device: where to train.
        precision: "bfloat16" (autocast) or "float32".
        threads: of the CPU.
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

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        check_types(self)
        steps = [step for step, _ in self.schedule]
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
            (all(map(math.isfinite, [*steps, *minutes])), "schedule and minutes must be finite numbers"),
            (all(0 <= factor <= 1 for _, factor in self.schedule), "the factors of schedule must be from 0 to 1"),
            (all(value > 0 for value in minutes), f"minutes must be over 0, not {self.minutes}"),
            (steps and steps == sorted(steps), "schedule must have breakpoints (step, factor) in order of the steps"),
            (self.num_classes >= 1, f"num_classes must be 1 or more, not {self.num_classes}"),
            (1 <= self.threads <= 4096, f"threads must be from 1 to 4096, not {self.threads}"),
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
        return round(max(self.schedule, key=lambda point: point[1])[0])

    def learning_rate_factor(self, step: float) -> float:
        """Return the factor on the recipe's learning rates after `step` steps of the whole plan.

        A step is made with the factor of its middle: at either end of the schedule it may be 0, and change nothing.
        """
        for (begin, low), (end, high) in pairwise(self.schedule):
            if begin <= step < end:
                return low + (high - low) * (step - begin) / (end - begin)
        return self.schedule[0][1] if step < self.schedule[0][0] else self.schedule[-1][1]


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


# --- Reading ---


def read_plan(path: Path) -> Plan:
    """Read a `plan.json`, of this version or of an earlier checkout.

    Raises:
        FileError: it cannot be read, or is not JSON.
        OptionError: it is not a plan.

    """
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise OptionError(f"{path}: a plan is a JSON object; name the plan.json of a run")
    try:
        return msgspec.convert(_upgrade(content), Plan)
    except msgspec.ValidationError as error:
        raise OptionError(f"{path}: {error}; name the plan.json of a run") from error
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:  # in what is upgraded
        raise OptionError(f"{path}: a field is missing or damaged ({error}); name the plan.json of a run") from error


def _upgrade(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename what checkouts up to 6c8ffc7 called otherwise; OptionError for what they had and this version has not."""
    if "steps_by_epoch" not in content or not isinstance(content.get("recipe"), Mapping):
        return content
    old, recipe = dict(content), dict(content["recipe"])
    sizes = {size for size, _ in recipe.pop("sizes")}
    if len(sizes) > 1 or recipe.pop("erase", 0):
        raise OptionError("it is of an older version, and several image sizes and erasing are no longer supported")
    recipe["name"] = {"seed": "d2l"}.get(recipe["name"], recipe["name"])
    recipe |= {"size": sizes.pop(), "muon_learning_rate": recipe.pop("muon")}
    if recipe["name"] in RECIPES:
        recipe["max_epochs"] = RECIPES[recipe["name"]]().max_epochs
    old.pop("sizes")
    return {
        "recipe": recipe,
        "preprocessing": {"size": recipe["size"], "mean": old.pop("mean"), "std": old.pop("std")},
        "num_classes": old.pop("classes"),
        "steps_per_interval": old.pop("steps_by_epoch"),
        **{key: value for key, value in old.items() if key != "recipe"},
    }
