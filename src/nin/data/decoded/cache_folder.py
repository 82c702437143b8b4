"""Where are decoded images kept? In a folder of entries, each of them whole or not there.

An entry is a folder with a file of images, a table of what they are, and a stamp for each state of a source that they
were made of. The first part of its name is a digest of what it was made of, the second of the order in which it lies.
Removing an entry, or all of them, is safe at any time and loses nothing but time.
"""

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pooch

from nin.data.decoded.image_file import Pixels, find_images
from nin.errors import OptionError

IMAGES: Final = "images.npy"
_TABLE: Final = "table.json"
_NAME: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{16}")
_GIGABYTES: Final = 20.0


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the images of an entry are.

    Attributes:
        positions: the photo that each image was, as a position in the listing.
        groups: a number for each image, the same for equal ones.
        sizes: width and height of photos, and how many have it.
        unreadable: why photos have no image, by their positions in the listing.

    """

    positions: list[int]
    groups: list[int]
    sizes: list[tuple[int, int, int]]
    unreadable: dict[int, str]


class Entry(NamedTuple):
    """Images that are kept in a folder."""

    folder: Path
    table: Table
    pixels: Pixels

    @property
    def content(self) -> str:
        """The digest of what it was made of."""
        return self.folder.name.partition("-")[0]


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of a table: the table, and its SHA-256, by which an edited one is known."""

    sha256: str
    table: msgspec.Raw


def cache_folder() -> Path:
    """Return the folder in which decoded images are kept. Removing it empties the cache."""
    return Path(pooch.os_cache("nin")) / "images"


def cache_size() -> int:
    """Return how many bytes the decoded images that are kept take."""
    return sum(entry_size(folder) for folder in entry_folders())


def cache_limit() -> float:
    """Return how many bytes may be kept: 20 GB, or what the environment variable NIN_CACHE_GB says.

    Raises:
        OptionError: that is no number from 0 on.

    """
    text = os.environ.get("NIN_CACHE_GB", "")
    with contextlib.suppress(ValueError):
        if (gigabytes := float(text or _GIGABYTES)) >= 0:
            return gigabytes * 1e9
    raise OptionError(f"NIN_CACHE_GB is a number of gigabytes, from 0 on, not {text!r}; change or unset it")


# --- Entries ---


def entry_folder(content: str, order: str) -> Path:
    """Return the folder of the entry that was made of what has a digest, and lies in the order that has another."""
    return cache_folder() / f"{content[:32]}-{order[:16]}"


def find_entry(stamp: str) -> Entry | None:
    """Return an entry that was made of what has this stamp."""
    stamped = (folder for folder in entry_folders() if (folder / stamp).exists())
    return next((entry for folder in stamped if (entry := read_entry(folder)) is not None), None)


def read_entry(folder: Path) -> Entry | None:
    """Return the entry in a folder; None if there is none, or its table was edited, or its file of images cut off."""
    try:
        sealed = msgspec.json.decode((folder / _TABLE).read_bytes(), type=_Sealed)
        table = msgspec.json.decode(sealed.table, type=Table)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    pixels = find_images(folder / IMAGES)
    whole = hashlib.sha256(bytes(sealed.table)).hexdigest() == sealed.sha256
    return Entry(folder, table, pixels) if whole and pixels and pixels.shape[0] == len(table.positions) else None


def write_table(folder: Path, table: Table) -> None:
    """Write the table of the entry in a folder. Raises OSError."""
    body = msgspec.json.encode(table)
    with (folder / _TABLE).open("wb") as file:
        file.write(msgspec.json.encode(_Sealed(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))))
        file.flush()
        os.fsync(file.fileno())


def keep(made: Path, folder: Path) -> Entry | None:
    """Give the entry in the folder `made` its name, `folder`, unless that is there already; return the one there.

    Raises:
        OSError: it cannot be renamed.

    """
    if (there := read_entry(folder)) is not None:
        return there
    shutil.rmtree(folder, ignore_errors=True)  # what is left there is not whole
    try:
        made.rename(folder)
    except OSError:
        if (there := read_entry(folder)) is None:
            raise
        return there  # another process was faster
    return read_entry(folder)


def put_stamp(folder: Path, stamp: str) -> None:
    """Note the stamp of what an entry was made of."""
    with contextlib.suppress(OSError):  # a cache that can only be read
        (folder / stamp).touch()


def note_use(folder: Path) -> None:
    """Note that an entry is used: those that were not for longest go first."""
    with contextlib.suppress(OSError):
        os.utime(folder / _TABLE)


def entry_folders() -> list[Path]:
    """Return the folders of all entries, whole or not."""
    with contextlib.suppress(OSError):
        return sorted(path for path in cache_folder().iterdir() if _NAME.fullmatch(path.name))
    return []


def entry_size(folder: Path) -> int:
    """Return how many bytes an entry takes."""
    with contextlib.suppress(OSError):  # another process removes it
        return sum(path.stat().st_size for path in folder.iterdir())
    return 0


def last_use(folder: Path) -> float:
    """Return when an entry was used last; 0 for one that is not whole."""
    with contextlib.suppress(OSError):
        return (folder / _TABLE).stat().st_mtime
    return 0.0
