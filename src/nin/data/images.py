"""What is a data set? Labelled images, and their division into training, validation and test."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nin.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes.

    Attributes:
        images: uint8, (images, channels, height, width).
        labels: int64, (images,): each a position in `names`.
        names: the names of the classes.

    Raises:
        DataError: another dtype or rank than this, different lengths, no image at all, or a label without a name.

    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        object.__setattr__(self, "names", tuple(self.names))
        if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
            raise DataError(f"images and labels must be tensors, not {type(images).__name__}, {type(labels).__name__}")
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise DataError(f"images must be uint8 with 4 dimensions, not {images.dtype} of {tuple(images.shape)}")
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise DataError(f"labels must be int64 with 1 dimension, not {labels.dtype} of {tuple(labels.shape)}")
        if len(images) != len(labels) or len(images) == 0:
            raise DataError(
                f"{len(images)} images with {len(labels)} labels: there must be one for each image, and at least one"
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
        return LabelledImages(self.images[indices], self.labels[indices], self.names)

    def first(self, count: int) -> "LabelledImages":
        """Return the first `count` images, or all where there are fewer."""
        return LabelledImages(self.images[:count], self.labels[:count], self.names)


class Splits(NamedTuple):
    """Images to train on, to make choices by, and to test on once at the end; and the folder they were read from."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    folder: Path


def split(images: LabelledImages, validation: int = 5000) -> tuple[LabelledImages, LabelledImages]:
    """Split into training images and `validation` images, with the same share of each class in both.

    The same labels always give the same split. Both parts keep the order that the images had.

    Raises:
        DataError: `validation` leaves one of the two empty.

    """
    if not 0 < validation < len(images):
        raise DataError(f"validation takes from 1 to {len(images) - 1} of {len(images)} images, not {validation}")
    labels = images.labels.numpy(force=True)
    # Not default_rng: NumPy promises never to change this generator's numbers, and the split must outlive its releases.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    rank = np.empty(len(labels))  # an image's position in its shuffled class, from 0 to 1
    for label in range(len(images.names)):
        members = shuffled[labels[shuffled] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[np.argsort(rank, kind="stable")[:validation]] = True
    mask = torch.from_numpy(held_out).to(images.labels.device)
    return images.subset(~mask), images.subset(mask)
