"""What are the classes of a source called, and in which order do they stand?"""

import itertools
import re
import unicodedata
from collections.abc import Collection, Set
from pathlib import Path
from typing import Final, NamedTuple

from nin.data.sources.photo_files import some
from nin.errors import DataError
from nin.text import not_text, printable

MAX_CLASSES: Final = 1000
_MAX_NAME: Final = 255  # characters, as long as the name of a file may be
_MAX_FILE: Final = 4 * MAX_CLASSES * (_MAX_NAME + 2)  # bytes


class Classes(NamedTuple):
    """The names of the classes in their order, and where that comes from, in words."""

    names: tuple[str, ...]
    order: str


def class_name(text: str, place: str) -> str:
    """Return the name of a class in Unicode's normal form NFC, so that it is equal wherever it was typed.

    Spaces and letters of any script are fine.

    Raises:
        DataError: it is blank, longer than 255 characters, or holds what is no text: line ends, control characters,
            marks that turn the direction of writing, bytes that are not UTF-8.

    """
    name = unicodedata.normalize("NFC", text)
    if strange := not_text(name):
        raise DataError(
            f"{place}: the class name {printable(name[:_MAX_NAME])} holds {printable(strange)}, which is no text; "
            "rename the class"
        )
    if not name.strip() or len(name) > _MAX_NAME:
        problem = "is blank" if not name.strip() else f"has more than {_MAX_NAME} characters"
        raise DataError(f"{place}: the class name '{printable(name[:20])}' {problem}; rename the class")
    return name


def check_count(names: Collection[str], place: str) -> None:
    """Check that there are from two to 1,000 classes.

    Raises:
        DataError: there are fewer or more.

    """
    if len(names) > MAX_CLASSES:
        raise DataError(f"{place}: it has {len(names):,} classes; keep at most {MAX_CLASSES:,}")
    if len(names) < 2:
        few = f"only one class, {some(list(names))}" if names else "no classes"
        raise DataError(f"{place}: it has {few}; add others, a classifier chooses among two or more")


def sort_classes(names: Set[str], what: str, *, numbers: bool = False) -> Classes:
    """Sort names as text, as torchvision's ImageFolder does, and say where numbers in them would be sorted otherwise.

    Args:
        names: what to sort.
        what: what they are, such as "folder names".
        numbers: sort them as numbers if all of them are integers.

    """
    if numbers and all(is_integer(name) for name in names):
        return Classes(tuple(sorted(names, key=lambda name: (int(name), name))), f"{what}, sorted as numbers")
    ordered = tuple(sorted(names))
    order = f"{what}, sorted as text"
    for first, second in itertools.pairwise(ordered):
        if _natural(first) > _natural(second):
            order += f": {printable(first)} before {printable(second)}, unlike in natural order"
            break
    return Classes(ordered, order)


def is_integer(text: str) -> bool:
    """Tell whether a label is written as an integer."""
    return re.fullmatch(r"-?[0-9]{1,18}", text) is not None


def _natural(name: str) -> list[str | int]:
    """Return what to sort by so that 2 comes before 10."""
    return [int(piece) if index % 2 else piece for index, piece in enumerate(re.split(r"(\d+)", name))]


def read_classes(folder: Path) -> tuple[str, ...] | None:
    """Read the names of the classes, one on each line of classes.txt; None where there is none.

    Raises:
        DataError: it cannot be read, is not UTF-8, is too long, has a name twice or fewer than two, or a blank line
            before the last, which would move the names after it.

    """
    path = folder / "classes.txt"
    place = printable(str(path))
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
        if len(content) > _MAX_FILE:
            raise DataError(f"{place}: it is too long; write the name of a class on each line, up to {MAX_CLASSES:,}")
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise DataError(f"{place}: it cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{place}: it is not UTF-8 text; save it as that") from None
    if blank := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        raise DataError(f"{place}: line {blank[0]} is blank; name a class on each line")
    names = [class_name(line.strip(), place) for line in lines]
    check_count(names, place)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{place}: {some(twice)} stands in it more than once; name each class on one line")
    return tuple(names)


def check_same(listed: tuple[str, ...], names: Set[str], folder: Path) -> None:
    """Check that classes.txt names the classes that there are, and no others.

    Raises:
        DataError: it lacks a name, or has one too many.

    """
    place = printable(str(folder / "classes.txt"))
    if lacking := sorted(names - set(listed)):
        raise DataError(f"{place}: it lacks the class {some(lacking)}; add it, or move classes.txt away")
    if extra := sorted(set(listed) - names):
        raise DataError(f"{place}: there are no photos of {some(extra)}; add some, or take the name out")
