"""Which photos does a folder hold, of which classes and splits? `DIR/<class>/<photo>`, in splits or not, or a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nin.choices import Part
from nin.data.sources.classes import Classes, check_count, check_same, class_name, read_classes, sort_classes
from nin.data.sources.listing import Listing
from nin.data.sources.photo_files import Contents, Tree, list_contents, some, walk
from nin.data.sources.photo_listing import PARTS, LabelledPhoto, is_split, make_listing, parts_of
from nin.data.sources.table import find_table, list_table
from nin.errors import DataError
from nin.text import printable

_SHAPE: Final = "make a folder for each class, as in cat/1.jpg and dog/1.jpg"


def list_folder(folder: Path) -> Listing:
    """List the photos of a folder: `<class>/<photo>`, `<split>/<class>/<photo>`, or what a table in it names.

    Where there is a metadata.csv or metadata.jsonl, in the folder or in each of its split folders, see
    `nin.data.sources.table.list_table`. Else:

    - Hidden files and folders (`.x`, `__x`, Thumbs.db) are skipped everywhere.
    - It is split if its folders are all named as splits are (`nin.data.sources.photo_listing.parts_of`), with one to
      train on.
    - The folders on the first level, or the first of a split, are the classes, and need photos: two to 1,000 of them
      to train on. A split may lack classes of the others, which is noted, but has none that train lacks.
    - They stand in the order of `classes.txt` in the folder, which names exactly these; else sorted as text, as
      torchvision does. Names are taken in Unicode's normal form NFC, by which they are the same in every split.
    - All photos in a class folder and below it are of that class. Other files are left out and counted.
    - Split and class folders may be links; links to folders below them are not followed, and counted.

    Raises:
        DataError: what is wrong with the folder, in one line.

    """
    contents = list_contents(folder)
    if table := find_table(folder):
        return list_table(folder, table)
    place = printable(str(folder))
    splits, notes = _find_splits(contents, place)
    if not splits:
        return _list_classes(folder, {None: ("", contents)}, notes)
    tables: dict[Part, Path] = {}
    levels: dict[Part | None, tuple[str, Contents]] = {}
    for part, name in splits.items():
        levels[part] = f"{name}/", list_contents(folder / name)
        if table := find_table(folder / name):
            tables[part] = table
    if not tables:
        return _list_classes(folder, levels, notes)
    if without := [name for part, name in splits.items() if part not in tables]:
        raise DataError(f"{place}: {some(without)} has no metadata.csv or .jsonl as the other splits have; add one")
    return list_table(folder, tables, notes)


def _find_splits(contents: Contents, place: str) -> tuple[dict[Part, str], tuple[str, ...]]:
    """Return the folder of each split, none where the folders are classes, and notes; DataError where it is unclear."""
    parts, notes = parts_of(contents.folders, place)
    if not parts:
        return {}, ()
    named = some(list(parts))
    if others := [name for name in contents.folders if name not in parts]:
        raise DataError(
            f"{place}: folders that are named as splits, {named}, stand beside others, {some(others)}; move the others "
            "away or into the splits, or rename the splits if they are classes"
        )
    if "train" not in parts.values():
        raise DataError(
            f"{place}: it has the split {named} and none to train on; add the folder train, or name a folder that "
            "holds classes"
        )
    if contents.photos:
        raise DataError(
            f"{place}: photos lie beside the split folders, such as {some(contents.photos)}; move them into the "
            "folder of their split and class"
        )
    folders = {part: name for name, part in parts.items()}
    return {part: folders[part] for part in PARTS if part in folders}, notes


def _list_classes(folder: Path, levels: Mapping[Part | None, tuple[str, Contents]], notes: Sequence[str]) -> Listing:
    """List the photos of class folders; `levels` has a prefix of keys and the contents of each split's folder."""
    place = printable(str(folder))
    folders: dict[Part | None, dict[str, str]] = {
        part: _class_folders(folder / begin, contents, part) for part, (begin, contents) in levels.items()
    }
    names = {name for found in folders.values() for name in found}
    listed = read_classes(folder)
    if listed:
        check_same(listed, names, folder)
    classes = Classes(listed, "classes.txt") if listed else sort_classes(names, "folder names")
    _check_links(folder, [levels[part][0] + entry for part, found in folders.items() for entry in found.values()])
    photos: list[LabelledPhoto] = []
    others: list[str] = []
    links: list[str] = []
    for part, found in folders.items():
        begin = levels[part][0]
        for name, entry in found.items():
            tree = walk(folder / begin / entry, f"{begin}{entry}/")
            if not tree.photos and part in (None, "train"):
                raise _empty_class(place, begin + entry, tree)
            photos += [LabelledPhoto(file, name, part) for file in tree.photos]
            others += tree.others
            links += tree.links
        if part and not any(photo.part == part for photo in photos):
            raise DataError(f"{place}: there are no photos in {begin[:-1]}; add some, or move the folder away")
    hidden = [begin + name for begin, contents in levels.values() for name in contents.hidden]
    return make_listing(folder, photos, classes, [*notes, *_left_out(hidden, sorted(others), sorted(links))])


