"""Which images does a step see, and how are they augmented? Functions of (seed, epoch, index) alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from nin.training.plan import Plan

FLIPS, SHIFTS = 1, 2  # part of a generator's seed, so that flips and shifts share no random numbers
DRAWS = 8  # random numbers per image, of which shifts use two; another number would change what existing plans train


@dataclass(frozen=True, eq=False)
class Views:
    """What the steps of an interval see, step by step: which images, mirrored or not, shifted by how much.

    `shifted` is by how many pixels an image is shifted down and right. What the recipe does without is None.
    """

    index: Int64[Tensor, "steps batch"]
    flipped: Bool[Tensor, "steps batch"] | None
    shifted: Int64[Tensor, "steps batch 2"] | None

    def to(self, device: torch.device) -> "Views":
        """Return the same on a device."""
        flipped, shifted = (None if part is None else part.to(device) for part in (self.flipped, self.shifted))
        return Views(self.index.to(device), flipped, shifted)

    def steps(self, begin: int = 0) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
        """Yield index, flipped and shifted of each step from the step `begin` of the interval on."""
        flipped, shifted = (repeat(None) if part is None else part[begin:] for part in (self.flipped, self.shifted))
        return zip(self.index[begin:], flipped, shifted)  # noqa: B905 - repeat has no end


def views_of_interval(plan: Plan, begin: int, end: int, images: int) -> Views:
    """Return what the steps from `begin` to `end` of the plan see of `images` training images.

    The steps take their images from an endless sequence of epochs, each in its own random order, wherever the intervals
    end; so within an epoch every image is seen once. With the recipe's `flip` an image is shown as
    it is and mirrored in turn, half of the images starting with the one and half with the other: each pair of epochs
    shows both (after K. Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6). With `shift` each image is shifted
    by up to `shift` pixels, every amount equally likely.
    """
    recipe = plan.recipe
    batch = recipe.batch_size
    epochs, places = np.divmod(np.arange(begin * batch, end * batch), images)
    index = np.empty_like(places)
    draws = np.zeros((len(places), 2), dtype=np.float32)  # from 0 up to 1
    for number in np.unique(epochs):
        here = epochs == number
        index[here] = np.random.default_rng([plan.seed, number]).permutation(images)[places[here]]
        if recipe.shift:
            drawn = np.random.default_rng([plan.seed, number, SHIFTS]).random((images, DRAWS), dtype=np.float32)
            draws[here] = drawn[index[here], :2]
    flipped = shifted = None
    if recipe.flip:
        starts_flipped = np.random.default_rng([plan.seed, 0, FLIPS]).integers(2, size=images)
        flipped = _by_step((starts_flipped[index] + epochs) % 2 == 1, batch)
    if recipe.shift:
        shifted = _by_step(np.floor(draws * (2 * recipe.shift + 1)).astype(np.int64) - recipe.shift, batch)
    return Views(_by_step(index, batch), flipped, shifted)


def augment(
    images: UInt8[Tensor, "batch channels height width"],
    flipped: Bool[Tensor, "batch"] | None,
    shifted: Int64[Tensor, "batch 2"] | None,
) -> UInt8[Tensor, "batch channels height width"]:
    """Return the images mirrored left to right and shifted down and right, as `Views` says; black moves in."""
    batch, _, height, width = images.shape
    if flipped is not None:
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    if shifted is not None:
        device = images.device
        rows = torch.arange(height, device=device) - shifted[:, :1]  # (batch, height): where each row comes from
        columns = torch.arange(width, device=device) - shifted[:, 1:]
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        sample = torch.arange(batch, device=device)[:, None, None]
        moved = images[sample, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
        images = (moved * inside[..., None]).permute(0, 3, 1, 2)
    return images


def _by_step(values: np.ndarray, batch: int) -> Tensor:
    """Divide a value for each image into steps of a batch each."""
    return torch.from_numpy(values).view(-1, batch, *values.shape[1:])
