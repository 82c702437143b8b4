"""Which photos lie in a folder? Found by their names and not opened; links cannot lead in circles."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from nin.errors import DataError
from nin.text import printable

SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp"))
_OF_SYSTEMS: Final = frozenset(
    ("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found", "@eadir")
)


class PhotoFile(NamedTuple):
    """A file that should be a photo: `size` in bytes, `modified` and `changed` in ns, all 0 where it cannot be asked.

    `key` is its path within the source, with "/"; `path` is where it is.
    """

    key: str
    path: str
    size: int
    modified: int
    changed: int


class Contents(NamedTuple):
    """What lies directly in a folder, sorted: folders, photos, and the folders that are hidden."""

    folders: list[str]
    photos: list[str]
    hidden: list[str]


class Tree(NamedTuple):
    """What lies in a folder and below it: photos, and the keys of other files and of links to folders."""

    photos: list[PhotoFile]
    others: list[str]
    links: list[str]


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is of a system or program: `.x`, `__x`, Thumbs.db and the like."""
    return name.startswith((".", "__")) or name.casefold() in _OF_SYSTEMS


def has_photo_suffix(name: str) -> bool:
    """Tell whether a file is a photo by its name."""
    return _suffix(name) in SUFFIXES


def list_contents(folder: Path) -> Contents:
    """List what lies directly in a folder; links count as what they lead to, and only photos with a suffix are such.

    Raises:
        DataError: it is missing, no folder, or cannot be read.

    """
    found = Contents([], [], [])
    for entry in _scan(str(folder)):
        if _is_folder(entry):
            (found.hidden if is_hidden(entry.name) else found.folders).append(entry.name)
        elif has_photo_suffix(entry.name) and not is_hidden(entry.name):
            found.photos.append(entry.name)
    return Contents(*map(sorted, found))


def walk(folder: Path, key: str) -> Tree:
    """Find the photos in a folder and below it: the files with a photo's suffix, or without any; none that is hidden.

    A link to a file is that file, and a link that leads nowhere is a photo to be found unreadable. Links to folders
    are listed and not followed, so that no photo comes in twice and no circle is walked.

    Args:
        folder: where to look; may be a link itself.
        key: what the keys begin with: "" or a path that ends in "/".

    Raises:
        DataError: a folder cannot be read.

    """
    tree = Tree([], [], [])
    waiting = [(str(folder), key)]
    while waiting:
        place, begin = waiting.pop()
        for entry in _scan(place):
            name = entry.name
            if is_hidden(name):
                continue
            if _is_folder(entry):
                if entry.is_symlink() or (sys.version_info >= (3, 12) and entry.is_junction()):
                    tree.links.append(begin + name)
                else:
                    waiting.append((entry.path, f"{begin}{name}/"))
            elif _suffix(name) in SUFFIXES or not _suffix(name):
                tree.photos.append(PhotoFile(begin + name, entry.path, *_status(entry)))
            else:
                tree.others.append(begin + name)
    return tree


def some(names: Sequence[str], most: int = 3) -> str:
    """Write up to `most` names, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        raise DataError(f"{printable(folder)}: there is no such folder; check its name") from None
    except NotADirectoryError:
        raise DataError(f"{printable(folder)}: a file, not a folder; name the folder that holds the photos") from None
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{printable(folder)}: it cannot be read ({reason}); check its name and permissions") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _status(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    try:
        status = entry.stat()
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _suffix(name: str) -> str:
    stem, dot, end = name.rpartition(".")
    return (dot + end).lower() if stem else ""