def _class_folders(place: Path, contents: Contents, part: Part | None) -> dict[str, str]:
    """Return the folder of each class by the class's name; DataError where photos or folders lie otherwise."""
    shown = printable(str(place))
    away = ", or move the folder away" if part in ("validation", "test") else ""
    if contents.folders and contents.photos:
        raise DataError(
            f"{shown}: photos lie beside the class folders, such as {some(contents.photos)}; move them into the folder "
            "of their class"
        )
    if contents.photos:
        raise DataError(f"{shown}: photos lie directly in it, such as {some(contents.photos)}; {_SHAPE}{away}")
    if not contents.folders:
        raise DataError(f"{shown}: there are no photos in it; {_SHAPE}{away}")
    if len(contents.folders) == 1 and part in (None, "train"):
        only = contents.folders[0]
        inner = list_contents(place / only)
        holds_classes = not inner.photos and (len(inner.folders) > 1 or any(map(is_split, inner.folders)))
        nested = (
            f", or name {printable(str(place / only))} if that holds the classes"
            if holds_classes or find_table(place / only)
            else ""
        )
        raise DataError(f"{shown}: it has only one class folder, {printable(only)}; {_SHAPE}{nested}")
    if len(contents.folders) > 1:
        check_count(contents.folders, shown)
    found: dict[str, str] = {}
    for entry in contents.folders:
        name = class_name(entry, shown)
        if name in found:
            raise DataError(
                f"{shown}: two class folders are named {printable(name)}, in different Unicode forms; put them together"
            )
        found[name] = entry
    return found


def _check_links(folder: Path, keys: Sequence[str]) -> None:
    """Check that no class folder is a link to another one, or to a folder that holds them all. Raises DataError."""
    place = printable(str(folder))
    root = folder.resolve()
    seen: dict[Path, str] = {}
    for key in keys:
        real = (folder / key).resolve()
        if real == root or real in root.parents:
            raise DataError(f"{place}: the class folder {printable(key)} is a link to what holds it; remove the link")
        if real in seen:
            raise DataError(f"{place}: {printable(seen[real])} and {printable(key)} are the same folder; remove a link")
        seen[real] = key


def _empty_class(place: str, key: str, tree: Tree) -> DataError:
    """Return the error of a class folder without photos."""
    holds = "no files" if not tree.others else f"only files of other formats, such as {some(sorted(tree.others))}"
    return DataError(
        f"{place}: there are no photos of the class {printable(key)}, {holds}; add PNG, JPEG, WebP, GIF, TIFF or BMP, "
        "or move the folder away"
    )


def _left_out(hidden: Sequence[str], others: Sequence[str], links: Sequence[str]) -> list[str]:
    """Return a note for each kind of what was not taken."""
    left = (
        (hidden, "hidden folders"),
        (others, "files that are no photos by their names"),
        (links, "links to folders"),
    )
    return [f"{what} are left out ({len(names):,}): {some(names)}" for names, what in left if names]
