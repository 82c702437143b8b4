"""Which images are equal, which are nearly so, and which are blank? Over all the splits of a data set at once."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from nin.choices import Part
from nin.data.images import LabelledImages
from nin.data.near_equal import SAMPLE, NearPairs, find_space, near_pairs, vectors_of
from nin.data.progress import Progress, no_progress
from nin.errors import FileError
from nin.files import read_json, write_json

CHUNK = 1 << 24  # bytes of images at a time
BLANK = 4  # levels of 255, by which the pixels of an image of one colour differ in each channel at most
MEMO = "duplicates.json"
_FORMAT = 1  # of that file; to be raised with every change of what is found
_SEARCH = "looking for duplicates"


class Image(NamedTuple):
    """An image of a data set: its split, and its position there."""

    part: Part
    position: int


class Pair(NamedTuple):
    """Two nearly equal images, and how they correlate in the space of `nin.data.near_equal`."""

    first: Image
    second: Image
    correlation: float


@dataclass(frozen=True)
class Duplicates:
    """The images of a data set that are not as many as they seem.

    Attributes:
        equal: groups of two or more images, all pixels of which are equal. Blank images are in none.
        near: pairs of nearly equal images, the most alike first. Of a group of equal images only the first is in them.
        blank: the images of one colour.
        complete: False where there may be more pairs than were found, since too many images are too much alike.

    """

    equal: tuple[tuple[Image, ...], ...]
    near: tuple[Pair, ...]
    blank: tuple[Image, ...]
    complete: bool


def find_duplicates(
    parts: Mapping[Part, LabelledImages], memo: Path | None = None, on_progress: Progress = no_progress
) -> Duplicates:
    """Find equal, nearly equal and blank images; those of all splits must have the same shape.

    Reads the images in pieces, so that they need not fit in memory. Mirrored copies are not looked for.

    Args:
        parts: the splits.
        memo: a folder whose images never change: what is found is kept there, and read the next time, even if the
            images are split in another way. It is not kept where two images have the same key, or it cannot be written.
        on_progress: called with what is done, how many images are, and of how many.

    """
    whole = _Whole(parts)
    path = None if memo is None or whole.order is None else memo / MEMO
    found = None if path is None else _recall(path, whole)
    if found is None:
        found = _search(whole, on_progress)
        if path is not None:
            _keep(path, whole, found)
    equal = tuple(tuple(map(whole.image, group)) for group in found.equal)
    near = tuple(Pair(whole.image(first), whole.image(second), value) for first, second, value in found.near)
    return Duplicates(equal, near, tuple(map(whole.image, found.blank)), found.complete)


class _Whole:
    """The images of all splits, one split after the other."""

    def __init__(self, parts: Mapping[Part, LabelledImages]) -> None:
        self.names: list[Part] = list(parts)
        self.tensors = [part.images for part in parts.values()]
        self.starts = np.cumsum([0, *map(len, self.tensors)])
        self.count = int(self.starts[-1])
        keys = [str(key) for part in parts.values() for key in part.keys.tolist()]
        # The images in the order of their keys, which is the same however they are split.
        self.order = sorted(range(self.count), key=keys.__getitem__) if len(set(keys)) == self.count else None
        text = "\0".join(map(keys.__getitem__, self.order or []))
        self.digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    def image(self, position: int) -> Image:
        """Return the split of the image at a position, and its position there."""
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        return Image(self.names[part], position - int(self.starts[part]))

    def read(self, positions: Int64[np.ndarray, "some"]) -> UInt8[Tensor, "some channels height width"]:
        """Return the images at ascending positions."""
        edges = np.searchsorted(positions, self.starts)
        pieces = [
            tensor[torch.from_numpy(positions[begin:end] - start)].cpu()
            for tensor, start, begin, end in zip(self.tensors, self.starts, edges, edges[1:], strict=False)
            if begin < end
        ]
        return torch.cat(pieces)


# --- Searching ---


class _Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found, by positions among all images."""

    equal: list[list[int]]
    near: list[tuple[int, int, float]]
    blank: list[int]
    complete: bool


def _search(whole: _Whole, on_progress: Progress) -> _Found:
    sample = np.arange(0, whole.count, max(1, -(-whole.count // SAMPLE)))
    step = max(1, CHUNK // max(1, whole.tensors[0][0].numel()))
    pieces = [vectors_of(whole.read(sample[begin : begin + step])) for begin in range(0, len(sample), step)]
    space = find_space(torch.cat(pieces))
    groups: dict[bytes, list[int]] = {}
    blank: list[int] = []
    hashes: list[np.ndarray] = []
    for begin in range(0, whole.count, step):
        on_progress(_SEARCH, begin, whole.count)
        images = whole.read(np.arange(begin, min(begin + step, whole.count)))
        hashes.append(space.hashes(vectors_of(images)))
        flat = images.flatten(2)
        is_blank = ((flat.amax(dim=2) - flat.amin(dim=2)) <= BLANK).all(dim=1).tolist()
        for position, image in enumerate(images.numpy(), start=begin):
            if is_blank[position - begin]:
                blank.append(position)
            else:
                groups.setdefault(hashlib.blake2b(image, digest_size=16).digest(), []).append(position)
    firsts = np.array([group[0] for group in groups.values()], dtype=np.int64)
    near = near_pairs(firsts, np.concatenate(hashes)[firsts], space, whole.read)
    on_progress(_SEARCH, whole.count, whole.count)
    equal = [group for group in groups.values() if len(group) > 1]
    return _Found(equal, _rounded(near), blank, near.complete)


def _rounded(near: NearPairs) -> list[tuple[int, int, float]]:
    values = np.round(near.correlation.astype(float), 4).tolist()
    return list(zip(near.first.tolist(), near.second.tolist(), values, strict=True))


# --- Keeping what was found ---


class _Memo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept: what was found, by positions in the order of the keys, of which there is a digest."""

    format: int
    keys: str
    found: _Found


def _recall(path: Path, whole: _Whole) -> _Found | None:
    """Return what was found before, or None where that was among other images or by other rules, or is damaged."""
    with contextlib.suppress(FileError):
        memo = read_json(path, _Memo)
        if (memo.format, memo.keys) == (_FORMAT, whole.digest) and whole.order is not None:
            return _moved(memo.found, whole.order)
    return None


def _keep(path: Path, whole: _Whole, found: _Found) -> None:
    assert whole.order is not None, "there is a path only if all keys differ"
    ranks = np.argsort(whole.order).tolist()
    with contextlib.suppress(FileError):  # a full disk only costs the time to search again
        write_json(path, _Memo(_FORMAT, whole.digest, _moved(found, ranks)))


def _moved(found: _Found, to: Sequence[int]) -> _Found:
    """Return what was found by other positions: `to` has the new one of each."""
    equal = sorted(sorted(map(to.__getitem__, group)) for group in found.equal)
    near = [(*sorted((to[first], to[second])), value) for first, second, value in found.near]
    return _Found(equal, near, sorted(map(to.__getitem__, found.blank)), found.complete)
