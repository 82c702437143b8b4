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
from nin.data.auditing.near_equal import near_pairs, thumbnails_of
from nin.data.images import LabelledImages
from nin.data.progress import Progress, no_progress
from nin.errors import FileError
from nin.files import read_json, write_json

BLANK = 4  # levels of 255 that the pixels of a blank image differ by at most, in each channel
CHUNK = 1 << 24  # bytes of images that are read at a time
MEMO = "duplicates.json"
_FORMAT = 1  # of that file; raise it with every change of what is found


class Image(NamedTuple):
    """An image of a data set: its split, its position there, its key in the source, and the name of its class."""

    part: Part
    position: int
    key: str | int
    label: str


class Pair(NamedTuple):
    """Two nearly equal images, and how they correlate in the space of `nin.data.auditing.near_equal`."""

    first: Image
    second: Image
    correlation: float


@dataclass(frozen=True)
class Duplicates:
    """Images of a data set that are there more than once, or show nothing.

    Attributes:
        equal: groups of two or more images, all pixels of which are equal. Blank images are in none.
        near: pairs of nearly equal images, the most alike first. Of a group of equal images only the first is in them.
        blank: the images in which no channel varies by more than 4 levels of 255.
        complete: False where there may be more pairs, since too many images are too much alike to compare them all.

    """

    equal: tuple[tuple[Image, ...], ...] = ()
    near: tuple[Pair, ...] = ()
    blank: tuple[Image, ...] = ()
    complete: bool = True


def find_duplicates(
    parts: Mapping[Part, LabelledImages], memo: Path | None = None, on_progress: Progress = no_progress
) -> Duplicates:
    """Find equal, nearly equal and blank images; those of all splits must have the same shape.

    They are read in pieces, so that they need not fit in memory. Mirrored copies are not looked for.

    Args:
        parts: the splits.
        memo: a folder for these images, in all their splits: what is found is kept there, and read the next time, even
            if they are split in another way. Not where two images have the same key, or it cannot be written.
        on_progress: called with what is done, with how many images, and of how many.

    """
    whole = _Whole(parts)
    if memo is None or (order := whole.order_of_keys()) is None:
        found = _search(whole, on_progress)
    else:
        path, digest = memo / MEMO, whole.digest(order)
        found = _recall(path, digest, order)
        if found is None:
            found = _search(whole, on_progress)
            _keep(path, digest, order, found)
    equal = tuple(tuple(map(whole.image, group)) for group in found.equal)
    near = tuple(Pair(whole.image(first), whole.image(second), value) for first, second, value in found.near)
    return Duplicates(equal, near, tuple(map(whole.image, found.blank)), found.complete)


