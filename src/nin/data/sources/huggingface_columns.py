"""Which columns of a Hugging Face data set have photos and labels? Those with the features for it, else by name."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from nin.data.sources.photo_files import some
from nin.errors import DataError
from nin.text import printable

_LABELS: Final = ("label", "labels", "class", "category", "target", "fine_label")
_ARRAYS: Final = ("Array2D", "Array3D", "List", "LargeList", "Sequence")
_KEEP: Final = "keep one, dataset.select_columns(['image', 'label'])"


class Columns(NamedTuple):
    """The names of the columns of photos and of labels."""

    photos: str
    labels: str


def find_columns(features: Mapping[str, Any], place: str) -> tuple[Columns, tuple[str, ...]]:
    """Find the columns of photos and of labels, and return notes.

    Photos: the column with the feature Image; where there is none, the one of bytes.

    Labels: the column with the feature ClassLabel; of several, the first of label, labels, class, category, target and
    fine_label. Where there is none: the first of these names with integers, text, bool or floats that are whole.

    Raises:
        DataError: there is none, or several, with the columns that there are.

    """
    from datasets import ClassLabel, Image

    photos = [name for name, feature in features.items() if isinstance(feature, Image)]
    photos = photos or [name for name, feature in features.items() if is_bytes(feature)]
    if len(photos) != 1:
        raise DataError(f"{place}: {_wrong_photos(features, photos)}")
    labels = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    notes: tuple[str, ...] = ()
    if len(labels) != 1:
        among = labels or [name for name, feature in features.items() if is_plain(feature)]
        ranks = {name: _LABELS.index(name.casefold()) for name in among if name.casefold() in _LABELS}
        if not ranks:
            raise DataError(f"{place}: {_wrong_labels(features, labels)}")
        labels, others = [min(ranks, key=lambda name: ranks[name])], labels
        if others := [name for name in others if name not in labels]:
            notes = (f"the labels are those of the column {printable(labels[0])}, not {some(others)}",)
    return Columns(photos[0], labels[0]), notes


def _wrong_photos(features: Mapping[str, Any], photos: list[str]) -> str:
    """Return what is wrong with columns of which none, or several, have photos."""
    if photos:
        return f"several columns have photos, {some(photos)}; {_KEEP}"
    if arrays := [name for name, feature in features.items() if type(feature).__name__ in _ARRAYS]:
        shown = printable(arrays[0])
        return f"the column {shown} has numbers, not photos; give (dataset.with_format('numpy')['{shown}'], labels)"
    return (
        f"no column has the feature Image among {some(list(features), 10)}; cast the one that has photos or their "
        "paths, dataset.cast_column('image', datasets.Image())"
    )


def _wrong_labels(features: Mapping[str, Any], labels: list[str]) -> str:
    if labels:
        return f"several columns have labels, {some(labels)}; {_KEEP}"
    return (
        f"no column has the feature ClassLabel, or the name label and a number or text for each photo, among "
        f"{some(list(features), 10)}; rename the one that has labels, dataset.rename_column(..., 'label')"
    )


def is_bytes(feature: Any) -> bool:
    """Tell whether a column has bytes, or bytes with paths, as an Image is stored."""
    if isinstance(feature, Mapping):
        return set(feature) == {"bytes", "path"} and is_bytes(feature["bytes"])
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def is_plain(feature: Any) -> bool:
    """Tell whether a column has a number, a text or a bool in each row."""
    dtype = getattr(feature, "dtype", None)
    return (
        type(feature).__name__ == "Value"
        and re.fullmatch(r"u?int\d+|float\d+|(large_)?string|bool", dtype or "") is not None
    )
