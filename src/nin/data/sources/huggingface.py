"""How is a data set of Hugging Face's `datasets` found and listed, from the hub, a local folder, or as an object?

`datasets` is an extra and takes half a second to import: only `open_dataset` imports it, since whoever has one of its
objects has imported it already.
"""

import contextlib
import glob
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from nin.choices import Part
from nin.data.sources.classes import check_count, class_name, sort_classes
from nin.data.sources.huggingface_columns import Columns, find_columns
from nin.data.sources.huggingface_split import Photos, SplitRows, read_split
from nin.data.sources.listing import Listing
from nin.data.sources.photo_files import some
from nin.data.sources.photo_listing import parts_of
from nin.errors import DataError
from nin.text import printable


def is_dataset(source: object) -> bool:
    """Tell whether `source` is a Dataset or a DatasetDict of `datasets`, which it does not import.

    Their streamed kinds are such too, so that `list_dataset` can say what to do.
    """
    if "datasets.arrow_dataset" not in sys.modules:  # a module `datasets` alone may be a file of the user's
        return False
    datasets = sys.modules["datasets"]
    return isinstance(source, (datasets.Dataset, datasets.DatasetDict)) or _is_streamed(source)


def _is_streamed(source: object) -> bool:
    datasets = sys.modules["datasets"]
    return isinstance(source, (datasets.IterableDataset, datasets.IterableDatasetDict))


# --- Opening ---


def local_path(name: str) -> Path | None:
    """Return the absolute path of a file or folder here; None where there is none, so that the hub is meant."""
    path = Path(os.path.expanduser(name)).absolute()  # noqa: PTH111 - for users that there are not, Path raises
    return path if name and os.path.exists(path) else None  # noqa: PTH110 - and for names too long


def open_dataset(name: str) -> Any:
    """Open a data set as a `datasets.Dataset` or `DatasetDict`.

    Args:
        name: a folder that `datasets` reads (of Parquet files, photos, or what `save_to_disk` wrote), or a Parquet
            file, for neither of which the network is used; else owner/name on the hub, found in the cache of `datasets`
            or fetched. No code of a data set is ever run: `datasets` from 4.0 on has no such thing.

    Raises:
        DataError: `datasets` is not installed, or it cannot open this, in one line.

    """
    shown = f"hf:{printable(name)[:200]}"
    path = local_path(name)
    if path is None and not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise DataError(f"{shown}: there is no such file or folder; give one, or owner/name as on the hub")
    try:
        import datasets.exceptions
        from datasets import load_dataset
    except ImportError:
        raise DataError(f"{shown}: this needs the package datasets: pip install 'network-in-network[hf]'") from None
    try:
        with _no_bars_but_in_terminals():
            return load_dataset(name) if path is None else _open_local(path, shown)
    except DataError:
        raise
    except Exception as error:  # its own errors, and those of the several libraries that it uses
        cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else None
        reason = printable(" ".join(str(cause or error).split()))[:300] or type(error).__name__
        failure = "it cannot be read" if path is not None else "it is not here, and cannot be fetched from the hub"
        raise DataError(f"{shown}: {failure}: {reason}") from error


def _open_local(path: Path, shown: str) -> Any:
    """Open a file or folder, absolute, for else `datasets` might look for it elsewhere."""
    from datasets import Dataset, load_dataset, load_from_disk

    if path.is_dir():
        if any((path / name).exists() for name in ("state.json", "dataset_dict.json")):
            return load_from_disk(str(path))
        if re.search(r"[*?\[]", str(path)):
            raise DataError(f"{shown}: `datasets` does not find folders with *, ? or [ in their paths; rename it")
        return load_dataset(str(path))
    if path.suffix.lower() != ".parquet":
        raise DataError(f"{shown}: of files, those of Parquet can be read, not this one; give one, or a folder")
    # Not load_dataset("parquet", ...), which counts each use of that at a server.
    return Dataset.from_parquet(glob.escape(str(path)))


