"""Which photos are there? The files that paths stand for, and those in folders and below, one after another."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def find_photos(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files to read, in the order given: for a folder those in it and below, sorted, without hidden ones.

    Nothing is left out for its name, and nothing raises: what is missing, unreadable or an empty folder is yielded
    itself, so that `read_photo` says so for it alone. Links to folders are not followed: they may go in circles.
    No more than the names of the folders that lead to a file, and of their entries, are in memory at a time.
    """
    for path in paths:
        below = _below(path)
        yield next(below, path)  # what is no folder, or an empty one, has nothing below it
        yield from below


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below; a folder within it that cannot be read is yielded itself."""
    stack = [(folder, _entries(folder) or iter(()))]
    while stack:
        folder, entries = stack[-1]
        name, is_folder = next(entries, ("", False))
        below = _entries(folder / name) if is_folder else None
        if not name:
            stack.pop()
        elif below is None:
            yield folder / name
        else:
            stack.append((folder / name, below))


def _entries(folder: Path) -> Iterator[tuple[str, bool]] | None:
    """Return the names in a folder, sorted, and which are folders; None if it cannot be read.

    Without hidden ones, and links to folders.
    """
    names: list[str] = []  # of a million files, a list of pairs would be twice as large
    folders: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                if not entry.name.startswith(".") and not (is_folder and entry.is_symlink()):
                    names.append(entry.name)
                    folders |= {entry.name} if is_folder else set()
    except (OSError, ValueError):  # ValueError: the name holds a NUL
        return None
    return ((name, name in folders) for name in sorted(names))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False
