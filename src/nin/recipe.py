"""What will a run do? The recipe, the plan that a recipe becomes, and the named recipes."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

import msgspec

from nin.errors import OptionError

NetworkName = Literal["nin", "alexnet", "vgg"]
RecipeName = Literal["quick", "seed"]
Initialisation = Literal["default", "xavier", "he", "identity"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]

LARGEST_SIZE = 4096  # pixels a side


@dataclass(frozen=True)
class Recipe:
    """What to do, before anything is known of the data or the machine.

    `epochs` is how often each training image is seen; it may be a fraction. `sizes` has pairs of the side in pixels to
    which pictures are resized and the share of the steps made at it, in order; the last is the size that ships.
    `normalise` subtracts the training images' mean and divides by their standard deviation; without it pixels are 0..1.
    `flip` shows every second time an image is seen its mirror image, `shift` moves it by up to so many pixels of its
    own, and `erase` is the share of the times that a rectangle of it is erased.

    `muon` is the learning rate of the convolutions' weights under Muon; at 0 SGD moves them like everything else, by
    `learning_rate`. `warm_up` is the share of all steps in which the rates rise from 0; with `decay` they then fall in
    a line to 0.

    `batch_norm` trains the twin and folds it. `final_relu` trains NiN with its last ReLU, which can die; without, it is
    put on at the end (`folding.lift`). `bfloat16` computes in bf16 (autocast) where the processor has it.
    """

    name: str
    network: NetworkName = "nin"
    epochs: float = 8.0
    sizes: tuple[tuple[int, float], ...] = ((67, 1.0),)
    batch_size: int = 256
    learning_rate: float = 0.1
    muon: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    decay: bool = True
    label_smoothing: float = 0.1
    dropout: float = 0.0
    flip: bool = False
    shift: int = 0
    erase: float = 0.0
    initialisation: Initialisation = "he"
    normalise: bool = True
    batch_norm: bool = True
    final_relu: bool = False
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: a value out of its range.

        """
        for field, low, high in (
            ("epochs", 0.001, 10_000),
            ("batch_size", 2 if self.batch_norm else 1, 1_000_000),
            ("learning_rate", 0, 1000),
            ("muon", 0, 1000),
            ("momentum", 0, 0.9999),
            ("weight_decay", 0, 1),
            ("warm_up", 0, 1),
            ("label_smoothing", 0, 0.9999),
            ("dropout", 0, 0.9999),
            ("shift", 0, 1000),
            ("erase", 0, 1),
        ):
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} is from {low} to {high}, not {getattr(self, field)}")
        if not self.sizes or any(not 1 <= size <= LARGEST_SIZE or not 0 < share <= 1 for size, share in self.sizes):
            raise OptionError(f"sizes are pairs of 1 to {LARGEST_SIZE} pixels and a share over 0, not {self.sizes}")

    @property
    def size(self) -> int:
        """Side of the pictures at the end, which is the size that ships."""
        return self.sizes[-1][0]

    def at(self, size: int) -> "Recipe":
        """Give the same recipe with pictures of one size throughout."""
        return replace(self, sizes=((size, 1.0),))


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


# ---------------------------------------------------------------------------------------------------------------------
# The named recipes

# Epochs beyond which more minutes are not used: quick has learnt its training images by heart after 14.
LONGEST = {"quick": 20.0, "seed": 100.0}


FLIP_FROM = 4.0  # epochs; shorter runs are better without (docs/lab-notes.md)


def quick(epochs: float = 8.0) -> Recipe:
    """Train the twin with batch norm and without the last ReLU at 67x67, and ship the printed network: the default.

    Muon moves the convolutions. Runs that see each image four times or more see it mirrored every second time.

    Command: `nin train --minutes M --seed N`. Means over the seeds 0, 1, 2 on 2 cores (AMD EPYC, Zen 5), validation and
    test: 2 minutes 0.9338 and 0.9287, 5 minutes 0.9412 and 0.9366, 10 minutes 0.9440 and 0.9386
    (docs/time-to-accuracy.md).
    """
    return Recipe("quick", epochs=epochs, flip=epochs >= FLIP_FROM)


def seed(epochs: float = 10.0) -> Recipe:
    """Do the seed's job as its source trains it: 224x224, Xavier-uniform start, plain SGD, no help.

    Command: `nin train --recipe seed`. About 3 hours on 2 cores (AMD EPYC, Zen 5: 50 images/s, measured over the first
    steps); its accuracy was not measured to the end yet. For one epoch at 67x67 see docs/lab-notes.md.
    """
    return Recipe(
        "seed",
        epochs=epochs,
        sizes=((224, 1.0),),
        muon=0.0,
        momentum=0.0,
        weight_decay=0.0,
        warm_up=0.0,
        decay=False,
        label_smoothing=0.0,
        dropout=0.5,
        batch_size=128,
        initialisation="xavier",
        normalise=False,
        batch_norm=False,
        final_relu=True,
        bfloat16=False,
    )


def named(name: RecipeName, network: NetworkName = "nin", epochs: float | None = None) -> Recipe:
    """Look up a recipe by name, for one of the networks, of the recipe's own length unless `epochs` says otherwise.

    Raises:
        OptionError: no such recipe or network, or epochs out of range.

    """
    recipes = {"quick": quick, "seed": seed}
    if name not in recipes:
        raise OptionError(f"there is no recipe {name!r}: the recipes are {', '.join(recipes)}")
    if network not in get_args(NetworkName):
        raise OptionError(f"there is no network {network!r}: the networks are {', '.join(get_args(NetworkName))}")
    recipe = recipes[name]() if epochs is None else recipes[name](epochs)
    return replace(recipe, network=network)
