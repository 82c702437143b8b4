"""What do the photos of a listing become? Images in a file, in the order of the listing; and why some have none."""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from nin.data.decoded.decoding import Decoded, decode
from nin.data.decoded.decoding_worker import CHANGED, COLOURED, FAILED, NEARLY_GREY, READ, Job
from nin.data.decoded.image_file import Pixels
from nin.data.photos.preparation import Preparation
from nin.data.progress import Progress
from nin.data.sources.listing import Listing
from nin.errors import DataError
from nin.text import printable


class Images(NamedTuple):
    """The images of a listing in some file, in some order.

    `positions` are the photos that have one, ascending; of each of these, `rows` is where its image lies in the file,
    and `groups` a number, the same for two exactly if all pixels are equal. Of their channels, the first `channels`
    count. `sizes` are width and height of photos, and how many have it; `unreadable` says why photos have no image.
    """

    pixels: Pixels
    channels: int
    rows: Int64[np.ndarray, "readable"]
    positions: Int64[np.ndarray, "readable"]
    groups: Int64[np.ndarray, "readable"]
    sizes: list[tuple[int, int, int]]
    unreadable: dict[int, str]


class DecodedListing(NamedTuple):
    """The images of a listing, a digest of the photos' bytes, and whether all photos would be the same another time.

    They would not be where memory was too short for one, or a decoder crashed.
    """

    images: Images
    digest: bytes
    lasting: bool


def decode_listing(
    listing: Listing, preparation: Preparation, side: int, channels: int | None, path: Path, on_progress: Progress
) -> DecodedListing:
    """Decode the photos of a listing into the file `path`: with 1 or 3 channels, or by default 3 if any has colour.

    Raises:
        DataError: none can be read, or one changed while it was read.
        OSError: the file cannot be written.

    """
    in_file = channels or 3
    path.write_bytes(b"")
    decoded = decode(listing.photos, Job(preparation, in_file, side, os.fsencode(path)), on_progress)
    _check(listing, decoded)
    if channels is None and decoded.colour != COLOURED:
        if decoded.colour == NEARLY_GREY:  # made grey after it was resized, it would be off by one here and there
            return decode_listing(listing, preparation, side, 1, path, on_progress)
        channels = 1
    state = decoded.records["state"]
    positions = np.flatnonzero(state == READ)
    records = decoded.records[positions]
    digests, numbers = records["pixels"].tobytes(), dict[bytes, int]()
    groups = [numbers.setdefault(digests[at : at + 16], len(numbers)) for at in range(0, len(digests), 16)]
    sizes = Counter(zip(records["width"].tolist(), records["height"].tolist(), strict=True))
    images = Images(
        Pixels(path, (len(state), in_file, side, side)),
        channels or 3,
        positions,
        positions,
        np.array(groups, dtype=np.int64),
        [(width, height, count) for (width, height), count in sorted(sizes.items())],
        decoded.reasons,
    )
    digest = hashlib.sha256(decoded.records["file"].tobytes() + state.tobytes())
    return DecodedListing(images, digest.digest(), not (state == FAILED).any())


def _check(listing: Listing, decoded: Decoded) -> None:
    """Raise DataError if a photo changed while it was read, or none can be."""
    place, state = printable(listing.place), decoded.records["state"]
    if (changed := np.flatnonzero(state == CHANGED)).size:
        key = printable(listing.keys[int(changed[0])])
        raise DataError(f"{place}: {key} changed while it was read; start again when nothing writes to it")
    if not (state == READ).any():
        first = (
            f"the first, {printable(listing.keys[0])}, because: {decoded.reasons[0]}"
            if len(state)
            else "there are none"
        )
        raise DataError(f"{place}: none of {len(state)} photos can be read; {first}")
