"""What does a network eat? uint8 pictures, normalised and resized: one function, for training and prediction alike."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn


def channel_statistics(
    images: UInt8[Tensor, "images channels height width"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of each channel over all pictures, of pixel values scaled to 0..1."""
    channels = images.transpose(0, 1).flatten(1)
    # Counting the 256 values is exact and needs no copy of the data set as floats.
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).double()
    values = torch.arange(256, dtype=torch.double) / 255
    shares = counts / counts.sum(dim=1, keepdim=True)
    mean = shares @ values
    variance = (shares * (values - mean[:, None]) ** 2).sum(dim=1)
    return tuple(mean.tolist()), tuple(variance.sqrt().tolist())


def prepare(
    images: UInt8[Tensor, "batch channels height width"], size: int, mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "batch channels {size} {size}"]:
    """Scale to 0..1, subtract `mean` and divide by `std` for each channel, resize to `size` pixels a side.

    Bilinear, as torchvision's `Resize` does for pictures; antialiased where it shrinks. A picture that is not square is
    stretched. Float32, channels last, on the device of `images`.
    """
    shift, scale = _shift_and_scale(tuple(mean), tuple(std), images.device)
    floats = (images - shift) * scale
    if images.shape[2:] != (size, size):
        shrinks = max(images.shape[2:]) > size
        floats = F.interpolate(floats, size=(size, size), mode="bilinear", antialias=shrinks)
    return floats.contiguous(memory_format=torch.channels_last)


@cache  # making them anew for each batch would make an accelerator wait each time
def _shift_and_scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Give what to subtract from uint8 values and what to multiply by, each (channels, 1, 1) on `device`."""
    shift = torch.tensor([m * 255 for m in mean], device=device)
    # A channel whose pixels are all alike (std 0) says nothing: it becomes 0, not infinite.
    scale = torch.tensor([1 / (255 * s) if s > 0 else 0.0 for s in std], device=device)
    return shift.view(-1, 1, 1), scale.view(-1, 1, 1)


def channels_last(network: nn.Module) -> nn.Module:
    """Lay out the weights as `prepare` lays out the pictures, in place: the same results, twice as fast on CPUs."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - PyTorch's stub lacks it
