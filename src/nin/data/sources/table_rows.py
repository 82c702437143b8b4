"""What do the rows of a table of photos say? CSV or JSON lines, read with bounds, each mistake with its line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from nin.data.sources.photo_files import some
from nin.errors import DataError
from nin.text import printable

_MAX_LINE: Final = 1_000_000  # bytes
_LABELS: Final = ("class", "category", "target")
_KNOWN: Final = ("file_name", "label", *_LABELS, "split")


class Row(NamedTuple):
    """A row: the line that it ends on, counted from 1, its file, its label, and its split where the table has such."""

    line: int
    file: str
    label: str
    split: str | None


def read_rows(table: Path) -> list[Row]:
    """Read the rows of a .csv, with commas and a header, or of a .jsonl, an object a line.

    The columns, in upper or lower case: `file_name`; `label`, or the one of `class`, `category` and `target` that is
    there; `split` if there is one. Labels lose the blanks around them. Blank rows are skipped.

    Raises:
        DataError: the table cannot be read, is not UTF-8, is empty, lacks a column or has it twice; or a row is
            broken, too short or too long, lacks a value, or has one of these columns that the first row does not have.

    """
    records = _csv_records(table) if table.suffix == ".csv" else _json_records(table)
    place = printable(str(table))
    first = next(records, None)
    if first is None:
        raise DataError(f"{place}: it has no rows; write the name of a photo and its label in each")
    columns = _columns(list(first[1]), place)
    rows: list[Row] = []
    known = ("file_name", "label", "split") if columns[1].casefold() == "label" else _KNOWN
    for line, record in (first, *records):
        if late := [column for column in record if column not in first[1] and column.casefold() in known]:
            raise DataError(
                f"{place}, line {line}: it has {some(late)}, which the first row does not have; write the same names "
                "in each row"
            )
        rows.append(_row(line, record, columns, place))
    return rows


def _row(line: int, record: Mapping[str, Any], columns: Sequence[str], place: str) -> Row:
    values = [_text(record.get(column), column, line, place) for column in columns]
    for value, column in zip(values, columns, strict=True):
        if not value.strip():
            raise DataError(f"{place}, line {line}: it has no {printable(column)}; fill it in, or remove the row")
    return Row(line, values[0], values[1].strip(), values[2].strip() if len(values) > 2 else None)


def _text(value: Any, column: str, line: int, place: str) -> str:
    """Return a value as text; DataError if it is none, as several labels of a photo are none."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case None:
            return ""
        case _:
            raise DataError(
                f"{place}, line {line}: {printable(column)} is a {type(value).__name__}; write one text or number"
            )


def _columns(header: Sequence[str], place: str) -> list[str]:
    """Return the columns of the file and the label, and of the split if there is one; DataError if that is unclear."""
    found = {wanted: [column for column in header if column.casefold() == wanted] for wanted in _KNOWN}
    for wanted, columns in found.items():
        if len(columns) > 1:
            raise DataError(f"{place}: it has {len(columns)} columns {wanted}; keep one of them")
    labels = found["label"] or [column for name in _LABELS for column in found[name]]
    there = f"its columns are {some(header, 10)}"
    if not found["file_name"]:
        raise DataError(
            f"{place}: it has no column file_name, {there}; name the one of the photos' paths so, or rename the table "
            "if it is something else"
        )
    if len(labels) != 1:
        problem = "no column label" if not labels else f"no column label but {' and '.join(labels)}"
        raise DataError(f"{place}: it has {problem}, {there}; name the one of the classes label")
    return [*found["file_name"], *labels, *found["split"]]


# --- The two formats ---


def _csv_records(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and values by column of each row of a CSV."""
    place = printable(str(table))
    reader = csv.reader(_lines(table), skipinitialspace=True, strict=True)
    header: list[str] = []
    try:
        for values in reader:
            if not any(values):
                continue
            if not header:
                header = [name.strip() for name in values]
                _check_header(header, place)
                continue
            if len(values) != len(header):
                raise DataError(
                    f"{place}, line {reader.line_num}: it has {len(values)} of {len(header)} columns; correct it, with "
                    "quotes around a value that holds a comma"
                )
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise DataError(f"{place}, line {reader.line_num}: it is not CSV ({error}); correct it") from None


def _check_header(header: Sequence[str], place: str) -> None:
    """Check that the columns are divided by commas, and named differently where there are values to be lost."""
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise DataError(f"{place}: its columns are divided by {called}; save it with commas")
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise DataError(f"{place}: it has more than one column {some(twice)}; keep one of them")


def _json_records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and values by column of each object."""
    place = printable(str(table))
    for number, line in enumerate(_lines(table), 1):
        if not line.strip():
            continue
        try:
            yield number, msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise DataError(
                f"{place}, line {number}: it is not a JSON object ({printable(str(error))}); write one on each line, "
                'as in {"file_name": "1.jpg", "label": "cat"}'
            ) from None


def _lines(table: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their ends; DataError if one is too long, or it is none."""
    place = printable(str(table))
    number = 0
    try:
        with table.open("rb") as file:
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                if len(line) > _MAX_LINE:
                    raise DataError(f"{place}, line {number}: more than {_MAX_LINE // 10**6} MB; shorten it")
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except OSError as error:
        raise DataError(f"{place}: it cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{place}, line {number}: it is not UTF-8 text; save the table as UTF-8") from None
