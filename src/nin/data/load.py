"""How does any source become training, validation and test images? One function for names, folders, arrays, the hub."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from nin.choices import Fit, Part, check_choice
from nin.data.images import LabelledImages, Origin, Splits
from nin.data.photos.preparation import Preparation
from nin.data.progress import Progress, no_progress
from nin.data.read import NAMED, Given, read_source, with_origin
from nin.data.splitting import edge
from nin.errors import DataError, OptionError

SHARE = 0.1  # of the images, that validation and test get by default
LARGEST_SIZE = 4096  # pixels a side, that photos become
SIZE = 67  # pixels a side: what the recipe quick trains at


def load_dataset(
    source: Any = "fashion-mnist",
    *,
    size: int = SIZE,
    fit: str | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    preparation: Preparation | None = None,
    channels: int | None = None,
    on_progress: Progress = no_progress,
) -> Splits:
    """Read images of any source, verified and split.

    Args:
        source: a name ("fashion-mnist", "cifar10", "mnist"), found on this machine or fetched; a folder of photos,
            `DIR/<class>/<photo>` or `DIR/<split>/<class>/<photo>`, or with a metadata.csv or metadata.jsonl; a folder
            of IDX files; "hf:owner/name" or "hf:path" of the Hugging Face hub's `datasets`; `(images, labels)` or
            `(images, labels, names)`, see `nin.data.sources.arrays.from_arrays`; a `LabelledImages`; a `Splits`, which
            stays as it is, but for what is known of its duplicates; a `datasets.Dataset` or `DatasetDict`.
        size: side in pixels of the squares that photos become. Known data sets and images in memory stay as they are,
            whatever is said here of photos.
        fit: how a photo that is not square becomes so: "pad" (the default), "crop" or "stretch".
        validation: share of the images to hold out for validation where the source has no such split; default: 0.1.
        test: the same for testing; default: 0.1, and none from a source that is split already. 0 makes no test split.
        seed: of what is held out. Equal images are always held out together.
        preparation: how photos become images, in place of `fit`; what a model's config says, for example.
        channels: of the images that photos become; default: 3 if any of them has colour, else 1.
        on_progress: called while photos are decoded or data is fetched, with what is done, how much, and of how much.

    Raises:
        DataError: what is wrong with the source, in one line.
        OptionError: an option out of its range, or that does not fit the source.

    """
    for name, value, least, most in (("size", size, 1, LARGEST_SIZE), ("seed", seed, 0, 2**32 - 1)):
        if not isinstance(value, int) or not least <= value <= most:
            raise OptionError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    if channels not in (None, 1, 3):
        raise OptionError(f"channels must be 1 or 3, not {channels!r}")
    for name, value in (("validation", validation), ("test", test)):
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < 1):
            raise OptionError(f"{name} is a share of the images, at least 0 and less than 1, not {value!r}")
    if fit is not None:
        check_choice("fit", fit, Fit)
    if validation == 0:
        raise OptionError("validation cannot be 0: the temperature is fitted on the validation images")
    if isinstance(source, Splits) or (isinstance(source, str) and source in NAMED):
        if validation is not None or test is not None:
            raise OptionError("validation and test cannot be given for data that is split already; leave them out")
        if isinstance(source, Splits):
            source.check()
            # The program may have changed what was read from the cache.
            own = source if source.origin != Origin() else with_origin(source, preparation=_as_seen(source.train))
            return with_origin(own, cache=None)
        if fit is not None and source == "fashion-mnist":
            raise OptionError("fit is for photos of your own: Fashion-MNIST has its authors' preparation; leave it out")
        return with_origin(NAMED[source](on_progress=on_progress), source=source)
    chosen = preparation is not None or fit is not None
    preparation = preparation or Preparation("photo", fit or "pad")  # pyright: ignore[reportArgumentType] - checked
    given = read_source(source, size, preparation, channels, seed, on_progress)
    if not isinstance(given, Splits):
        if not chosen:
            given = given._replace(origin=replace(given.origin, preparation=_as_seen(given.pool)))
        return _divide(given, validation, test)
    if (validation, test, fit) != (None, None, None):
        raise OptionError(f"{given.origin.name} is split and prepared already: leave out validation, test and fit")
    return given


def _as_seen(images: LabelledImages) -> Preparation:
    """Return how photos become images as a network sees these: it stretches those that are not square."""
    height, width = images.images.shape[2:]
    return Preparation("photo", "pad" if height == width else "stretch")


def _divide(given: Given, validation: float | None, test: float | None) -> Splits:
    """Cut what the source has no split of from its pool: first the test images, then the validation images."""
    asked: dict[Part, float | None] = {"test": test, "validation": validation}
    cut: dict[Part, float] = {}
    for name, share in asked.items():
        if name in given.own and share is not None:
            raise OptionError(f"{given.origin.name} has {name} images of its own: leave {name} out")
        if name not in given.own:
            default = 0.0 if name == "test" and given.is_split else SHARE
            cut[name] = default if share is None else float(share)
    if sum(cut.values()) >= 1:
        raise OptionError(f"validation and test take all the images: {cut['validation']:g} + {cut['test']:g} of 1")
    parts, begin, count = dict(given.own), 0, len(given.pool)
    order = np.arange(count) if given.order is None else given.order
    for name, share in cut.items():
        if share:
            end = edge(given.groups, order, begin + max(1, round(share * count)))
            if end >= count:
                raise DataError(
                    f"{given.origin.place}: {count} images, of which equal ones stay together, are too few to hold out "
                    f"{' and '.join(cut)} images; add some, or give them in a split of their own"
                )
            parts[name] = _piece(given, begin, end)
            begin = end
    train = _piece(given, begin, count)
    origin = replace(given.origin, cut={name: share for name, share in cut.items() if share})
    return Splits(train, parts["validation"], parts.get("test"), origin)


def _piece(given: Given, begin: int, end: int) -> LabelledImages:
    """Return the images of a piece of the pool's order, in which each beginning has images of every class."""
    if given.order is None:
        return given.pool.slice(begin, end)
    return given.pool.subset(torch.from_numpy(given.order[begin:end]))