class _Whole:
    """The images of all splits, one split after the other."""

    def __init__(self, parts: Mapping[Part, LabelledImages]) -> None:
        self.parts = list(parts.items())
        self.starts = np.cumsum([0, *map(len, parts.values())])
        self.count = int(self.starts[-1])

    def __getitem__(self, position: int) -> UInt8[Tensor, "channels height width"]:
        (_, images), position = self._find(position)
        return images.images[position].cpu()

    def image(self, position: int) -> Image:
        """Return what the image at a position is."""
        (name, images), position = self._find(position)
        key = images.keys[position]
        key = str(key) if isinstance(key, str) else int(key)
        return Image(name, position, key, images.names[int(images.labels[position])])

    def pieces(self) -> Iterator[tuple[int, UInt8[Tensor, "some channels height width"]]]:
        """Yield all images, some at a time, and with each piece the position of its first."""
        start = 0
        for _, images in self.parts:
            step = max(1, CHUNK // max(1, images.images[0].numel()))
            for begin in range(0, len(images), step):
                yield start + begin, images.images[begin : begin + step].cpu()
            start += len(images)

    def _find(self, position: int) -> tuple[tuple[Part, LabelledImages], int]:
        number = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self.parts[number], position - int(self.starts[number])

    def _keys(self) -> list[str]:
        return [str(key) for _, images in self.parts for key in images.keys.tolist()]

    def order_of_keys(self) -> list[int] | None:
        """Return the positions in the order of the keys, the same in any split; None if two images have the same."""
        keys = self._keys()
        return sorted(range(self.count), key=keys.__getitem__) if len(set(keys)) == self.count else None

    def digest(self, order: Sequence[int]) -> str:
        """Return a digest of the keys in an order, and of the shape of the images."""
        text = "\0".join([str(tuple(self[0].shape)), *map(self._keys().__getitem__, order)])
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


# --- Searching ---


class _Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found, by positions among all images."""

    equal: list[list[int]]
    near: list[tuple[int, int, float]]
    blank: list[int]
    complete: bool

    def moved(self, to: Sequence[int]) -> "_Found":
        """Return the same, where `to` has the new position of each image."""
        equal = sorted(sorted(map(to.__getitem__, group)) for group in self.equal)
        near = [(min(to[one], to[other]), max(to[one], to[other]), value) for one, other, value in self.near]
        return _Found(equal, near, sorted(map(to.__getitem__, self.blank)), self.complete)


def _search(whole: _Whole, on_progress: Progress) -> _Found:
    pieces: list[Tensor] = []
    for begin, images in whole.pieces():
        on_progress("looking for duplicates", begin, whole.count)
        pieces.append(thumbnails_of(images))
    thumbnails = torch.cat(pieces)
    blank, equal = _exact(whole, thumbnails)
    once = torch.ones(whole.count, dtype=torch.bool)
    once[blank] = False
    once[[position for group in equal for position in group[1:]]] = False
    pairs = near_pairs(thumbnails[once])
    positions = once.nonzero().flatten().numpy()
    columns = positions[pairs.first], positions[pairs.second], pairs.correlation.astype(float).round(4)
    near = list(zip(*(column.tolist() for column in columns), strict=True))
    on_progress("looking for duplicates", whole.count, whole.count)
    return _Found(equal, near, blank, pairs.complete)


def _exact(whole: _Whole, thumbnails: UInt8[Tensor, "images numbers"]) -> tuple[list[int], list[list[int]]]:
    """Return the blank images and the groups of equal ones; reads only those whose thumbnails are so."""
    channels = thumbnails.unflatten(1, (len(whole[0]), -1))
    spread = channels.amax(dim=2).int() - channels.amin(dim=2).int()
    flat = (spread <= BLANK + 1).all(dim=1).nonzero().flatten().tolist()  # + 1: thumbnails are rounded
    blank = [position for position in flat if _is_blank(whole[position])]
    shown = sorted(set(range(whole.count)).difference(blank))
    equal: list[list[int]] = []
    for group in _groups(shown, thumbnails.__getitem__):
        equal += _groups(group, whole.__getitem__)
    return blank, sorted(equal)


def _is_blank(image: UInt8[Tensor, "channels height width"]) -> bool:
    pixels = image.flatten(1).int()
    return bool((pixels.amax(dim=1) - pixels.amin(dim=1) <= BLANK).all())


def _groups(positions: Sequence[int], read: Callable[[int], Tensor]) -> list[list[int]]:
    """Return the groups of two or more positions at which `read` finds the same."""
    groups: dict[bytes, list[int]] = {}
    for position in positions:
        digest = hashlib.blake2b(read(position).contiguous().numpy().data, digest_size=16).digest()
        groups.setdefault(digest, []).append(position)
    return [group for group in groups.values() if len(group) > 1]


# --- Keeping what was found ---


class _Memo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found, by positions in the order of the keys."""

    format: int
    digest: str
    found: _Found


def _recall(path: Path, digest: str, order: Sequence[int]) -> _Found | None:
    """Return what was found before; None if that was among other images or by other rules, or is damaged."""
    with contextlib.suppress(FileError, IndexError):
        memo = read_json(path, _Memo)
        if (memo.format, memo.digest) == (_FORMAT, digest):
            return memo.found.moved(order)
    return None


def _keep(path: Path, digest: str, order: Sequence[int], found: _Found) -> None:
    places = np.argsort(order).tolist()
    with contextlib.suppress(FileError):  # a full disk costs the time to search again, and nothing else
        write_json(path, _Memo(_FORMAT, digest, found.moved(places)))
