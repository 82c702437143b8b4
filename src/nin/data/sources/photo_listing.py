"""How do photos with their classes and splits become a listing? Checked, sorted, numbered and stamped."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple, overload

import numpy as np

from nin.choices import Part
from nin.data.sources.classes import Classes
from nin.data.sources.listing import Listing
from nin.data.sources.photo_files import PhotoFile, some
from nin.errors import DataError
from nin.text import printable

PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")
_NAMES: Final[dict[str, Part]] = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_EVALUATION: Final = ("eval", "evaluation")


class LabelledPhoto(NamedTuple):
    """A photo, the name of its class, and its split, None where the source is not split."""

    file: PhotoFile
    name: str
    part: Part | None


def is_split(name: str) -> bool:
    """Tell whether a name, in upper or lower case, is one of a split."""
    return name.casefold() in {*_NAMES, *_EVALUATION}


def parts_of(names: Collection[str], place: str) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return which split each of these names means, in upper or lower case, and notes; other names are left out.

    train and training; val, valid, validation and dev; test and testing. Eval and evaluation mean test where there is
    none, else validation where there is none; a note says which.

    Raises:
        DataError: two names mean the same split.

    """
    parts: dict[str, Part] = {name: _NAMES[name.casefold()] for name in sorted(names) if name.casefold() in _NAMES}
    notes: tuple[str, ...] = ()
    if evaluation := [name for name in sorted(names) if name.casefold() in _EVALUATION]:
        free: list[Part] = [part for part in ("test", "validation") if part not in parts.values()]
        meant: Part = free[0] if free else "test"
        parts |= dict.fromkeys(evaluation, meant)
        notes = (f"{evaluation[0]} is taken as the {meant} split",)
    for part, count in Counter(parts.values()).items():
        if count > 1:
            same = " and ".join(name for name in parts if parts[name] == part)
            raise DataError(f"{place}: {same} mean the same split, {part}; put them together under one name")
    return parts, notes


def make_listing(folder: Path, photos: Sequence[LabelledPhoto], classes: Classes, notes: Sequence[str]) -> Listing:
    """Return the listing of photos whose classes are all among `classes`, sorted by their keys.

    A split that lacks a class is noted. A key that cannot be printed is escaped, and stays different from the others.

    Raises:
        DataError: there are no photos to train on of one of the classes.

    """
    notes = (*notes, *_check_splits(folder, photos, classes.names))
    ordered = sorted(photos, key=lambda photo: photo.file.key)
    numbers = {name: number for number, name in enumerate(classes.names)}
    keys = _unique([photo.file.key for photo in ordered])
    labels = [numbers[photo.name] for photo in ordered]
    return Listing(
        name=printable(folder.name if folder.name not in ("", "..") else folder.resolve().name or str(folder)),
        place=printable(str(folder)),
        names=classes.names,
        order=classes.order,
        keys=keys,
        labels=np.array(labels, dtype=np.int64),
        parts=[photo.part for photo in ordered],
        photos=_Paths([photo.file.path for photo in ordered]),
        stamp=_stamp(classes.names, keys, labels, ordered),
        notes=notes,
    )


class _Paths(Sequence[Path]):
    """Paths that are made when they are asked for: making tens of thousands takes longer than finding the files."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        return _Paths(self._paths[index]) if isinstance(index, slice) else Path(self._paths[index])


def _check_splits(folder: Path, photos: Sequence[LabelledPhoto], names: Sequence[str]) -> list[str]:
    """Return a note for each split that lacks a class; DataError where it is the split to train on."""
    place = printable(str(folder))
    found = Counter((photo.part, photo.name) for photo in photos)
    parts = [part for part in PARTS if any((part, name) in found for name in names)]
    notes: list[str] = []
    for part in parts or [None]:
        lacking = [name for name in names if not found[part, name]]
        if lacking and part in (None, "train"):
            others = [name for name in parts if name != part and any(found[name, lack] for lack in lacking)]
            where = f" in train, but there are some in {others[0]}" if others else ""
            raise DataError(
                f"{place}: there are no photos of the class {some(lacking)}{where}; add some to train on, or take the "
                "class out"
            )
        if lacking:
            notes.append(f"there are no photos of the class {some(lacking)} in {part}")
    return notes


def _unique(paths: Sequence[str]) -> list[str]:
    """Return the paths, printable and all different."""
    keys: dict[str, None] = {}
    for path in paths:
        key = shown = path if path.isprintable() else printable(path)
        number = 2
        while key in keys:
            key, number = f"{shown} ({number})", number + 1
        keys[key] = None
    return list(keys)


def _stamp(names: Sequence[str], keys: Sequence[str], labels: Sequence[int], ordered: Sequence[LabelledPhoto]) -> str:
    lines = [
        f"{key}\t{label}\t{part}\t{file.size}\t{file.modified}\t{file.changed}"
        for key, label, (file, _, part) in zip(keys, labels, ordered, strict=True)
    ]
    return hashlib.sha256("\n".join([*names, "", *lines]).encode()).hexdigest()
