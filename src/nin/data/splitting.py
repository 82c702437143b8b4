"""Which images are held out? A stratified split, by a seed, with equal images on one side."""

import hashlib
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from nin.data.images import LabelledImages
from nin.errors import DataError


def split(images: LabelledImages, validation: int = 5000) -> tuple[LabelledImages, LabelledImages]:
    """Split into training images and `validation` images, with the same share of each class in both.

    The same labels always give the same split. Both parts keep the order that the images had.

    Raises:
        DataError: `validation` leaves one of the two empty.

    """
    if not 0 < validation < len(images):
        raise DataError(f"validation takes from 1 to {len(images) - 1} of {len(images)} images, not {validation}")
    order = stratified_order(images.labels.numpy(force=True))
    return hold_out(images, order[:validation])


def hold_out(images: LabelledImages, positions: Int64[np.ndarray, "held_out"]) -> tuple[LabelledImages, LabelledImages]:
    """Return the images that are not at `positions`, and those that are; both in the order that they had."""
    mask = torch.zeros(len(images), dtype=torch.bool)
    mask[torch.from_numpy(positions)] = True
    mask = mask.to(images.labels.device)
    return images.subset(~mask), images.subset(mask)


def split_apart(images: LabelledImages, validation: int) -> tuple[LabelledImages, LabelledImages]:
    """Split as `split` does, with equal images on one side, so that validation may have a few more."""
    groups = groups_of_equal(images.images)
    order = stratified_order(images.labels.numpy(force=True), groups)
    return hold_out(images, order[: edge(groups, order, validation)])


def stratified_order(
    labels: Int64[np.ndarray, "images"], groups: Int64[np.ndarray, "images"] | None = None, seed: int = 0
) -> Int64[np.ndarray, "images"]:
    """Return the positions of all images in an order of which every beginning has about the same share of each class.

    So the first n can be held out, for any n. Images of the same group, such as equal ones, are neighbours in it;
    without `groups` each image is one of its own. Cut it where `edge` says, and no group is on both sides.
    """
    count = len(labels)
    # Not default_rng: NumPy promises never to change this generator's numbers, and the split must outlive its releases.
    shuffled = np.random.RandomState(seed).permutation(count)
    if groups is None:
        leaders, sizes = np.arange(count), np.ones(count, dtype=np.int64)
    else:
        _, first, inverse, members = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
        leaders, sizes = first[inverse], members[inverse]  # of each image: the first of its group, and how many it has
    shuffled = shuffled[leaders[shuffled] == shuffled]
    rank = np.empty(count)  # a group's position in its shuffled class, from 0 to 1
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    edges = np.flatnonzero(np.diff(labels[by_class], prepend=-1, append=-1))
    for begin, end in pairwise(edges):
        members = by_class[begin:end]
        upto = np.cumsum(sizes[members])
        rank[members] = (upto - sizes[members] / 2) / upto[-1]
    return np.lexsort((np.arange(count), leaders, rank[leaders]))


def edge(groups: Int64[np.ndarray, "images"] | None, order: Int64[np.ndarray, "images"], count: int) -> int:
    """Return the first place from `count` on where `order` can be cut with no group on both sides."""
    if groups is not None:
        while 0 < count < len(order) and groups[order[count]] == groups[order[count - 1]]:
            count += 1
    return count


def groups_of_equal(images: UInt8[Tensor, "images channels height width"]) -> Int64[np.ndarray, "images"]:
    """Return a number for each image, the same for two images exactly if all their pixels are."""
    numbers: dict[bytes, int] = {}
    pixels = (image.contiguous().numpy(force=True).data for image in images)
    digests = (hashlib.blake2b(image, digest_size=16).digest() for image in pixels)
    return np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], dtype=np.int64)
