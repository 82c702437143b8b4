"""What images does a source give, before any are held out? Read by its kind: a name, a folder, arrays, the hub."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64

from nin.choices import Part
from nin.data.decoded.image_cache import cached_photos
from nin.data.images import LabelledImages, Origin, Splits
from nin.data.photos.preparation import Preparation
from nin.data.progress import Progress, no_progress
from nin.data.sources.arrays import from_arrays
from nin.data.sources.cifar10 import CIFAR10, cifar10
from nin.data.sources.fashion_mnist import FASHION_MNIST, fashion_mnist
from nin.data.sources.folder import list_folder
from nin.data.sources.huggingface import is_dataset, list_dataset, local_path, open_dataset
from nin.data.sources.idx_folder import is_idx_folder, read_idx_folder
from nin.data.sources.listing import Listing
from nin.data.sources.mnist import MNIST, mnist
from nin.data.splitting import groups_of_equal, stratified_order
from nin.errors import DataError
from nin.text import printable

NAMED: dict[str, Callable[..., Splits]] = {"fashion-mnist": fashion_mnist, "cifar10": cifar10, "mnist": mnist}
NAMED_FILES = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10, "mnist": MNIST}


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
            if (path := local_path(name)) is not None:
                source = f"hf:{path}"
        case str() | os.PathLike():
            folder = Path(os.fsdecode(source))
            if "\0" in str(folder):
                raise DataError(f"{printable(str(folder))}: a path cannot hold a NUL; check its name")
            if isinstance(source, str) and len(folder.parts) == 1 and not os.path.lexists(folder):
                raise DataError(
                    f"{printable(source)}: there is no such folder or data set; the known data sets are "
                    f"{', '.join(NAMED)}"
                )
            source = os.path.abspath(folder)  # noqa: PTH100 - Path.resolve would follow links
            if (named := _named_files(folder)) is not None:
                return with_origin(NAMED[named](folder, on_progress=on_progress), source=source)
            if is_idx_folder(folder):
                parts, order, notes = read_idx_folder(folder)
                origin = replace(
                    origin, name=folder.resolve().name, place=str(folder), source=source, order=order, notes=notes
                )
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
    return next((name for name, files in NAMED_FILES.items() if files.holds(folder)), None)


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


def with_origin(splits: Splits, **changes: Any) -> Splits:
    """Return the splits with these fields of their origin changed."""
    return splits._replace(origin=replace(splits.origin, **changes))
