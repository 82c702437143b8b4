"""Which class does each label name? Integers or text become positions in the names of the classes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from nin.data.sources.classes import class_name
from nin.errors import DataError
from nin.text import printable

_WANTED: Final = "give an integer or a text for each image"


def read_labels(labels: Any, names: Any = None) -> tuple[Int64[np.ndarray, "images"], tuple[str, ...]]:
    """Return the class of each image, a position in the names of the classes, and these.

    Args:
        labels: a tensor, array or list, (images,) or (images, 1), of integers, floats that are whole, bool, or text.
        names: the names of the classes, a list, in which integers are positions. Without, the classes are the values
            that there are, sorted, and named by themselves: integers from 1 to 10 make ten classes, "1" the first.

    Raises:
        DataError: labels of another kind or shape, a text that is none of the names, or names that are not different
            texts. Integers are not checked against `names`: `LabelledImages` does.

    """
    values = _values(labels)
    if isinstance(values, list):
        classes = {text: class_name(text, "labels") for text in set(values)}
        found = tuple(sorted(set(classes.values()))) if names is None else _checked(names)
        position_of = {name: position for position, name in enumerate(found)}
        if unknown := [text for text, name in classes.items() if name not in position_of]:
            number = values.index(unknown[0])
            raise DataError(f"label {number} is {_shown(values[number])}, which is none of the {len(found)} names")
        positions = np.array([position_of[classes[text]] for text in values], dtype=np.int64)
    elif names is None:
        distinct, positions = np.unique(values, return_inverse=True)
        found = tuple(map(str, distinct.tolist()))
    else:
        found, positions = _checked(names), values
    return positions.astype(np.int64), found


def _checked(names: Any) -> tuple[str, ...]:
    """Return the names of classes as a tuple; DataError unless they are different texts."""
    found = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else ()
    if found and all(isinstance(name, str) for name in found):
        found = tuple(class_name(str(name), "names") for name in found)  # str, for NumPy's are of another class
        if len(set(found)) == len(found):
            return found
    raise DataError("names are a list of texts, one for each class, and all different")


def _values(labels: Any) -> np.ndarray | list[str]:
    """Return labels as an array of integers or bool, (images,), or as a list of texts; DataError for others."""
    if isinstance(labels, Tensor):
        labels = _from_tensor(labels)
    elif isinstance(labels, (str, bytes, Mapping)) or not (
        hasattr(labels, "__array__") or isinstance(labels, Iterable)
    ):
        raise DataError(f"labels are an array, a tensor or a list, not {_kind(labels)}: {_WANTED}")
    array = np.asarray(labels) if hasattr(labels, "__array__") else _from_list(list(labels))
    if isinstance(array, np.ndarray):
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim == 1 and array.dtype.kind not in "biuf":
            array = _from_list(array.tolist())
    if isinstance(array, np.ndarray) and array.ndim != 1:
        way_out = "of one-hot labels, give labels.argmax(1)" if array.ndim == 2 else _WANTED
        raise DataError(f"labels are of shape (images,), not {tuple(array.shape)}: {way_out}")
    return _whole(array) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else array


def _from_tensor(labels: Tensor) -> np.ndarray:
    labels = labels.detach()
    try:
        return (labels.double() if labels.is_floating_point() else labels).cpu().numpy()
    except (TypeError, RuntimeError, NotImplementedError):  # a tensor on "meta", sparse, quantized...
        raise DataError(f"labels cannot be read from a tensor like this, {labels.dtype}: {_WANTED}") from None


def _from_list(items: list[Any]) -> np.ndarray | list[str]:
    """Return the items as an array of numbers, of one dimension or more, or as a list of texts."""
    if any(isinstance(item, (list, tuple)) or getattr(item, "ndim", 0) > 0 for item in items[:1]):
        try:
            return np.array([np.asarray(item) for item in items])
        except (ValueError, TypeError):
            raise DataError(f"labels are lists of different lengths: {_WANTED}") from None
    items = [item.item() if getattr(item, "ndim", None) == 0 else item for item in items]
    items = [_text(item) if isinstance(item, bytes) else item for item in items]
    kinds = (str,) if items and isinstance(items[0], str) else (int, float)
    for number, item in enumerate(items):
        if not isinstance(item, kinds) or (isinstance(item, int) and not -(2**63) <= item < 2**63):
            also = f", where label 0 is {_shown(items[0])}" if number and isinstance(item, (str, int, float)) else ""
            raise DataError(f"label {number} is {_shown(item)}{also}: {_WANTED}")
    if kinds == (str,):
        return [str(item) for item in items]
    return np.array(items, dtype=None if items else np.int64)


def _whole(floats: np.ndarray) -> np.ndarray:
    """Return floats as integers; DataError if one is not whole."""
    with np.errstate(invalid="ignore"):
        integers = floats.astype(np.int64)
    if (wrong := np.flatnonzero(integers != floats)).size:
        raise DataError(f"label {wrong[0]} is {floats[wrong[0]]:g}, which is no integer: {_WANTED}")
    return integers


def _text(item: bytes) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise DataError(f"label {_shown(item)} is no UTF-8; {_WANTED}") from None


def _shown(value: Any) -> str:
    return printable(repr(value))[:60]


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
