"""What will a run do, before anything is known of data and machine? The recipe, and the named recipes."""

import math
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from nin.choices import Initialisation
from nin.errors import OptionError
from nin.files import check_types
from nin.networks.registry import LARGEST_SIZE, find_architecture

RecipeName = Literal["quick", "long", "long-67", "d2l"]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do, before anything is known of the data or the machine.

    Attributes:
        name: what the report calls it.
        network: a name of `nin.networks.registry`.
        size: side in pixels to which images are resized.
        epochs: passes through the training images; may be a fraction.
        max_epochs: the most epochs that a budget of minutes is used for; with more, the network would only overfit.
        batch_size: images in a step.
        learning_rate: the peak learning rate of SGD.
        muon_learning_rate: the peak learning rate of Muon, which updates the weights of convolutions; 0 leaves them to
            SGD.
        momentum: Nesterov momentum of both optimizers.
        weight_decay: of the parameters that SGD updates.
        warm_up: fraction of all steps in which the learning rates rise linearly from 0.
        decay: whether they then fall linearly to 0.
        label_smoothing: of the cross-entropy (Szegedy et al. 2015).
        dropout: probability of the network's dropout.
        flip: whether each image is mirrored in alternate epochs.
        shift: the most pixels by which an image is shifted, before resizing.
        reflect: whether the image mirrored at its edge moves in where it is shifted; otherwise black does.
        erase: the side in pixels of a square that is erased from each image, before resizing.
        initialisation: see `nin.networks.initialisation`.
        normalise: whether the training images' mean is subtracted and their standard deviation divided by; otherwise
            pixels are scaled to 0..1.
        batch_norm: whether to train the batch-norm variant, and fold it.
        final_relu: whether NiN is trained with its last ReLU, which can die; otherwise it is added after training.
        bfloat16: whether to compute in bf16 (autocast) where the hardware has it.

    Raises:
        OptionError: a value of another type or out of its range, or an unknown network.

    """

    name: str
    network: str = "nin"
    size: int = 67
    epochs: float = 8.0
    max_epochs: float = 100.0
    batch_size: int = 256
    learning_rate: float = 0.1
    muon_learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    decay: bool = True
    label_smoothing: float = 0.1
    dropout: float = 0.0
    flip: bool = False
    shift: int = 0
    reflect: bool = False
    erase: int = 0
    initialisation: Initialisation = "he"
    normalise: bool = True
    batch_norm: bool = True
    final_relu: bool = False
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check types and ranges."""
        if self.initialisation not in get_args(Initialisation):
            allowed = ", ".join(get_args(Initialisation))
            raise OptionError(f"initialisation must be one of {allowed}, not {self.initialisation!r}")
        check_types(self)
        find_architecture(self.network)
        for field, low, high in (
            ("size", 1, LARGEST_SIZE),
            ("epochs", 0.001, 10_000),
            ("max_epochs", 0.001, 10_000),
            ("batch_size", 2 if self.batch_norm else 1, 1_000_000),
            ("learning_rate", 0, 1000),
            ("muon_learning_rate", 0, 1000),
            ("momentum", 0, 0.9999),
            ("weight_decay", 0, 1),
            ("warm_up", 0, 1),
            ("label_smoothing", 0, 0.9999),
            ("dropout", 0, 0.9999),
            ("shift", 0, 1000),
            ("erase", 0, 1000),
        ):
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} must be from {low} to {high}, not {getattr(self, field)!r}")


# --- The named recipes ---

FLIP_FROM = 4.0  # epochs; shorter runs are better without (docs/lab-notes.md)


def quick(epochs: float = 8.0) -> Recipe:
    """Return the default recipe, for minutes: the batch-norm variant without the last ReLU, at 67x67.

    Muon updates the convolutions. With four epochs or more, images are mirrored in alternate epochs.

    Command: `nin train --minutes M --seed N`. Results: docs/time-to-accuracy.md.
    """
    return Recipe("quick", epochs=epochs, max_epochs=20.0, flip=epochs >= FLIP_FROM)


def long(epochs: float = 8.0) -> Recipe:
    """Return the recipe of the model `fashion-mnist`: longer, at 131x131, where a class map has 3x3 cells.

    Command: `nin train --recipe long --seed N`. Results: docs/lab-notes.md and the model card.
    """
    return Recipe("long", size=131, epochs=epochs, flip=True, shift=1)


def long_67(epochs: float = 24.0) -> Recipe:
    """Return the recipe of the model `fashion-mnist-fast`: longer, at 67x67, the fastest size.

    Command: `nin train --recipe long-67 --seed N`. Results: docs/lab-notes.md and the model card.
    """
    return Recipe("long-67", epochs=epochs, flip=True, shift=2)


def d2l(epochs: float = 10.0) -> Recipe:
    """Return the textbook's training: 224x224, Xavier-uniform initialisation, plain SGD, no batch norm.

    Dive into Deep Learning, section 7.3 of its first edition, with a learning rate of 0.1; the current one has 0.05.
    Command: `nin train --recipe d2l`. Hours on a CPU; results at smaller sizes: docs/why-nin-collapses.md.
    """
    return Recipe(
        "d2l",
        size=224,
        epochs=epochs,
        muon_learning_rate=0.0,
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


RECIPES = {"quick": quick, "long": long, "long-67": long_67, "d2l": d2l}


def with_epochs(recipe: Recipe, epochs: float) -> Recipe:
    """Return the recipe for another number of epochs, by which a named recipe also chooses whether to flip.

    Raises:
        OptionError: epochs out of range.

    """
    if recipe.name in RECIPES:
        fitted = {name: getattr(recipe, name) for name in _FITTED}
        if recipe == replace(RECIPES[recipe.name](recipe.epochs), **fitted):
            return replace(RECIPES[recipe.name](epochs), **fitted)
    return replace(recipe, epochs=epochs)


_FITTED = ("network", "size", "batch_size", "max_epochs")  # to the data or a model: the recipe is still the named one
FEWEST_STEPS = 1500  # of a run whose recipe was made for more images; fewer teach too little (docs/lab-notes.md)
STEPS_PER_EPOCH = 20


def for_images(recipe: Recipe, images: int) -> Recipe:
    """Adapt a recipe made for tens of thousands of images to `images` training images.

    For few images: smaller batches, so that an epoch has some steps; and more epochs, if the minutes allow them.
    """
    batch = 2 ** max(4, round(math.log2(max(1, images / STEPS_PER_EPOCH))))
    batch = min(recipe.batch_size, batch, images)
    return replace(recipe, batch_size=batch, max_epochs=max(recipe.max_epochs, FEWEST_STEPS * batch / images))


def named_recipe(name: str, network: str = "nin", epochs: float | None = None) -> Recipe:
    """Look up a recipe by name, for one of the networks; of its own length unless `epochs` is given.

    Raises:
        OptionError: no such recipe or network, or epochs out of range.

    """
    if name not in RECIPES:
        raise OptionError(f"there is no recipe {name!r}: the recipes are {', '.join(RECIPES)}")
    recipe = RECIPES[name]() if epochs is None else RECIPES[name](epochs)
    return replace(recipe, network=network)
