"""What will a run do, before anything is known of data and machine? The recipe, and the named recipes."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from nin.errors import OptionError

NetworkName = Literal["nin", "alexnet", "vgg"]
RecipeName = Literal["quick", "long", "long-67", "seed"]
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


# ---------------------------------------------------------------------------------------------------------------------
# The named recipes

# Epochs beyond which more minutes are not used: quick has learnt its training images by heart after 14.
LONGEST = {"quick": 20.0, "long": 100.0, "long-67": 100.0, "seed": 100.0}


FLIP_FROM = 4.0  # epochs; shorter runs are better without (docs/lab-notes.md)


def quick(epochs: float = 8.0) -> Recipe:
    """Train the twin with batch norm and without the last ReLU at 67x67, and ship the printed network: the default.

    Muon moves the convolutions. Runs that see each image four times or more see it mirrored every second time.

    Command: `nin train --minutes M --seed N`. Means over the seeds 0, 1, 2 on 2 cores (AMD EPYC, Zen 5), validation and
    test: 2 minutes 0.9338 and 0.9287, 5 minutes 0.9412 and 0.9366, 10 minutes 0.9440 and 0.9386
    (docs/time-to-accuracy.md).
    """
    return Recipe("quick", epochs=epochs, flip=epochs >= FLIP_FROM)


def long(epochs: float = 8.0) -> Recipe:
    """Train on for the most accurate network: 131x131 throughout, where a class map has 3x3 cells.

    Command: `nin train --recipe long --seed N`: means over the seeds 0, 1, 2 validation 0.9529 ± 0.0011, test 0.9482 ±
    0.0017, in 31 minutes on one core (AMD EPYC, Zen 5) each. The package's weights `fashion-mnist` come from it.
    """
    return Recipe("long", epochs=epochs, sizes=((131, 1.0),), flip=True, shift=1)


def long_67(epochs: float = 24.0) -> Recipe:
    """Train on for the most accurate network at 67x67, the fastest size.

    Command: `nin train --recipe long-67 --seed N`: means over the seeds 0, 1, 2 validation 0.9477 ± 0.0071, test
    0.9400 ± 0.0057, in 26 minutes on one core (AMD EPYC, Zen 5) each. The package's weights `fashion-mnist-fast`
    come from it.
    """
    return Recipe("long-67", epochs=epochs, flip=True, shift=2)


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
    recipes = {"quick": quick, "long": long, "long-67": long_67, "seed": seed}
    if name not in recipes:
        raise OptionError(f"there is no recipe {name!r}: the recipes are {', '.join(recipes)}")
    if network not in get_args(NetworkName):
        raise OptionError(f"there is no network {network!r}: the networks are {', '.join(get_args(NetworkName))}")
    recipe = recipes[name]() if epochs is None else recipes[name](epochs)
    return replace(recipe, network=network)
