"""Which photos does a table name, and of which classes and splits? A metadata.csv or .jsonl, as Hugging Face's."""

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nin.choices import Part
from nin.data.sources.classes import (
    Classes,
    check_count,
    check_same,
    class_name,
    is_integer,
    read_classes,
    sort_classes,
)
from nin.data.sources.listing import Listing
from nin.data.sources.photo_files import PhotoFile, has_photo_suffix, some, walk
from nin.data.sources.photo_listing import LabelledPhoto, is_split, make_listing, parts_of
from nin.data.sources.table_rows import Row, read_rows
from nin.errors import DataError
from nin.text import printable

_OUTSIDE: Final = re.compile(r"/|[a-zA-Z]:|\.\.(/|$)")


def find_table(folder: Path) -> Path | None:
    """Return the table in a folder, metadata.csv or metadata.jsonl; None where there is none.

    Raises:
        DataError: there are both.

    """
    found = [folder / name for name in ("metadata.csv", "metadata.jsonl") if os.path.isfile(folder / name)]  # noqa: PTH113
    if len(found) > 1:
        raise DataError(f"{printable(str(folder))}: it has metadata.csv and metadata.jsonl; keep one of them")
    return found[0] if found else None


def list_table(folder: Path, table: Path | Mapping[Part, Path], notes: Sequence[str] = ()) -> Listing:
    """List the photos that a table names, with columns as `nin.data.sources.table_rows.read_rows` says.

    Paths are relative to the table's folder and stay in it; a photo is taken whatever its name. The splits are the
    tables', or those of the column `split`, named as split folders are (`nin.data.sources.photo_listing.parts_of`); or
    the split folders that the photos lie in, if all do; a note says so.

    Labels are names of two to 1,000 classes, in Unicode's normal form NFC. Where classes.txt is in the folder, they
    are names in it or, if they are not and all are integers, positions in it from 0; it names no class without photos.
    Else they are sorted: as numbers if all are integers, else as text.

    Args:
        folder: the folder of the source, in which keys begin and classes.txt is looked for.
        table: a file in it; or one for each split, in a folder of that split.
        notes: what there is to say of the folder already.

    Raises:
        DataError: what is wrong with a table, in one line.

    """
    tables: dict[Part | None, Path] = {None: table} if isinstance(table, Path) else {**table}
    photos: list[LabelledPhoto] = []
    said = [*notes]
    for part, path in tables.items():
        found, more = _list_rows(folder, path, part)
        photos += found
        said += more
    photos, classes = _name_classes(folder, photos, printable(str(table if isinstance(table, Path) else folder)))
    return make_listing(folder, photos, classes, said)


def _name_classes(folder: Path, photos: Sequence[LabelledPhoto], place: str) -> tuple[list[LabelledPhoto], Classes]:
    """Return the photos with the names of their classes in place of their labels, and the classes."""
    labels = {photo.name for photo in photos}
    check_count(labels, place)
    listed = read_classes(folder)
    if listed is None:
        names = {label: class_name(label, place) for label in labels}
        classes = sort_classes(set(names.values()), "labels of the table", numbers=True)
    else:
        names = _listed_names(labels, listed, place)
        check_same(listed, set(names.values()), folder)
        classes = Classes(listed, "classes.txt")
    return [LabelledPhoto(file, names[label], part) for file, label, part in photos], classes


def _listed_names(labels: set[str], listed: tuple[str, ...], place: str) -> dict[str, str]:
    """Return the name in classes.txt of each label, which is that or its position; DataError if it is neither."""
    names = {label: unicodedata.normalize("NFC", label) for label in labels}
    unknown = sorted(label for label, name in names.items() if name not in listed)
    if not unknown:
        return names
    if not all(is_integer(label) for label in labels):
        raise DataError(f"{place}: the label {some(unknown)} is not in classes.txt; correct it, or add it there")
    if beyond := [label for label in sorted(labels) if not 0 <= int(label) < len(listed)]:
        raise DataError(
            f"{place}: the label {some(beyond)} is none of the positions in classes.txt, 0 to {len(listed) - 1}; "
            "correct it"
        )
    return {label: listed[int(label)] for label in labels}


# --- From rows to files ---


