"""What do all tests share? Shapes checked at run time, and a small data set that a network can learn in seconds."""

from pathlib import Path

from jaxtyping import install_import_hook

# Before anything imports `nin`: every annotated function of ours then checks the shapes that it documents.
install_import_hook("nin", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

from nin.data import LabelledImages, Splits  # noqa: E402


def stripes(images: int, seed: int, channels: int = 1) -> LabelledImages:
    """Make noisy pictures of stripes, whose direction and width tell the class: learnt in a few epochs."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (images,), generator=generator)
    pictures = torch.randint(0, 100, (images, channels, 28, 28), generator=generator, dtype=torch.uint8)
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        along = picture if label % 2 else picture.transpose(1, 2)
        width = 2 if label < 2 else 6
        for start in range(0, 28, 2 * width):
            along[:, start : start + width] += 150
    return LabelledImages(pictures, labels, ("narrow upright", "narrow level", "wide upright", "wide level"))


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Give 512 training, 128 validation and 200 test pictures of 4 classes."""
    return Splits(stripes(512, seed=1), stripes(128, seed=2), stripes(200, seed=3), Path("synthetic"))
