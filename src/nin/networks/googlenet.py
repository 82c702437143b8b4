"""What is GoogLeNet, which took NiN's 1x1 convolutions and global pool further? The textbook's form."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class GoogLeNet(nn.Module):
    """GoogLeNet as in Dive into Deep Learning, section 8.4 (https://d2l.ai/chapter_convolutional-modern/googlenet.html).

    Szegedy et al. 2015, table 1, without local response normalisation, dropout and the auxiliary classifiers, as the
    textbook leaves them out. 5,977,530 parameters at 1 channel and 10 classes. It takes images of any size; the
    registry, from 32x32.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of logits.

    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.b1 = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3), nn.ReLU(), halving_pool()
        )
        self.b2 = nn.Sequential(
            nn.Conv2d(64, 64, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(64, 192, kernel_size=3, padding=1),
            nn.ReLU(),
            halving_pool(),
        )
        self.b3 = nn.Sequential(
            Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64), halving_pool()
        )
        self.b4 = nn.Sequential(
            Inception(480, 192, (96, 208), (16, 48), 64),
            Inception(512, 160, (112, 224), (24, 64), 64),
            Inception(512, 128, (128, 256), (24, 64), 64),
            Inception(512, 112, (144, 288), (32, 64), 64),
            Inception(528, 256, (160, 320), (32, 128), 128),
            halving_pool(),
        )
        self.b5 = nn.Sequential(
            Inception(832, 256, (160, 320), (32, 128), 128), Inception(832, 384, (192, 384), (48, 128), 128)
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(1024, num_classes))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits: (batch, in_channels, height, width) -> (batch, num_classes)."""
        return self.head(self.b5(self.b4(self.b3(self.b2(self.b1(images))))))


class Inception(nn.Module):
    """An Inception block: four branches on the same input, whose channels are put one after the other.

    Args:
        in_channels: of the input.
        c1: channels of the branch of one 1x1 convolution.
        c2: of the branch of a 1x1 and a 3x3 convolution.
        c3: of the branch of a 1x1 and a 5x5 convolution.
        c4: of the branch of a 3x3 max pool and a 1x1 convolution.

    """

    def __init__(self, in_channels: int, c1: int, c2: tuple[int, int], c3: tuple[int, int], c4: int) -> None:
        super().__init__()
        self.b1 = nn.Sequential(nn.Conv2d(in_channels, c1, kernel_size=1), nn.ReLU())
        self.b2 = nn.Sequential(
            nn.Conv2d(in_channels, c2[0], kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(c2[0], c2[1], kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.b3 = nn.Sequential(
            nn.Conv2d(in_channels, c3[0], kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(c3[0], c3[1], kernel_size=5, padding=2),
            nn.ReLU(),
        )
        self.b4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), nn.Conv2d(in_channels, c4, kernel_size=1), nn.ReLU()
        )

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch more height width"]:
        """Return the branches' outputs, one after the other along the channels."""
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], dim=1)


def halving_pool() -> nn.MaxPool2d:
    """Build a max pool that halves height and width, and overlaps."""
    return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
