"""Which images are equal, which are nearly so, and which are blank? Over all the splits of a data set at once."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from nin.choices import Part
from nin.data.images import LabelledImages
from nin.data.near_equal import near_pairs, thumbnails_of
from nin.data.progress import Progress, no_progress
from nin.errors import FileError
from nin.files import read_json, write_json

CHUNK = 1 << 24  # bytes of images at a time
BLANK = 4  # levels of 255, by which the pixels of an image of one colour differ in each channel at most
MEMO = "duplicates.json"
_FORMAT = 1  # of that file; to be raised with every change of what is found


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
        part, position = self._find(position)
        return Image(self.names[part], position)

    def pieces(self) -> Iterator[tuple[int, UInt8[Tensor, "some channels height width"]]]:
        """Yield all images, some at a time, each time with the position of the first."""
        for start, tensor in zip(self.starts.tolist(), self.tensors, strict=False):
            step = max(1, CHUNK // max(1, tensor[0].numel()))
            for begin in range(0, len(tensor), step):
                yield start + begin, tensor[begin : begin + step].cpu()

    def __getitem__(self, position: int) -> UInt8[Tensor, "channels height width"]:
        part, position = self._find(position)
        return self.tensors[part][position].cpu()

    def _find(self, position: int) -> tuple[int, int]:
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        return part, position - int(self.starts[part])


# --- Searching ---


class _Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found, by positions among all images."""

    equal: list[list[int]]
    near: list[tuple[int, int, float]]
    blank: list[int]
    complete: bool


def _search(whole: _Whole, on_progress: Progress) -> _Found:
    pieces: list[Tensor] = []
    for begin, images in whole.pieces():
        on_progress("looking for duplicates", begin, whole.count)
        pieces.append(thumbnails_of(images))
    thumbnails = torch.cat(pieces)
    blank, equal = _equal(whole, thumbnails)
    once = torch.ones(whole.count, dtype=torch.bool)
    once[blank] = False
    once[[position for group in equal for position in group[1:]]] = False
    first, second, correlation, complete = near_pairs(thumbnails[once])
    positions = once.nonzero().flatten().numpy()
    near = zip(
        positions[first].tolist(), positions[second].tolist(), correlation.astype(float).round(4).tolist(), strict=True
    )
    on_progress("looking for duplicates", whole.count, whole.count)
    return _Found(equal, list(near), blank, complete)


def _equal(whole: _Whole, thumbnails: UInt8[Tensor, "images numbers"]) -> tuple[list[int], list[list[int]]]:
    """Return the blank images, and the groups of equal ones; what its thumbnail can tell of an image is not read."""
    channels = thumbnails.unflatten(1, (whole[0].shape[0], -1))
    spread = channels.amax(dim=2).int() - channels.amin(dim=2).int()
    flat = (spread <= BLANK + 1).all(dim=1).nonzero().flatten().tolist()  # + 1: thumbnails are rounded
    blank = [position for position in flat if _is_blank(whole[position])]
    shown = sorted(set(range(whole.count)).difference(blank))
    equal: list[list[int]] = []
    for same in _groups(shown, lambda position: thumbnails[position]):
        equal += _groups(same, whole.__getitem__)
    return blank, equal


def _is_blank(image: UInt8[Tensor, "channels height width"]) -> bool:
    pixels = image.flatten(1).int()
    return bool((pixels.amax(dim=1) - pixels.amin(dim=1) <= BLANK).all())


def _groups(positions: Sequence[int], read: Callable[[int], Tensor]) -> list[list[int]]:
    """Return the groups of two or more positions at which `read` finds the same."""
    groups: dict[bytes, list[int]] = {}
    for position in positions:
        digest = hashlib.blake2b(read(position).contiguous().numpy(), digest_size=16).digest()
        groups.setdefault(digest, []).append(position)
    return [group for group in groups.values() if len(group) > 1]


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
