"""How do the photos of a source become images that need not fit in memory? Decoded once, into a file in the cache."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import PIL
from jaxtyping import Int64, UInt8
from torch import Tensor

from nin.data.decoded import cache_folder, decoding_worker
from nin.data.decoded.cache_folder import IMAGES, Entry, Table
from nin.data.decoded.cache_room import is_cached, make_room, not_written, workplace
from nin.data.decoded.decoded_listing import Images, decode_listing
from nin.data.decoded.image_file import copy_images, map_images
from nin.data.photos import (
    garment,
    photo,
    photo_bytes,
    photo_colour,
    plain_png,
    preparation,
    tiff,
    tiff_layout,
    tiff_tags,
)
from nin.data.photos.garment import check_options
from nin.data.photos.preparation import Preparation
from nin.data.progress import Progress, no_progress
from nin.data.sources.listing import Listing
from nin.errors import DataError

Order = Callable[[Int64[np.ndarray, "readable"], Int64[np.ndarray, "readable"]], Int64[np.ndarray, "readable"]]

_FORMAT: Final = 1  # of an entry
_CODE: Final = (
    decoding_worker, garment, photo, photo_bytes, photo_colour, plain_png, preparation, tiff, tiff_layout, tiff_tags,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CachedPhotos:
    """The photos of a listing, as images.

    Attributes:
        images: uint8, (images, channels, side, side), in a memory-mapped file; what is written into them stays in this
            process.
        positions: the photo that each image was, as a position in the listing.
        groups: a number for each image, the same for two exactly if all their pixels are equal.
        sizes: width and height in pixels of the photos that were read, upright, and how many have it.
        unreadable: why photos have no image, by their keys.
        folder: where the images are kept; None if they go with this process.

    """

    images: UInt8[Tensor, "images channels side side"]
    positions: Int64[np.ndarray, "images"]
    groups: Int64[np.ndarray, "images"]
    sizes: dict[tuple[int, int], int]
    unreadable: dict[str, str]
    folder: Path | None


def cached_photos(
    listing: Listing,
    preparation: Preparation,
    side: int,
    *,
    channels: int | None = None,
    order: Order,
    on_progress: Progress = no_progress,
) -> CachedPhotos:
    """Decode the photos of a listing, or find in the cache what they became.

    They are found by the listing's place and stamp, without reading any; or by their content, where only those have
    changed. What is found counts if its table is as it was written, and the file of its images has the right size; the
    pixels are not compared, since that would take as long as reading them.

    Args:
        listing: of which photos.
        preparation: how they become images.
        side: of an image in pixels.
        channels: 1 or 3; by default 3 if any photo has colour, else 1.
        order: called with the position in the listing of each photo that can be read, ascending, and a number for each,
            the same for two exactly if their images are equal; returns the order in which the images are to lie, as
            indices into these.
        on_progress: called with what is done, how much of it, and of how much.

    Raises:
        DataError: no photo can be read; one changed while it was read; the disk is full, or nothing can be written.
        OptionError: channels other than 1 or 3, a side below 1, or a NIN_CACHE_GB that is no number.

    """
    check_options(3 if channels is None else channels, side, "auto")
    cache_folder.cache_limit()  # an error now, not after an hour
    source, stamp = _digests(listing, preparation, side, channels)
    request = _Request(listing, preparation, side, channels, order, on_progress, source, stamp)
    if (found := _find(request)) is not None:
        return found

    def on_wait() -> None:
        on_progress("waiting for another process that reads them", 0, len(listing.photos))

    with workplace(stamp, on_wait) as place:
        try:
            made = _find(request) or _make(request, place)
        except OSError as error:
            raise not_written(place, error, request.bytes_while_made) from error
    if made is None:
        raise DataError(f"{cache_folder.cache_folder()}: images were removed while they were made; start again")
    return made


class _Request(NamedTuple):
    """What is asked for. `source` is a digest of all that makes the images but the photos; `stamp` of these too."""

    listing: Listing
    preparation: Preparation
    side: int
    channels: int | None
    order: Order
    on_progress: Progress
    source: bytes
    stamp: str

    @property
    def bytes_while_made(self) -> int:
        """How many bytes the images may need while they are made: as decoded, and once more in their order."""
        return len(self.listing.photos) * self.side**2 * 2 * (self.channels or 3)


def _digests(listing: Listing, preparation: Preparation, side: int, channels: int | None) -> tuple[bytes, str]:
    """Return a digest of all that makes images but the photos; and one of that and the listing's stamp."""
    code = hashlib.sha256()
    for module in _CODE:
        with contextlib.suppress(OSError):  # the package lies in an archive
            code.update(Path(str(module.__file__)).read_bytes())
    keys = [key.encode(errors="surrogatepass") for key in listing.keys]
    names = [name.encode(errors="surrogatepass") for name in listing.names]
    of_listing = (names, keys, listing.labels.astype("<i8").tobytes(), list(listing.parts))
    of_images = (_FORMAT, code.digest(), PIL.__version__, preparation, side, channels)
    source = hashlib.sha256(msgspec.msgpack.encode((of_listing, of_images))).digest()
    place = listing.place if listing.place == "memory" else os.path.realpath(listing.place)
    return source, hashlib.sha256(source + f"{place}\0{listing.stamp}".encode(errors="surrogatepass")).hexdigest()


