"""What is NiN compared with? AlexNet and VGG-11 in the textbook's one-channel form.

Both end in dense layers, whose width depends on the size of the pictures: so each is made for one `size`.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from nin.errors import NinError


class AlexNet(nn.Module):
    """AlexNet as in Dive into Deep Learning, section 8.1 (https://d2l.ai/chapter_convolutional-modern/alexnet.html).

    Krizhevsky, Sutskever, Hinton 2012. 46,764,746 parameters at 1 channel, 10 classes and 224x224.

    Args:
        in_channels: 1 for grey pictures, 3 for colour.
        classes: the number of scores.
        size: the side of the square pictures that it will be given, in pixels; 65 or more.
        dropout: the probability of the dropouts between the dense layers.

    Raises:
        NinError: `size` is too small for the pools.

    """

    def __init__(self, in_channels: int = 1, classes: int = 10, *, size: int = 224, dropout: float = 0.5) -> None:
        super().__init__()
        cells = (size - 9) // 4 + 1  # a side of the first convolution's output: 11x11, stride 4, padding 1
        for _ in range(3):
            cells = (cells - 1) // 2  # a 3x3 pool with stride 2; the other convolutions keep the side
        if cells < 1:
            raise NinError(f"AlexNet needs pictures of at least 65x65, not {size}x{size}")
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=11, stride=4, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(96, 256, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.classifier = dense_layers(256 * cells**2, classes, dropout)

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        """Score each class: (batch, in_channels, size, size) -> (batch, classes)."""
        return self.classifier(self.features(images))


class VGG(nn.Module):
    """VGG-11 as in Dive into Deep Learning, section 8.2 (https://d2l.ai/chapter_convolutional-modern/vgg.html).

    Simonyan, Zisserman 2014, configuration A. 128,806,154 parameters at 1 channel, 10 classes and 224x224.

    Args:
        in_channels: 1 for grey pictures, 3 for colour.
        classes: the number of scores.
        size: the side of the square pictures that it will be given, in pixels; 32 or more.
        dropout: the probability of the dropouts between the dense layers.

    Raises:
        NinError: `size` is too small for the pools.

    """

    def __init__(self, in_channels: int = 1, classes: int = 10, *, size: int = 224, dropout: float = 0.5) -> None:
        super().__init__()
        if size < 32:
            raise NinError(f"VGG needs pictures of at least 32x32, not {size}x{size}")
        blocks = [(1, 64), (1, 128), (2, 256), (2, 512), (2, 512)]  # convolutions, channels
        widths = [in_channels, *(channels for _, channels in blocks)]
        self.features = nn.Sequential(
            *(
                vgg_block(convolutions, before, after)
                for (convolutions, _), (before, after) in zip(blocks, pairwise(widths), strict=True)
            )
        )
        self.classifier = dense_layers(512 * (size // 32) ** 2, classes, dropout)

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        """Score each class: (batch, in_channels, size, size) -> (batch, classes)."""
        return self.classifier(self.features(images))


def vgg_block(convolutions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Build 3x3 convolutions with padding 1, each with its ReLU, and a 2x2 pool that halves height and width."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


def dense_layers(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """Build the end that AlexNet and VGG share, 4096, 4096, classes: (batch, c, h, w) -> (batch, classes)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, classes),
    )
