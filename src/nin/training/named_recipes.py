"""Which recipes have a name, and what do they become for a network, a length and images?"""

import math
from typing import Literal

from msgspec.structs import replace

from nin.choices import Augmentation
from nin.data.images import Splits
from nin.errors import OptionError
from nin.networks.registry import find_architecture
from nin.training.recipe import Recipe

RecipeName = Literal["quick", "long", "long-67", "d2l"]

# Which regularisation from how many epochs on: the more often an image is seen, the more it has to vary
# (docs/lab-notes.md). Of networks that enlarge small images, and of those that take them as they are, for which it was
# chosen with NiN2013.
ENLARGED = ((0.0, {}), (4.0, {"flip": True}), (8.0, {"flip": True, "shift": 1}), (16.0, {"flip": True, "shift": 2}))
AS_THEY_ARE = (
    (0.0, {"flip": True, "shift": 2, "muon_weight_decay": 0.05}),
    (14.0, {"flip": True, "shift": 4, "erase": 8, "muon_weight_decay": 0.05}),
)
FEWEST_STEPS = 1500  # of a run whose recipe was made for more images; fewer teach too little (docs/lab-notes.md)
STEPS_PER_EPOCH = 20


def quick(epochs: float = 8.0, network: str = "nin") -> Recipe:
    """Return the default recipe, for minutes: the batch-norm variant, at the fastest of the network's sizes.

    Muon updates the convolutions. Regularisation grows with the epochs. With more minutes NiN gets a larger size, by
    `nin.training.budget.choose_size`.

    Command: `nin train --minutes M --seed N`. Results: docs/time-to-accuracy.md.
    """
    architecture = find_architecture(network)
    thresholds = ENLARGED if architecture.enlarges else AS_THEY_ARE
    *_, regularisation = (fields for fewest, fields in thresholds if epochs >= fewest)
    return replace(Recipe("quick", network, architecture.sizes[0], epochs), **regularisation)


def long(epochs: float | None = None, network: str = "nin") -> Recipe:
    """Return the recipe of `fashion-mnist`, `fashion-mnist-maps` and `cifar10`: longer, at a size at which maps point.

    For NiN eight epochs at 131x131, where a class map has 3x3 cells; for NiN2013 16 epochs.

    Command: `nin train --recipe long --seed N`. Results: docs/lab-notes.md and the model cards.
    """
    architecture = find_architecture(network)
    if architecture.enlarges:
        return Recipe("long", network, architecture.sizes[-1], 8.0 if epochs is None else epochs, flip=True, shift=1)
    return replace(quick(16.0 if epochs is None else epochs, network), name="long")


def long_67(epochs: float = 24.0, network: str = "nin") -> Recipe:
    """Return the recipe of the model `fashion-mnist-fast`: longer, at 67x67.

    Command: `nin train --recipe long-67 --seed N`. Results: docs/lab-notes.md and the model card.

    Raises:
        OptionError: the network does not enlarge images.

    """
    architecture = find_architecture(network)
    if not architecture.enlarges:
        raise OptionError(f"the recipe long-67 enlarges images, and {architecture.title} does not; take quick or long")
    return Recipe("long-67", network, 67, epochs, flip=True, shift=2)


def d2l(epochs: float = 10.0, network: str = "nin") -> Recipe:
    """Return the textbook's training: Xavier-uniform initialisation, plain SGD, no batch norm; NiN at 224x224.

    Dive into Deep Learning, section 7.3 of its first edition, with a learning rate of 0.1; the current one has 0.05.
    Command: `nin train --recipe d2l`. Hours on a CPU; results at smaller sizes: docs/why-nin-collapses.md.
    """
    return Recipe(
        "d2l",
        network,
        find_architecture(network).default_size,
        epochs,
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


def named_recipe(name: str, network: str = "nin", epochs: float | None = None) -> Recipe:
    """Look up a recipe by name, for one of the networks; of its own length unless `epochs` is given.

    Raises:
        OptionError: no such recipe or network, or epochs out of range.

    """
    if name not in RECIPES:
        raise OptionError(f"there is no recipe {name!r}: the recipes are {', '.join(RECIPES)}")
    return RECIPES[name](network=network) if epochs is None else RECIPES[name](epochs, network)


def for_images(recipe: Recipe, splits: Splits) -> Recipe:
    """Adapt a named recipe, made for tens of thousands of images, to these.

    For few images: smaller batches, so that an epoch has some steps; and more epochs, if the minutes allow them. A
    network that does not enlarge images trains at their own size where that is smaller. Shifts are an eighth of the
    side at most, of colour images with reflection padding, and erased squares a quarter.
    """
    images, architecture = len(splits.train), find_architecture(recipe.network)
    batch = 2 ** max(4, round(math.log2(max(1, images / STEPS_PER_EPOCH))))
    batch = min(recipe.batch_size, batch, images)
    longest = max(recipe.max_epochs, FEWEST_STEPS * batch / images)
    side = max(splits.train.images.shape[2:])
    size = recipe.size if architecture.enlarges else max(architecture.smallest_size, min(recipe.size, side))
    shift, erase = min(recipe.shift, side // 8), min(recipe.erase, side // 4)
    reflect = splits.train.channels == 3
    return replace(recipe, batch_size=batch, max_epochs=longest, size=size, shift=shift, reflect=reflect, erase=erase)


def with_augmentation(recipe: Recipe, augmentation: Augmentation) -> Recipe:
    """Return the recipe with all of its augmentation, without flips, or without any."""
    without = {"full": {}, "no-flip": {"flip": False}, "none": {"flip": False, "shift": 0, "erase": 0}}
    return replace(recipe, **without[augmentation])
