"""Which photos and labels does one split of a Hugging Face data set have? Columns of its Arrow table, read in place."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Int64

from nin.choices import Part
from nin.data.sources.huggingface_columns import Columns, is_bytes, is_plain
from nin.data.sources.photo_files import some
from nin.errors import DataError
from nin.text import printable


class SplitRows(NamedTuple):
    """The photos of a split that have labels.

    Attributes:
        key: what the data set calls the split.
        part: which split it is.
        rows: the position of each photo in the split.
        positions: its position in `photos`.
        photos: the column of photos, a `pyarrow.ChunkedArray` of {"bytes", "path"}.
        labels: the label of each photo, a position in `names`.
        names: the names of the labels.
        is_class_label: whether `names` are those of a ClassLabel, in its order.
        stamp: a text that differs whenever a photo may have changed.

    """

    key: str
    part: Part | None
    rows: Int64[np.ndarray, "photos"]
    positions: Int64[np.ndarray, "photos"]
    photos: Any
    labels: Int64[np.ndarray, "photos"]
    names: tuple[str, ...]
    is_class_label: bool
    stamp: str


class Photos(Sequence[Path | bytes]):
    """Photos, read from their Arrow table when they are asked for; of a file, its path."""

    def __init__(self, parts: Iterable[tuple[Any, Int64[np.ndarray, "_"]]]) -> None:
        """Take columns of {"bytes", "path"}, and the positions in each that have the photos."""
        import pyarrow

        chunks: list[Any] = []
        positions: list[np.ndarray] = []
        begin = 0
        for column, here in parts:
            chunks += column.chunks
            positions.append(here + begin)
            begin += len(column)
        self._column = pyarrow.chunked_array(chunks)
        self._positions = np.concatenate(positions)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Path | bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path | bytes]: ...
    def __getitem__(self, index: int | slice) -> Path | bytes | Sequence[Path | bytes]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        photo = self._column[int(self._positions[index])].as_py()
        return Path(photo["path"]) if photo["bytes"] is None else photo["bytes"]


# --- Rows ---


def read_split(
    dataset: Any, key: str, part: Part | None, columns: Columns, place: str
) -> tuple[SplitRows, tuple[str, ...]]:
    """Read the labels of a split and where its photos are, and return notes of what was left out.

    Raises:
        DataError: it lacks one of the columns, its labels are of another kind or out of range, or its photos are on the
            network.

    """
    import pyarrow
    from datasets import ClassLabel, Image

    if lacking := [column for column in columns if column not in dataset.features]:
        raise DataError(f"{place}: the split {key} lacks the column {some(lacking)}, which others have; add it")
    feature = dataset.features[columns.photos]
    if is_bytes(feature):
        dataset = dataset.cast_column(columns.photos, Image(decode=False))
    elif not isinstance(feature, Image):
        raise DataError(f"{place}: the split {key} has photos in {columns.photos} of another kind; cast_column it")
    # A selection or an order is kept as positions in the table, which stays as it was. To read that is ten times as
    # fast as to ask the Dataset for a row.
    table, indices = dataset.data, dataset._indices
    positions = np.arange(len(dataset)) if indices is None else indices.column(0).to_numpy().astype(np.int64)
    photos = table.column(columns.photos)
    has_bytes, has_path = (_there(photos, field)[positions] for field in ("bytes", "path"))
    names, labels = _read_labels(
        table.column(columns.labels).take(pyarrow.array(positions)), dataset.features[columns.labels], place
    )
    has_photo, has_label = has_bytes | has_path, labels >= 0
    kept = has_photo & has_label
    shown, notes = printable(key), []
    for what, count in (("a photo", (~has_photo).sum()), ("a label", (has_photo & ~has_label).sum())):
        if count:
            notes.append(f"left out {count:,} of the {len(dataset):,} rows{shown and f' of {shown}'}, without {what}")
    rows = np.flatnonzero(kept)
    split = SplitRows(
        key=shown,
        part=part,
        rows=rows,
        positions=positions[rows],
        photos=photos,
        labels=labels[rows],
        names=names,
        is_class_label=isinstance(dataset.features[columns.labels], ClassLabel),
        stamp=_stamp(dataset, photos, positions[kept & has_bytes], positions[kept & ~has_bytes], place),
    )
    return split, tuple(notes)


def _there(photos: Any, field: str) -> np.ndarray:
    """Tell for each row of the table whether a photo has this field; the photos themselves are not read for that."""
    return photos.flatten()[photos.type.get_field_index(field)].is_valid().to_numpy()


def _read_labels(column: Any, feature: Any, place: str) -> tuple[tuple[str, ...], Int64[np.ndarray, "rows"]]:
    """Return the names of labels, and of each row the position in them, or -1 where it has no label."""
    import pyarrow.compute as pc
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        names = tuple(feature.names)
        labels = pc.fill_null(column, -1).to_numpy()
        if (wrong := labels[(labels < -1) | (labels >= len(names))]).size:
            raise DataError(f"{place}: a label is {wrong[0]}, and its ClassLabel has {len(names)} names; correct it")
        return names, labels.astype(np.int64)
    if not is_plain(feature):
        raise DataError(f"{place}: labels are numbers or text, not {type(feature).__name__}, in one of the splits")
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if wrong := [value for value in values if isinstance(value, float) and not value.is_integer()]:
        raise DataError(f"{place}: the label {wrong[0]:g} is no integer; give an integer or a text for each photo")
    labels = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    names = tuple(str(int(value)) if isinstance(value, float) else str(value) for value in values)
    if names == ("-1",):  # as test splits without labels have it
        labels = np.full_like(labels, -1)
    return names, labels


# --- Whether photos changed ---


def _stamp(dataset: Any, photos: Any, within: np.ndarray, files: np.ndarray, place: str) -> str:
    """Return a text that differs whenever a photo may have changed, of those in the table and those in files."""
    digest = hashlib.sha256()
    if dataset.cache_files:
        digest.update(dataset._fingerprint.encode())
        for file in dataset.cache_files:
            digest.update(_state(file["filename"]))
    else:
        for position in within:
            photo = photos[int(position)]["bytes"].as_buffer()
            digest.update(b"%d " % photo.size)
            digest.update(photo)
    for position in files:
        path = photos[int(position)]["path"].as_py()
        if "://" in path:
            raise DataError(f"{place}: the photo {printable(path)[:100]} is on the network; download such photos first")
        digest.update(_state(path))
    return digest.hexdigest()


def _state(path: str) -> bytes:
    """Return size and times of a file, or that it is not there, as text."""
    try:
        state = os.stat(path)  # noqa: PTH116 - tens of thousands of times
    except (OSError, ValueError):
        return b"missing "
    return b"%d %d %d " % (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
