"""Which images does a folder of IDX files hold? MNIST's format and file names, with any number of classes."""

import re
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from nin.choices import Part
from nin.data.images import LabelledImages
from nin.data.sources.classes import MAX_CLASSES, read_classes
from nin.data.sources.idx import read_any_idx, read_idx_labels
from nin.data.sources.photo_files import some
from nin.errors import DataError
from nin.text import printable

_NAME = re.compile(
    r"(?P<set>.*?)[-_.]?(?P<part>(?<![a-z])(train|t10k|test|validation|val))[-_.](?P<kind>images|labels)[-_.].*idx.*",
    re.IGNORECASE | re.DOTALL,
)
_PARTS: dict[str, Part] = {
    "train": "train", "t10k": "test", "test": "test", "val": "validation", "validation": "validation",
}  # fmt: skip


class _File(NamedTuple):
    path: Path
    set: str  # what its name starts with, such as emnist-letters; usually nothing
    part: Part
    kind: str  # images or labels


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds images in an IDX file that is named as MNIST's are: train-images-idx3-ubyte."""
    try:
        return any(file.kind == "images" for file in _files(folder))
    except OSError:
        return False


def read_idx_folder(folder: Path) -> tuple[dict[Part, LabelledImages], str, tuple[str, ...]]:
    """Read the splits that a folder of IDX files has, each a file of images and one of labels, gzipped or not.

    The names are `[SET-]PART-images-idx3-ubyte` and `[SET-]PART-labels-idx1-ubyte`, or similar; PART is train, t10k or
    test, val or validation. Images are unsigned bytes, (images, rows, columns), (images, channels, rows, columns) or
    (images, rows, columns, channels), of 1 or 3 channels; labels count from 0. Line k of classes.txt names the label
    k - 1; without it, the names are the numbers. A label that no image has is no class: EMNIST's letters count from 1.

    Returns:
        The splits, where the order of the classes comes from, in words, and notes.

    Raises:
        DataError: what is wrong, with the file and the way out.

    """
    parts: dict[Part, tuple[UInt8[Tensor, "images channels height width"], Tensor]] = {}
    largest = 0
    listed = read_classes(folder)
    for part, (image_file, label_file) in _pairs(folder).items():
        images, labels = _read_images(image_file), _read_labels(label_file)
        if len(images) != len(labels):
            raise DataError(
                f"{_shown(folder)}: {_shown(image_file.name)} holds {len(images):,} images and "
                f"{_shown(label_file.name)} {len(labels):,} labels; bring the files that belong together"
            )
        if (least := int(labels.min())) < 0:
            raise DataError(f"{_shown(label_file)}: it holds the label {least}; labels count from 0")
        most = int(labels.max())
        if listed is not None and most >= len(listed):
            raise DataError(
                f"{_shown(label_file)}: it holds the label {most}, and classes.txt has the names of 0 to "
                f"{len(listed) - 1}; write a name for each label from 0 on, a line each"
            )
        if most >= MAX_CLASSES:
            raise DataError(
                f"{_shown(label_file)}: it holds the label {most:,}, and at most {MAX_CLASSES:,} classes can be told "
                "apart: their labels are 0 to 999"
            )
        if part == "train" and least == most:
            raise DataError(f"{_shown(label_file)}: all its labels are {most}; a classifier needs two classes or more")
        largest = max(largest, most)
        parts[part] = images, labels
    _check_shapes(folder, {part: images.shape[1:] for part, (images, _) in parts.items()})
    names = listed or tuple(str(number) for number in range(largest + 1))
    order = "the labels' numbers" if listed is None else "classes.txt"
    used = torch.cat([labels.unique() for _, labels in parts.values()]).unique()
    notes: tuple[str, ...] = ()
    if len(used) < len(names):
        unused = sorted(set(range(len(names))) - set(used.tolist()))
        notes = (f"labels that no image has are left out ({len(unused):,}): {some([names[one] for one in unused])}",)
    names = tuple(names[one] for one in used.tolist())
    found: dict[Part, LabelledImages] = {}
    for part, (images, labels) in parts.items():
        found[part] = LabelledImages(images, torch.searchsorted(used, labels), names)
    return found, order, notes


# --- Which files belong together ---


def _files(folder: Path) -> list[_File]:
    """Return the files with names as MNIST's; where there are NAME and NAME.gz, only the plain one."""
    files: list[_File] = []
    for path in sorted(folder.iterdir()):
        matched = None if path.name.startswith((".", "__")) else _NAME.fullmatch(path.name)
        if matched and path.is_file() and not (path.suffix == ".gz" and path.with_suffix("").is_file()):
            part = _PARTS[matched["part"].lower()]
            files.append(_File(path, matched["set"], part, matched["kind"].lower()))
    return files


def _pairs(folder: Path) -> dict[Part, tuple[Path, Path]]:
    """Return the file of images and the file of labels of each split; DataError if they are not one data set's."""
    try:
        files = _files(folder)
    except OSError as error:
        raise DataError(f"{_shown(folder)}: it cannot be read ({error.strerror}); check its permissions") from None
    if len(sets := sorted({file.set for file in files})) > 1:
        names = ", ".join(_shown(name or "one without a name") for name in sets)
        raise DataError(f"{_shown(folder)}: it holds several data sets ({names}); move each into a folder of its own")
    found: dict[tuple[Part, str], Path] = {}
    for file in files:
        if (other := found.setdefault((file.part, file.kind), file.path)) != file.path:
            raise DataError(
                f"{_shown(folder)}: {_shown(other.name)} and {_shown(file.path.name)} are both the {file.part} "
                f"{file.kind}; move one of them away"
            )
    for (part, kind), path in found.items():
        other = "labels" if kind == "images" else "images"
        if (part, other) not in found:
            name = re.sub(kind, other, path.name, flags=re.IGNORECASE)
            name = name.replace("idx3", "idx1") if kind == "images" else name.replace("idx1", "idx3")
            raise DataError(
                f"{_shown(path)}: there are no {other} for these {kind}; add a file such as {_shown(name)}, or move "
                "this one away"
            )
    if ("train", "images") not in found:
        raise DataError(f"{_shown(folder)}: it has no training images; add a file such as train-images-idx3-ubyte")
    parts: tuple[Part, ...] = ("train", "validation", "test")
    return {part: (found[part, "images"], found[part, "labels"]) for part in parts if (part, "images") in found}


# --- What they hold ---


def _read_images(path: Path) -> UInt8[Tensor, "images channels height width"]:
    try:
        images = read_any_idx(path)
    except DataError as defect:
        raise DataError(f"{_shown(path)}: {defect}; {_REPLACE}") from None
    if images.ndim == 3:
        return images.unsqueeze(1)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.movedim(3, 1).contiguous()
    raise DataError(
        f"{_shown(path)}: its shape is {tuple(images.shape)}, and images are (images, rows, columns), (images, "
        "channels, rows, columns) or (images, rows, columns, channels), of 1 or 3 channels; write it as one of those"
    )


def _read_labels(path: Path) -> Tensor:
    try:
        return read_idx_labels(path)
    except DataError as defect:
        raise DataError(f"{_shown(path)}: {defect}; {_REPLACE}") from None


def _check_shapes(folder: Path, shapes: dict[Part, torch.Size]) -> None:
    for part, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"{_shown(folder)}: its {part} images are (channels, rows, columns) {tuple(shape)}, and its training "
                f"images {tuple(shapes['train'])}; bring files of one shape"
            )


_REPLACE = "replace it, or move it away"


def _shown(path: Path | str) -> str:
    return printable(str(path))
