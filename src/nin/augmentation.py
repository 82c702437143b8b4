"""Which pictures does a step see, and how are they varied? Functions of (seed, pass, index) alone."""

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from nin.recipe import Plan


def order(plan: Plan, epoch: int, images: int) -> tuple[Int64[Tensor, "steps batch"], Bool[Tensor, "steps batch"]]:
    """Give the epoch's batches: which image, and whether it is shown flipped.

    The steps of a plan draw on an endless row of passes through the images, each in an order of its own, wherever the
    epochs end; so within a pass every image is seen once. With the recipe's `flip` an image is shown as it is and
    mirrored in turn, half of the images beginning with the one and half with the other: each pair of passes has seen
    both (after K. Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6).
    """
    batch = plan.recipe.batch_size
    first = sum(plan.steps_by_epoch[: epoch - 1])
    positions = np.arange(first * batch, (first + plan.steps_by_epoch[epoch - 1]) * batch)
    passes, places = np.divmod(positions, images)
    indices = np.empty_like(positions)
    for number in np.unique(passes):
        here = passes == number
        indices[here] = np.random.default_rng([plan.seed, number]).permutation(images)[places[here]]
    flipped = np.zeros(len(positions), dtype=bool)
    if plan.recipe.flip:
        begins_flipped = np.random.default_rng([plan.seed, 0, 1]).integers(2, size=images)
        flipped = (begins_flipped[indices] + passes) % 2 == 1
    return torch.from_numpy(indices).view(-1, batch), torch.from_numpy(flipped).view(-1, batch)


def flip(
    images: UInt8[Tensor, "batch channels height width"], flipped: Bool[Tensor, "batch"]
) -> UInt8[Tensor, "batch channels height width"]:
    """Mirror those of the pictures, left to right, that `flipped` marks."""
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
