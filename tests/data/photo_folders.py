"""How do tests put files into a folder, and see what is wrong with one?"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nin.choices import Part
from nin.data.sources.folder import list_folder
from nin.data.sources.listing import Listing
from nin.errors import DataError


def put(folder: Path, *keys: str, content: bytes = b"photo") -> Path:
    """Write a file for each key below the folder, and return that; a key that ends in "/" is an empty folder."""
    for key in keys:
        path = folder / key
        (path if key.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not key.endswith("/"):
            path.write_bytes(content)
    return folder


def problem(folder: Path) -> str:
    """Return the one line that says what is wrong with a folder."""
    with pytest.raises(DataError) as caught:
        list_folder(folder)
    line = str(caught.value)
    assert line.isprintable()
    assert line.count("; ") >= 1, "it says what to do"
    return line


def classes_of(listing: Listing) -> Mapping[str, str]:
    """Return the name of the class of each photo, by its key."""
    return {key: listing.names[label] for key, label in zip(listing.keys, listing.labels.tolist(), strict=True)}


def parts_of(listing: Listing) -> Mapping[str, Part | None]:
    """Return the split of each photo, by its key."""
    return dict(zip(listing.keys, listing.parts, strict=True))
