"""Which data set can a network learn in seconds? Stripes, whose direction and width are the class."""

import torch

from nin.data.images import LabelledImages, Origin, Splits


def stripes(images: int, seed: int, channels: int = 1) -> LabelledImages:
    """Return noisy images of stripes in four classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (images,), generator=generator)
    pixels = torch.randint(0, 100, (images, channels, 28, 28), generator=generator, dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        along = image if label % 2 else image.transpose(1, 2)
        width = 2 if label < 2 else 6
        for start in range(0, 28, 2 * width):
            along[:, start : start + width] += 150
    return LabelledImages(pixels, labels, ("narrow upright", "narrow level", "wide upright", "wide level"))


def small_splits(test: int = 200) -> Splits:
    """Return 512 training, 128 validation and `test` test images."""
    return Splits(stripes(512, seed=1), stripes(128, seed=2), stripes(test, seed=3), Origin("Stripes", "synthetic"))
