"""Which images tell who they are? Images of one pixel that spell out their number."""

import torch

from nin.data.images import LabelledImages


def numbered(labels: list[int], classes: int) -> LabelledImages:
    """Make images of 1x1 in two channels, which spell out the image's number."""
    numbers = torch.arange(len(labels))
    images = torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8)[:, :, None, None]
    return LabelledImages(images, torch.tensor(labels), tuple(map(str, range(classes))))


def numbers(images: LabelledImages) -> list[int]:
    """Return the numbers of images."""
    high, low = images.images.flatten(1).long().T
    return (256 * high + low).tolist()
