"""Which images does a step see, and how are they augmented? Functions of (seed, epoch, index) alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from nin.training.plan import Plan
from nin.training.recipe import Recipe

FLIPS, SHIFTS = 1, 2  # part of a generator's seed, so that flips share no random numbers with shifts and erasing
DRAWS = 8  # random numbers per image, of which four are used; another number would change what existing plans train


@dataclass(frozen=True, eq=False)
class Views:
    """What a step sees, or several: which images, and how each is augmented.

    None stands for what the recipe does not use.

    Attributes:
        index: which image.
        flipped: whether it is mirrored.
        shifted: by how many pixels it is shifted down and right.
        erased: where the middle of the erased square is, as fractions of height and width from 0 up to 1.

    """

    index: Int64[Tensor, "*steps batch"]
    flipped: Bool[Tensor, "*steps batch"] | None = None
    shifted: Int64[Tensor, "*steps batch 2"] | None = None
    erased: Float32[Tensor, "*steps batch 2"] | None = None

    def to(self, device: torch.device) -> "Views":
        """Return the same on a device."""
        return self._map(lambda part: part.to(device))

    def steps(self) -> Iterator["Views"]:
        """Yield what each step sees, without the dimension of the steps."""
        for step in range(len(self.index)):
            yield self._map(lambda part, step=step: part[step])

    def share(self, rank: int, processes: int) -> "Views":
        """Return what one of several processes sees of a step: every so many-th image, none of them twice."""
        return self._map(lambda part: part[rank::processes])

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Views":
        augmentation = (self.flipped, self.shifted, self.erased)
        return Views(change(self.index), *(None if part is None else change(part) for part in augmentation))


def views_of_steps(plan: Plan, begin: int, end: int, images: int) -> Views:
    """Return what the steps from `begin` to `end` of the plan see of `images` training images.

    The steps take their images from an endless sequence of epochs, each in its own random order, so within an epoch
    every image is seen once. With the recipe's `flip` an image is shown as it is and mirrored in turn, half of the
    images starting with the one and half with the other: each pair of epochs shows both (after K. Jordan 2024,
    https://arxiv.org/abs/2404.00498, section 3.6). With `shift` each image is shifted by up to `shift` pixels, every
    amount equally likely; with `erase` a square around any of its pixels, every one equally likely, is erased.
    """
    recipe = plan.recipe
    batch = recipe.batch_size
    epochs, places = np.divmod(np.arange(begin * batch, end * batch), images)
    index = np.empty_like(places)
    draws = np.zeros((len(places), 4), dtype=np.float32)  # from 0 up to 1
    for number in np.unique(epochs):
        here = epochs == number
        index[here] = np.random.default_rng([plan.seed, number]).permutation(images)[places[here]]
        if recipe.shift or recipe.erase:
            drawn = np.random.default_rng([plan.seed, number, SHIFTS]).random((images, DRAWS), dtype=np.float32)
            draws[here] = drawn[index[here], :4]
    flipped = shifted = erased = None
    if recipe.flip:
        starts_flipped = np.random.default_rng([plan.seed, 0, FLIPS]).integers(2, size=images)
        flipped = _by_step((starts_flipped[index] + epochs) % 2 == 1, batch)
    if recipe.shift:
        amounts = np.floor(draws[:, :2] * (2 * recipe.shift + 1)).astype(np.int64) - recipe.shift
        shifted = _by_step(amounts, batch)
    if recipe.erase:
        erased = _by_step(draws[:, 2:], batch)
    return Views(_by_step(index, batch), flipped, shifted, erased)


def augment(
    images: UInt8[Tensor, "batch channels height width"], views: Views, recipe: Recipe, mean: Sequence[float]
) -> UInt8[Tensor, "batch channels height width"]:
    """Return the images of a step mirrored left to right, shifted down and right, and with a square erased.

    Where an image is shifted, black moves in, or with the recipe's `reflect` the image mirrored at its edge. What is
    erased gets the colour `mean`, a value from 0 to 1 for each channel: that of all training images (Cutout: DeVries,
    Taylor 2017, https://arxiv.org/abs/1708.04552).
    """
    if views.flipped is not None:
        images = torch.where(views.flipped[:, None, None, None], images.flip(3), images)
    if views.shifted is not None:
        images = _shift(images, views.shifted, reflect=recipe.reflect)
    if views.erased is not None:
        colour = torch.tensor(
            [min(255, max(0, round(255 * value))) for value in mean], dtype=torch.uint8, device=images.device
        )
        images = _erase(images, views.erased, recipe.erase, colour)
    return images


def _shift(images: Tensor, shifted: Tensor, *, reflect: bool) -> Tensor:
    batch, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device) - shifted[:, :1]  # (batch, height): where each row comes from
    columns = torch.arange(width, device=device) - shifted[:, 1:]
    sample = torch.arange(batch, device=device)[:, None, None]
    if reflect:
        rows, columns = _mirror(rows, height), _mirror(columns, width)
    moved = images[sample, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    if not reflect:
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        moved = moved * inside[..., None]
    return moved.permute(0, 3, 1, 2)


def _mirror(places: Tensor, side: int) -> Tensor:
    """Mirror places beyond the edges 0 and `side` - 1 back into the image; the edge itself is not repeated."""
    places = places.abs()
    return torch.where(places >= side, 2 * (side - 1) - places, places)


def _erase(images: Tensor, drawn: Tensor, side: int, colour: Tensor) -> Tensor:
    """Fill a square in each image; `drawn`, (batch, 2), is where its middle is, as fractions of height and width."""
    _, _, height, width = images.shape
    inside = []
    for places, pixels in ((drawn[:, 0], height), (drawn[:, 1], width)):
        first = (places * pixels).floor()[:, None] - side // 2
        along = torch.arange(pixels, device=images.device)
        inside.append((along >= first) & (along < first + side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(square, colour[:, None, None], images)


def _by_step(values: np.ndarray, batch: int) -> Tensor:
    """Divide a value for each image into steps of a batch each."""
    return torch.from_numpy(values).view(-1, batch, *values.shape[1:])
