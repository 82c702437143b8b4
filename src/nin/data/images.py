"""What is a data set? Labelled images, divided into training, validation and test, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nin.choices import Part
from nin.data.photos.preparation import Preparation
from nin.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes.

    Attributes:
        images: uint8, (images, channels, height, width); may be a memory-mapped file.
        labels: int64, (images,): each a position in `names`.
        names: the names of the classes.
        keys: what each image is called in its source, (images,): a path within a folder (str), or its position from 0
            (int64), the default.

    Raises:
        DataError: another dtype or rank than this, different lengths, no image at all, or a label without a name.

    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]
    keys: np.ndarray = field(default_factory=lambda: np.arange(0))

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        object.__setattr__(self, "names", tuple(self.names))
        if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
            raise DataError(f"images and labels must be tensors, not {type(images).__name__}, {type(labels).__name__}")
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise DataError(f"images must be uint8 with 4 dimensions, not {images.dtype} of {tuple(images.shape)}")
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise DataError(f"labels must be int64 with 1 dimension, not {labels.dtype} of {tuple(labels.shape)}")
        keys = np.asarray(self.keys) if len(self.keys) else np.arange(len(images))
        object.__setattr__(self, "keys", keys)
        if not len(images) == len(labels) == len(keys) or len(images) == 0:
            raise DataError(
                f"{len(images)} images with {len(labels)} labels and {len(keys)} keys: there must be one for each "
                "image, and at least one"
            )
        if (nameless := labels[(labels < 0) | (labels >= len(self.names))]).numel():
            raise DataError(
                f"label {nameless[0]} is out of range: it must be the position of one of the {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return self.images.shape[1]

    def subset(self, indices: Tensor) -> "LabelledImages":
        """Return the images at `indices`: int64 positions, in that order, or a bool mask; DataError if it is empty."""
        keys = self.keys[indices.numpy(force=True)]
        return LabelledImages(self.images[indices], self.labels[indices], self.names, keys)

    def slice(self, begin: int, end: int) -> "LabelledImages":
        """Return the images from `begin` to `end`, without copying their pixels; DataError if there are none."""
        part = slice(begin, end)
        return LabelledImages(self.images[part], self.labels[part], self.names, self.keys[part])

    def first(self, count: int) -> "LabelledImages":
        """Return the first `count` images, or all where there are fewer."""
        return self.slice(0, count)


@dataclass(frozen=True)
class Origin:
    """Where images came from, and how they became images.

    Attributes:
        name: what reports call the data set, such as "Fashion-MNIST".
        place: the folder that they were read from, or what they were in memory.
        source: the name, "hf:...", or absolute path that the images were read from; None for images in memory.
        preparation: how photos become images like these.
        channels: what photos were asked to become; None where their colour decided.
        order: where the order of the classes comes from, in words.
        cut: the splits that were not given, but cut from the training images, and the share of them that each is.
        seed: of that.
        unreadable: the photos that could not be read, and why, by their keys.
        sizes: width and height in pixels of the photos before they were prepared, and how many have it.
        notes: what a user should know of how the source was read, a line each.
        cache: the folder in which prepared images are kept, where they are.
        flip: whether an image mirrored left to right is still of its class, as digits and letters are not.

    """

    name: str = "images"
    place: str = "memory"
    source: str | None = None
    preparation: Preparation = field(default_factory=lambda: Preparation("photo"))
    channels: int | None = None
    order: str = "as given"
    cut: Mapping[Part, float] = field(default_factory=dict)
    seed: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cache: Path | None = None
    flip: bool = True


class Splits(NamedTuple):
    """Images to train on, to make choices by, and to test on once at the end; `test` is None where there are none."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages | None = None
    origin: Origin = Origin()

    def parts(self) -> dict[Part, LabelledImages]:
        """Return the splits that there are, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in found.items() if part is not None}  # pyright: ignore[reportReturnType]

    def check(self) -> None:
        """Check that all splits have images of the same classes and channels, and that only test is left out.

        Raises:
            DataError: the first split that is wrong.

        """
        found: dict[str, object] = {"train": self.train, "validation": self.validation}
        for name, part in (found | self.parts()).items():
            if not isinstance(part, LabelledImages):
                raise DataError(f"the {name} images must be LabelledImages, not {type(part).__name__}")
            if (part.names, part.channels) != (self.train.names, self.train.channels):
                raise DataError(f"the {name} images have other classes or channels than the training images")