@contextlib.contextmanager
def _no_bars_but_in_terminals() -> Iterator[None]:
    """Let `datasets` draw progress bars only where the standard error is a terminal, or the user's settings say so."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    if in_terminal or are_progress_bars_disabled() or "HF_DATASETS_DISABLE_PROGRESS_BARS" in os.environ:
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


# --- Listing ---


def list_dataset(source: Any, name: str = "") -> Listing:
    """List the photos of a Dataset or DatasetDict, without decoding or copying any.

    - See `nin.data.sources.huggingface_columns.find_columns` for what are photos and what are labels.
    - The classes of a ClassLabel stay in its order, those without photos left out; where splits have different ones,
      labels are mapped by name. Other labels are sorted. Train needs photos of every class.
    - Splits are recognised by name (`nin.data.sources.photo_listing.parts_of`), and others left out. What has no split
      but one to train on is not split: `datasets` calls that train too.
    - Photos without a label, -1 of a ClassLabel or null, and rows without a photo are left out.

    A note says what was left out. The stamp covers names and labels; of photos that are files, their sizes and times;
    of those in Arrow files, sizes and times of these, and the fingerprint, which `datasets` changes with every
    selection, order and transformation (https://huggingface.co/docs/datasets/about_cache); of those in memory, every
    byte.

    Args:
        source: a `datasets.Dataset` or `datasets.DatasetDict`.
        name: what to call it; default: what `datasets` calls it.

    Raises:
        DataError: what is wrong with it, in one line.

    """
    if _is_streamed(source):
        raise DataError("a data set that is streamed cannot be listed; load it without streaming=True")
    datasets: dict[str, Any] = (
        {str(key): source[key] for key in source} if isinstance(source, Mapping) else {"": source}
    )
    place = name = printable(name or next((one.info.dataset_name for one in datasets.values()), None) or "images")
    parts, notes = _find_parts(list(datasets), place)
    columns: Columns | None = None
    splits: list[SplitRows] = []
    for key in sorted(parts, key=lambda key: parts[key] != "train"):
        if columns is None:
            columns, more = find_columns(datasets[key].features, place)
            notes += more
        split, more = read_split(datasets[key], key, parts[key], columns, place)
        splits += [split] if len(split.rows) else []
        notes += more
    if not splits or splits[0].part not in ("train", None):
        raise DataError(f"{place}: it has no photos with labels to train on; give a data set that has them in train")
    names, order, labels, more = _find_classes(splits, place)
    files = [file["filename"] for one in datasets.values() for file in one.cache_files]
    is_split = len(splits) > 1
    return Listing(
        name=name,
        place=printable(str(Path(files[0]).parent)) if files else "memory",
        names=names,
        order=order,
        keys=[f"{split.key}/{row}" if split.key else str(row) for split in splits for row in split.rows],
        labels=np.concatenate(labels),
        parts=[split.part if is_split else None for split in splits for _ in split.rows],
        photos=Photos([(split.photos, split.positions) for split in splits]),
        stamp=_stamp(names, splits, labels),
        notes=(*notes, *more),
    )


def _find_parts(keys: Sequence[str], place: str) -> tuple[dict[str, Part | None], tuple[str, ...]]:
    """Return the splits to read and what they are, and notes; DataError where that is unclear."""
    parts, notes = parts_of(keys, place)
    if len(keys) == 1 and not parts:
        return {keys[0]: None}, ()
    if "train" not in parts.values():
        there = f"the splits {some(keys)}, but none" if keys else "no split"
        raise DataError(f"{place}: it has {there} to train on; give it a split train, or one Dataset")
    if others := [key for key in keys if key not in parts]:
        notes += (f"left out what is none of train, validation and test: {some(others)}",)
    return {key: parts[key] for key in keys if key in parts}, notes


def _find_classes(
    splits: Sequence[SplitRows], place: str
) -> tuple[tuple[str, ...], str, list[Int64[np.ndarray, "_"]], tuple[str, ...]]:
    """Return the names of the classes, where their order comes from, the labels of each split, and notes."""
    if len({split.is_class_label for split in splits}) > 1:
        raise DataError(f"{place}: the labels are a ClassLabel in one split and not in another; cast_column the other")
    called = [[class_name(name, place) for name in split.names] for split in splits]
    used = [{names[label] for label in np.unique(split.labels)} for names, split in zip(called, splits, strict=True)]
    notes: list[str] = []
    for split, here in zip(splits[1:], used[1:], strict=True):
        if beyond := sorted(here - used[0]):
            raise DataError(
                f"{place}: {split.key} has photos of the class {some(beyond)}, and {splits[0].key} has none; add some "
                "to train on, or take the class out"
            )
        if lacking := sorted(used[0] - here):
            notes.append(f"there are no photos of the class {some(lacking)} in {split.key}")
    check_count(used[0], place)
    names, order = sort_classes(used[0], "labels", numbers=True)
    if splits[0].is_class_label:
        names, order = tuple(dict.fromkeys(name for name in called[0] if name in used[0])), "as in the ClassLabel"
        if unused := [name for name in called[0] if name not in used[0]]:
            notes.insert(0, f"left out {len(unused):,} of {len(called[0]):,} classes, without photos: {some(unused)}")
    positions = {name: position for position, name in enumerate(names)}
    lookups = [np.array([positions.get(name, -1) for name in here], dtype=np.int64) for here in called]
    labels = [lookup[split.labels] for lookup, split in zip(lookups, splits, strict=True)]
    return names, order, labels, tuple(notes)


def _stamp(names: Sequence[str], splits: Sequence[SplitRows], labels: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256(repr(names).encode())
    for split, here in zip(splits, labels, strict=True):
        digest.update(repr((split.key, split.part, len(here), split.stamp)).encode())
        digest.update(here.tobytes() + split.rows.tobytes())
    return digest.hexdigest()
