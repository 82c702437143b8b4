"""What will a run do? The recipe, the plan that a recipe becomes, and the named recipes."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from nin.errors import OptionError

NetworkName = Literal["nin", "alexnet", "vgg"]
RecipeName = Literal["quick", "seed"]
Initialisation = Literal["default", "xavier", "he"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]

LARGEST_SIZE = 4096  # pixels a side


@dataclass(frozen=True)
class Recipe:
    """What to do, before anything is known of the data or the machine.

    `size` is the side in pixels to which pictures are resized. `normalise` subtracts the training images' mean and
    divides by their standard deviation; without it pixels are 0..1. `batch_norm` trains the twin and folds it.
    `final_relu` trains NiN with its last ReLU, which can die; without, it is put on at the end (`folding.lift`).
    `warm_up` is the share of all steps in which the learning rate rises from 0; with `decay` it then falls in a line to
    0. `bfloat16` computes in bf16 (autocast) where the processor has it.
    """

    name: str
    network: NetworkName = "nin"
    size: int = 67
    epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    decay: bool = True
    label_smoothing: float = 0.1
    dropout: float = 0.0
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
            ("size", 1, LARGEST_SIZE),
            ("epochs", 1, 10_000),
            ("batch_size", 2 if self.batch_norm else 1, 1_000_000),
            ("learning_rate", 0, 1000),
            ("momentum", 0, 0.9999),
            ("weight_decay", 0, 1),
            ("warm_up", 0, 1),
            ("label_smoothing", 0, 0.9999),
            ("dropout", 0, 0.9999),
        ):
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} is from {low} to {high}, not {getattr(self, field)}")


@dataclass(frozen=True)
class Plan:
    """A recipe with its schedule resolved: all that a run needs beside the data, written to disk before the first step.

    `sizes` has the side of the pictures in each epoch, in pixels; the last is the size that ships. `mean` and `std` are
    a value a channel of pixels scaled to 0..1. `precision` is "bfloat16" (autocast) or "float32".
    """

    recipe: Recipe
    seed: int
    sizes: tuple[int, ...]
    steps_per_epoch: int
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    precision: Literal["bfloat16", "float32"]
    threads: int

    @property
    def epochs(self) -> int:
        """Epochs in the plan."""
        return len(self.sizes)

    @property
    def steps(self) -> int:
        """Optimiser steps in the whole plan."""
        return self.steps_per_epoch * self.epochs

    @property
    def warm_up_steps(self) -> int:
        """Optimiser steps in which the learning rate rises."""
        return round(self.recipe.warm_up * self.steps)

    def learning_rate(self, step: int) -> float:
        """Give the learning rate of `step`, counted from 0 over the whole plan.

        A line up to the recipe's rate, then, with `decay`, a line down. The first and the last step are near 0, not at
        it: there they would learn nothing.
        """
        rise = (step + 1) / (self.warm_up_steps + 1)
        fall = (self.steps - step) / max(1, self.steps - self.warm_up_steps) if self.recipe.decay else 1.0
        return self.recipe.learning_rate * min(rise, fall, 1.0)


def quick(epochs: int = 4) -> Recipe:
    """Train the twin with batch norm and without the last ReLU at 67x67, and ship the printed network: the default.

    Command: `nin train --seed N`. Over the seeds 0, 1, 2: 2 min 39 s on 2 cores (AMD EPYC, Zen 5), validation
    0.9293 ± 0.0021, test 0.9251 ± 0.0025. One epoch: 40 s, validation 0.9032 ± 0.0020 over
    ten seeds (docs/lab-notes.md).
    """
    return Recipe("quick", epochs=epochs)


def seed(epochs: int = 10) -> Recipe:
    """Do the seed's job as its source trains it: 224x224, Xavier-uniform start, plain SGD, no help.

    Command: `nin train --recipe seed`. About 3 hours on 2 cores (AMD EPYC, Zen 5: 50 images/s, measured over the first
    steps); its accuracy was not measured to the end yet. For one epoch at 67x67 see docs/lab-notes.md.
    """
    return Recipe(
        "seed",
        size=224,
        epochs=epochs,
        momentum=0.0,
        weight_decay=0.0,
        warm_up=0.0,
        decay=False,
        label_smoothing=0.0,
        dropout=0.5,
        initialisation="xavier",
        normalise=False,
        batch_norm=False,
        final_relu=True,
        bfloat16=False,
    )


def named(name: RecipeName, network: NetworkName = "nin", epochs: int | None = None) -> Recipe:
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
