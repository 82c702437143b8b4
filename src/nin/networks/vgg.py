"""What is VGG-11, which NiN is compared with? The textbook's one-channel form; its dense layers fit one image size."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from nin.errors import OptionError
from nin.networks.alexnet import dense_layers


class VGG(nn.Module):
    """VGG-11 as in Dive into Deep Learning, section 8.2 (https://d2l.ai/chapter_convolutional-modern/vgg.html).

    Simonyan, Zisserman 2014, configuration A. 128,806,154 parameters at 1 channel, 10 classes and 224x224.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of logits.
        size: the side of the square images that it takes, in pixels; 32 or more.
        dropout: the probability of the dropouts between the dense layers.

    Raises:
        OptionError: `size` is too small for the pools.

    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, size: int = 224, dropout: float = 0.5) -> None:
        super().__init__()
        if size < 32:
            raise OptionError(f"VGG needs images of at least 32x32, not {size}x{size}")
        blocks = [(1, 64), (1, 128), (2, 256), (2, 512), (2, 512)]  # convolutions, channels
        widths = [in_channels, *(channels for _, channels in blocks)]
        self.features = nn.Sequential(
            *(
                vgg_block(convolutions, before, after)
                for (convolutions, _), (before, after) in zip(blocks, pairwise(widths), strict=True)
            )
        )
        self.classifier = dense_layers(512 * (size // 32) ** 2, num_classes, dropout)

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        """Return the logits: (batch, in_channels, size, size) -> (batch, num_classes)."""
        return self.classifier(self.features(images))


def vgg_block(convolutions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Build 3x3 convolutions with padding 1, each with its ReLU, and a 2x2 pool that halves height and width."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))
