"""Which photos does a source have, of which class and split, before any of them is decoded?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from nin.choices import Part


@dataclass(frozen=True, eq=False)
class Listing:
    """The photos of a source.

    Attributes:
        name: what reports call the source: the folder's name, or the data set's.
        place: where it is.
        names: the names of the classes.
        order: where the order of the classes comes from, in words.
        keys: what each photo is called: its path within the folder, with "/"; or its number. All different.
        labels: the class of each photo, a position in `names`.
        parts: the split that each photo is given to; None for a photo of a source that is not split.
        photos: the photos: files, or their bytes, which may be read when they are asked for.
        stamp: a text that differs whenever a photo may have changed, found without reading the photos.
        notes: what a user should know of how the source was read, a line each.

    """

    name: str
    place: str
    names: tuple[str, ...]
    order: str
    keys: Sequence[str]
    labels: Int64[np.ndarray, "photos"]
    parts: Sequence[Part | None]
    photos: Sequence[Path | bytes]
    stamp: str
    notes: tuple[str, ...] = ()