def _find(request: _Request) -> CachedPhotos | None:
    """Return the images of a listing, if they are kept in the order asked for."""
    if (entry := cache_folder.find_entry(request.stamp)) is None:
        return None
    _, folder = _arrange(request, _images_of(entry), entry.content)
    entry = entry if entry.folder == folder else cache_folder.read_entry(folder)
    return None if entry is None else _open(request, entry)


def _make(request: _Request, place: Path) -> CachedPhotos | None:
    """Make the entry asked for in `place`, from one that lies in another order or from the photos, and keep it."""
    other, lasting = cache_folder.find_entry(request.stamp), True
    if other is not None:
        images, content = _images_of(other), other.content
    else:
        make_room(place, request.bytes_while_made)
        what = (request.listing, request.preparation, request.side, request.channels)
        images, digest, lasting = decode_listing(*what, place / "decoded", request.on_progress)
        content = hashlib.sha256(request.source + digest).hexdigest()
    order, folder = _arrange(request, images, content)
    if (entry := cache_folder.read_entry(folder)) is None:
        size = len(order) * images.channels * request.side**2
        kept = is_cached(place) and size <= cache_folder.cache_limit()
        make_room(place, size, size if kept else 0, spare=other and other.folder)
        made = place / "entry"
        made.mkdir()
        copy_images(images.pixels, images.rows[order], images.channels, made / IMAGES, request.on_progress)
        positions, groups = images.positions[order].tolist(), images.groups[order].tolist()
        cache_folder.write_table(made, Table(positions, groups, images.sizes, images.unreadable))
        entry = cache_folder.keep(made, folder) if kept else cache_folder.read_entry(made)
    if entry is None:
        return None
    if lasting:  # else its photos are read again next time
        cache_folder.put_stamp(entry.folder, request.stamp)
    return _open(request, entry)


def _images_of(entry: Entry) -> Images:
    """Return the images of an entry, in the order of its listing."""
    positions = np.array(entry.table.positions, dtype=np.int64)
    groups = np.array(entry.table.groups, dtype=np.int64)
    rows = np.argsort(positions)
    pixels, channels = entry.pixels, entry.pixels.shape[1]
    return Images(pixels, channels, rows, positions[rows], groups[rows], entry.table.sizes, entry.table.unreadable)


def _arrange(request: _Request, images: Images, content: str) -> tuple[Int64[np.ndarray, "readable"], Path]:
    """Return the order asked for, as indices into `images`, and the folder of an entry that lies in it."""
    order = request.order(images.positions, images.groups)
    assert np.array_equal(np.sort(order), np.arange(len(images.positions)))
    digest = hashlib.sha256(images.positions[order].astype("<i8").tobytes())
    return order, cache_folder.entry_folder(content, digest.hexdigest())


def _open(request: _Request, entry: Entry) -> CachedPhotos | None:
    """Return the images of an entry; None if another process has just removed it."""
    try:
        images = map_images(entry.pixels)
    except FileNotFoundError:
        return None
    kept = entry.folder.parent == cache_folder.cache_folder()
    if kept:
        cache_folder.note_use(entry.folder)
    table = entry.table
    return CachedPhotos(
        images,
        np.array(table.positions, dtype=np.int64),
        np.array(table.groups, dtype=np.int64),
        {(width, height): count for width, height, count in table.sizes},
        {str(request.listing.keys[position]): reason for position, reason in table.unreadable.items()},
        entry.folder if kept else None,
    )
