"""What does a network take in? uint8 images, normalised and resized: the same for training, prediction and export."""

import math
from functools import cache

import msgspec
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from nin.data.images import LabelledImages
from nin.errors import OptionError

MOST_BYTES = 256 * 10**6  # to take statistics of


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How uint8 images become a network's input.

    Attributes:
        size: side in pixels to which images are resized.
        mean: subtracted from each channel, of pixels scaled to 0..1.
        std: by which each channel is then divided; a channel of standard deviation 0 becomes 0.

    Raises:
        OptionError: a value that is not finite, or not one for each channel.

    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        for fits, wrong in (
            (self.size >= 1, f"size must be at least 1 pixel, not {self.size}"),
            (
                len(self.mean) == len(self.std) > 0,
                f"mean and std must have a value for each channel, not {len(self.mean)} and {len(self.std)}",
            ),
            (all(map(math.isfinite, self.mean)), f"mean must be finite, not {self.mean}"),
            (all(0 <= value < math.inf for value in self.std), f"std must be finite and not negative, not {self.std}"),
        ):
            if not fits:
                raise OptionError(wrong)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.mean)

    def __call__(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels {self.size} {self.size}"]:
        """Return the images normalised and resized: float32, channels-last, on the device they are on.

        Bilinear, as torchvision's `Resize`; antialiased where it shrinks. An image that is not square is stretched.
        """
        shift, scale = _shift_and_scale(self.mean, self.std, images.device)
        floats = (images - shift) * scale
        if images.shape[2:] != (self.size, self.size):
            shrinks = max(images.shape[2:]) > self.size
            floats = F.interpolate(floats, size=(self.size, self.size), mode="bilinear", antialias=shrinks)
        return floats.contiguous(memory_format=torch.channels_last)


@cache  # making them anew for each batch would make an accelerator wait each time
def _shift_and_scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what to subtract from uint8 values and what to multiply by, each (channels, 1, 1) on `device`."""
    shift = torch.tensor([m * 255 for m in mean], dtype=torch.float32, device=device)
    scale = torch.tensor([1 / (255 * s) if s > 0 else 0.0 for s in std], dtype=torch.float32, device=device)
    return shift.view(-1, 1, 1), scale.view(-1, 1, 1)


def preprocessing_for(images: LabelledImages, size: int, *, normalise: bool = True) -> Preprocessing:
    """Return the preprocessing that resizes to `size` and, with `normalise`, normalises by the images' own statistics.

    Without `normalise`, pixels are only scaled to 0..1.
    """
    if not normalise:
        return Preprocessing(size, mean=(0.0,) * images.channels, std=(1.0,) * images.channels)
    return Preprocessing(size, *channel_statistics(images.images))


def channel_statistics(
    images: UInt8[Tensor, "images channels height width"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over all images, of pixel values scaled to 0..1.

    Of more than 256 MB, those of so many images, at even steps, stand for all: a second instead of minutes.
    """
    images = images[:: max(1, -(-images.nbytes // MOST_BYTES))]
    # Counting the 256 values is exact, and in parts needs no copy of the data set, which may be larger than memory.
    counts = torch.zeros(images.shape[1], 256, dtype=torch.long, device=images.device)
    for part in images.split(1000):
        channels = part.transpose(0, 1).flatten(1)
        counts += torch.stack([torch.bincount(channel, minlength=256) for channel in channels])
    counts = counts.double()
    values = torch.arange(256, dtype=torch.double, device=images.device) / 255
    shares = counts / counts.sum(dim=1, keepdim=True)
    mean = shares @ values
    variance = (shares * (values - mean[:, None]) ** 2).sum(dim=1)
    return tuple(mean.tolist()), tuple(variance.sqrt().tolist())
