"""Which pictures does a step see, and how are they varied? Functions of (seed, pass, index) alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from nin.plan import Plan

FLIPS, VARIATIONS = 1, 2  # what a generator's draws are for, so that no two uses share any


@dataclass(frozen=True, eq=False)
class Views:
    """What the steps of an epoch see, step by step: which images, and how each is varied.

    `shift` is by how many pixels a picture is moved down and right. `box` is the rectangle that is erased: top, left,
    height and width as shares of the picture's sides, and the grey from 0 to 1 that it is filled with; a height of 0
    erases nothing. What the recipe does not have is None.
    """

    index: Int64[Tensor, "steps batch"]
    flipped: Bool[Tensor, "steps batch"] | None
    shift: Int64[Tensor, "steps batch 2"] | None
    box: Float32[Tensor, "steps batch 5"] | None

    def to(self, device: torch.device) -> "Views":
        """Put them on a device."""
        parts = (None if part is None else part.to(device) for part in vars(self).values())
        return Views(*parts)  # pyright: ignore[reportArgumentType] - the index is never None

    def steps(self, begin: int = 0) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]]:
        """Give index, flipped, shift and box of each step from the step `begin` of the epoch on."""
        flipped, shift, box = (
            repeat(None) if part is None else part[begin:] for part in (self.flipped, self.shift, self.box)
        )
        return zip(self.index[begin:], flipped, shift, box)  # noqa: B905 - repeat has no end


def order(plan: Plan, epoch: int, images: int) -> Views:
    """Give what the epoch's steps see of so many images.

    The steps of a plan draw on an endless row of passes through the images, each in an order of its own, wherever the
    epochs end; so within a pass every image is seen once. With the recipe's `flip` an image is shown as it is and
    mirrored in turn, half of the images beginning with the one and half with the other: each pair of passes has seen
    both (after K. Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6). Its `shift` moves each picture by up to
    so many pixels, every amount equally likely, and its `erase` is the share of the pictures that lose a rectangle
    (after Zhong et al. 2017, https://arxiv.org/abs/1708.04896), whose sides are an eighth to a half of the picture's.
    """
    recipe = plan.recipe
    batch = recipe.batch_size
    first = sum(plan.steps_by_epoch[: epoch - 1])
    positions = np.arange(first * batch, (first + plan.steps_by_epoch[epoch - 1]) * batch)
    passes, places = np.divmod(positions, images)
    index = np.empty_like(positions)
    draws = np.zeros((len(positions), 8), dtype=np.float32)  # each from 0 up to 1
    for number in np.unique(passes):
        here = passes == number
        index[here] = np.random.default_rng([plan.seed, number]).permutation(images)[places[here]]
        if recipe.shift or recipe.erase:
            drawn = np.random.default_rng([plan.seed, number, VARIATIONS]).random((images, 8), dtype=np.float32)
            draws[here] = drawn[index[here]]
    flipped = shift = box = None
    if recipe.flip:
        begins_flipped = np.random.default_rng([plan.seed, 0, FLIPS]).integers(2, size=images)
        flipped = (begins_flipped[index] + passes) % 2 == 1
    if recipe.shift:
        shift = np.floor(draws[:, :2] * (2 * recipe.shift + 1)).astype(np.int64) - recipe.shift
    if recipe.erase:
        sides = (1 + 3 * draws[:, 2:4]) / 8 * (draws[:, 4:5] < recipe.erase)
        box = np.concatenate([draws[:, 5:7] * (1 - sides), sides, draws[:, 7:]], axis=1)

    def by_step(part: np.ndarray) -> Tensor:
        """Divide what is in a row into steps of a batch each."""
        return torch.from_numpy(part).view(-1, batch, *part.shape[1:])

    return Views(by_step(index), *(None if part is None else by_step(part) for part in (flipped, shift, box)))


def varied(
    images: UInt8[Tensor, "batch channels height width"],
    flipped: Bool[Tensor, "batch"] | None,
    shift: Int64[Tensor, "batch 2"] | None,
    box: Float32[Tensor, "batch 5"] | None,
) -> UInt8[Tensor, "batch channels height width"]:
    """Mirror pictures left to right, move them, and erase a rectangle of them, as `Views` says; black moves in."""
    batch, _, height, width = images.shape
    if flipped is not None:
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    row, column = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    if shift is not None:
        rows, columns = row - shift[:, :1], column - shift[:, 1:]  # (batch, side): where each pixel comes from
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        sample = torch.arange(batch, device=images.device)[:, None, None]
        moved = images[sample, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
        images = (moved * inside[..., None]).permute(0, 3, 1, 2)
    if box is not None:
        top, left, tall, wide, grey = box.split(1, dim=1)
        rows = (row >= top * height) & (row < (top + tall) * height)
        columns = (column >= left * width) & (column < (left + wide) * width)
        erased = (rows[:, :, None] & columns[:, None])[:, None]
        images = torch.where(erased, (grey * 255).to(torch.uint8)[:, :, None, None], images)
    return images