def _list_rows(folder: Path, table: Path, part: Part | None) -> tuple[list[LabelledPhoto], list[str]]:
    """Return the photos that the rows of a table name, with their labels as they stand, and notes."""
    place = printable(str(table))
    rows = read_rows(table)
    begin = "" if table.parent == folder else f"{table.parent.relative_to(folder).as_posix()}/"
    keys = [begin + _inside(row, place) for row in rows]
    there = {file.key: file for file in walk(table.parent, begin).photos}
    files = [there.get(key) or _named_file(folder, key) for key in keys]
    keys = [key if file is None else file.key for key, file in zip(keys, files, strict=True)]
    parts, notes = _parts(rows, keys, part, place)
    found: dict[str, LabelledPhoto] = {}
    lines: dict[str, int] = {}
    missing: list[str] = []
    twice: list[str] = []
    for row, file, split in zip(rows, files, parts, strict=True):
        if file is None:
            missing.append(row.file)
            continue
        before = found.setdefault(file.key, LabelledPhoto(file, row.label, split))
        first = lines.setdefault(file.key, row.line)
        if first != row.line:
            twice.append(file.key)
            if (before.name, before.part) != (row.label, split):
                other = "label" if before.name != row.label else "split"
                raise DataError(
                    f"{place}, line {row.line}: {printable(row.file)} stands in line {first} already with another "
                    f"{other}; remove one of the rows"
                )
    if missing:
        raise DataError(
            f"{place}: {len(missing):,} of the {len(rows):,} files that it names are not there: {some(missing)}; add "
            "them, or correct their paths, which begin at the folder of the table"
        )
    if twice:
        notes.append(
            f"rows of {table.name} that name a photo again, with its label, are left out ({len(twice):,}): "
            f"{some(twice)}"
        )
    if unnamed := _unnamed(there, found):
        notes.append(f"photos that {table.name} does not name are left out ({len(unnamed):,}): {some(unnamed)}")
    return list(found.values()), notes


def _inside(row: Row, place: str) -> str:
    """Return the path that a row names, in its shortest form; DataError if it leaves the folder."""
    short = posixpath.normpath(row.file)
    for path in (short, posixpath.normpath(short.replace("\\", "/")) if "\\" in short else short):
        if _OUTSIDE.match(path):
            raise DataError(
                f"{place}, line {row.line}: {printable(row.file)} is not below the folder of the table; name a photo "
                "in it, by its path from there"
            )
    return short


def _named_file(folder: Path, key: str) -> PhotoFile | None:
    """Return a file by its key, which may be in other letters or have the separators of Windows; None if it is none."""
    slashed = posixpath.normpath(key.replace("\\", "/"))
    for name in dict.fromkeys((slashed,) if os.sep == "\\" else (key, slashed)):
        path = f"{folder}/{name}"
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path takes longer than the call
        except (OSError, ValueError):  # ValueError: the name holds a NUL, or half a letter
            continue
        if stat.S_ISREG(status.st_mode):
            return PhotoFile(name, path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return None


def _parts(
    rows: Sequence[Row], keys: Sequence[str], part: Part | None, place: str
) -> tuple[Sequence[Part | None], list[str]]:
    """Return the split of each row: its table's, its own, or that of the folder which its photo lies in; and notes."""
    splits: list[Part | None] = [part] * len(rows)
    if rows[0].split is not None:
        given = {row.split for row in rows if row.split is not None}
        named, notes = parts_of(given, place)
        if unknown := sorted(given - set(named)):
            raise DataError(f"{place}: {some(unknown)} in the column split is none; write train, validation or test")
        if part and set(named.values()) != {part}:
            raise DataError(f"{place}: its column split disagrees with its folder; remove the column")
        if "train" not in named.values() and not part:
            raise DataError(f"{place}: its column split names no photos to train on; write train for some")
        splits = [named[row.split] for row in rows if row.split is not None]
        return splits, [*notes]
    folders = [key.partition("/")[0] if "/" in key else "" for key in keys]
    lying = sorted(name for name in set(folders) if is_split(name))
    if part or not lying:
        return splits, []
    if len(lying) == len(set(folders)):
        named, notes = parts_of(lying, place)
        if "train" in named.values():
            splits = [named[name] for name in folders]
            return splits, [*notes, f"the photos are split as the folders that they lie in: {', '.join(lying)}"]
    why = "none of them is to train on, or some photos lie elsewhere"
    return splits, [f"the folders {some(lying)} are not taken as splits: {why}"]


def _unnamed(there: Mapping[str, PhotoFile], found: Mapping[str, LabelledPhoto]) -> list[str]:
    """Return the keys of photos that no row names, not even in other letters, which some file systems take as equal."""

    def folded(key: str) -> str:
        return unicodedata.normalize("NFC", key).casefold()

    otherwise = {folded(key) for key in found if key not in there}
    return sorted(key for key in there if key not in found and folded(key) not in otherwise and has_photo_suffix(key))
