"""How does any source become training, validation and test images? One function for names, folders, arrays, the hub."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Int64

from nin.choices import Fit, Part
from nin.data.arrays import from_arrays
from nin.data.cifar10 import CIFAR10, cifar10
from nin.data.fashion_mnist import FASHION_MNIST, fashion_mnist
from nin.data.folder import list_folder
from nin.data.huggingface import is_dataset, list_dataset, open_dataset
from nin.data.idx_folder import is_idx_folder, read_idx_folder
from nin.data.image_cache import cached_photos
from nin.data.images import LabelledImages, Origin, Splits
from nin.data.listing import Listing
from nin.data.mnist import MNIST, mnist
from nin.data.preparation import Preparation
from nin.data.progress import Progress, no_progress
from nin.data.splitting import edge, groups_of_equal, stratified_order
from nin.errors import DataError, OptionError
from nin.text import printable

NAMED: dict[str, Callable[..., Splits]] = {"fashion-mnist": fashion_mnist, "cifar10": cifar10, "mnist": mnist}
SHARE = 0.1  # of the images, that validation and test get by default
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
            `(images, labels, names)`, see `nin.data.arrays.from_arrays`; a `LabelledImages`; a `Splits`, returned as it
            is; a `datasets.Dataset` or `DatasetDict`.
        size: side in pixels of the squares that photos become.
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
    for name, value in (("validation", validation), ("test", test)):
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < 1):
            raise OptionError(f"{name} is a share of the images, from 0 up to, but not including, 1, not {value!r}")
    if fit is not None and fit not in get_args(Fit):
        raise OptionError(f"fit must be one of {', '.join(get_args(Fit))}, not {fit!r}")
    if validation == 0:
        raise OptionError("validation cannot be 0: the plan and the temperature are chosen on validation images")
    if isinstance(source, Splits) or (isinstance(source, str) and source in NAMED):
        if validation is not None or test is not None:
            raise OptionError("validation and test cannot be given for data that is split already; leave them out")
        if isinstance(source, Splits):
            return source
        if fit is not None and source == "fashion-mnist":
            raise OptionError("fit is for photos of your own: Fashion-MNIST has its authors' preparation; leave it out")
        return _origin(NAMED[source](on_progress=on_progress), source=source)
    preparation = preparation or Preparation("photo", fit or "pad")  # pyright: ignore[reportArgumentType] - checked
    given = read_source(source, size, preparation, channels, seed, on_progress)
    return given if isinstance(given, Splits) else _divide(given, validation, test, seed)


# --- From a source to the images that it gives ---


class Given(NamedTuple):
    """What a source gives: a pool to train on and to cut from, and the splits that it has of its own.

    `order` is the stratified order of the pool's images; None where they lie in it already. `groups` has a number for
    each image of the pool, the same for equal ones.
    """

    pool: LabelledImages
    order: Int64[np.ndarray, "pool"] | None
    groups: Int64[np.ndarray, "pool"]
    own: dict[Part, LabelledImages]
    is_split: bool
    origin: Origin


def read_source(
    source: Any,
    size: int,
    preparation: Preparation,
    channels: int | None = None,
    seed: int = 0,
    on_progress: Progress = no_progress,
) -> Given | Splits:
    """Read all images of a source, not yet divided; `Splits` for a named set, whose files may lie in any folder.

    Takes and raises what `load_dataset` does.
    """
    origin = Origin(preparation=preparation, seed=seed)
    match source:
        case LabelledImages():
            return _in_memory({"train": source}, origin, is_split=False)
        case (images, labels, *names) if len(names) <= 1:
            return _in_memory({"train": from_arrays(images, labels, *names)}, origin, is_split=False)
        case str() if source.startswith("hf:"):
            name = source.removeprefix("hf:")
            listing = list_dataset(open_dataset(name), name=printable(name))
        case str() | os.PathLike():
            folder = Path(os.fsdecode(source))
            source = os.path.abspath(folder)  # noqa: PTH100 - Path.resolve would follow links
            if (named := _named_files(folder)) is not None:
                return _origin(NAMED[named](folder, on_progress=on_progress), source=source)
            if is_idx_folder(folder):
                parts, order = read_idx_folder(folder)
                origin = replace(origin, name=folder.resolve().name, place=str(folder), source=source, order=order)
                return _in_memory(parts, origin, is_split=len(parts) > 1)
            listing = list_folder(folder)
        case _ if is_dataset(source):
            listing, source = list_dataset(source), None
        case _:
            raise DataError(
                f"images cannot be read from {type(source).__name__}: give a name ({', '.join(NAMED)}), a folder, "
                "(images, labels), LabelledImages, Splits, or a datasets.Dataset"
            )
    return _from_photos(listing, source, size, preparation, channels, seed, on_progress)


def _named_files(folder: Path) -> str | None:
    """Return the named set whose files lie in a folder, if there is one: Fashion-MNIST's and MNIST's differ inside."""
    files = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10, "mnist": MNIST}
    return next((name for name, one in files.items() if one.holds(folder)), None)


def _in_memory(parts: dict[Part, LabelledImages], origin: Origin, *, is_split: bool) -> Given:
    pool = parts["train"]
    groups = groups_of_equal(pool.images)
    order = stratified_order(pool.labels.numpy(force=True), groups, origin.seed)
    own: dict[Part, LabelledImages] = {name: part for name, part in parts.items() if name != "train"}
    return Given(pool, order, groups, own, is_split, origin)


def _from_photos(
    listing: Listing,
    source: str | None,
    size: int,
    preparation: Preparation,
    channels: int | None,
    seed: int,
    on_progress: Progress,
) -> Given:
    """Decode the photos of a listing into one file, in which each split is a slice."""
    part_of = np.array([name or "train" for name in listing.parts])

    def order(positions: np.ndarray, groups: np.ndarray) -> np.ndarray:
        here = part_of[positions]
        pieces: list[np.ndarray] = []
        for name in ("train", "validation", "test"):
            members = np.flatnonzero(here == name)
            pieces.append(members[stratified_order(listing.labels[positions[members]], groups[members], seed)])
        return np.concatenate(pieces)

    cached = cached_photos(listing, preparation, size, channels=channels, order=order, on_progress=on_progress)
    labels, keys = listing.labels[cached.positions], np.array(listing.keys, dtype=object)[cached.positions]
    images = LabelledImages(cached.images, torch.from_numpy(labels), listing.names, keys)
    here = part_of[cached.positions]
    origin = Origin(
        name=listing.name,
        place=listing.place,
        source=source,
        preparation=preparation,
        channels=channels,
        order=listing.order,
        seed=seed,
        unreadable=cached.unreadable,
        sizes=cached.sizes,
        notes=listing.notes,
        cache=cached.folder,
    )
    if not (here == "train").any():
        raise DataError(f"{listing.place}: none of the {(part_of == 'train').sum()} training photos can be read")
    ends = {name: int((here == name).sum()) for name in ("train", "validation", "test")}
    own: dict[Part, LabelledImages] = {}
    begin = ends["train"]
    for name in ("validation", "test"):
        if ends[name]:
            own[name] = images.slice(begin, begin + ends[name])
        begin += ends[name]
    pool = images.slice(0, ends["train"])
    is_split = any(name is not None for name in listing.parts)
    return Given(pool, None, cached.groups[: len(pool)], own, is_split, origin)


# --- From the images to the splits ---


def _divide(given: Given, validation: float | None, test: float | None, seed: int) -> Splits:
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


def _origin(splits: Splits, **changes: Any) -> Splits:
    return splits._replace(origin=replace(splits.origin, **changes))
