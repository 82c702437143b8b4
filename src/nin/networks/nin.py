"""What is Network in Network? The mlpconv block, and the textbook's NiN as listed.

Lin, Chen, Yan, "Network In Network", 2013, https://arxiv.org/abs/1312.4400: the linear filter of a convolution is
replaced by a small network at every pixel, and a global pool of one class map per class replaces the dense layers.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from nin.errors import NinError, OptionError

SMALLEST_SIZE = 67  # pixels a side; below it the third pool has nothing to pool


def mlpconv_block(
    in_channels: int,
    out_channels: int | tuple[int, int, int],
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
) -> nn.Sequential:
    """Build an mlpconv block: convolution, ReLU, 1x1 convolution, ReLU, 1x1 convolution, ReLU.

    A 1x1 convolution is a fully connected layer applied at every pixel with shared weights, so the block slides a
    small network over the image instead of a linear filter (section 3.1 of the paper). `out_channels` is of all three
    convolutions, or a number for each.

    Shapes: (batch, in_channels, height, width) -> (batch, out_channels of the third, height', width').
    """
    first, second, third = (out_channels,) * 3 if isinstance(out_channels, int) else out_channels
    return nn.Sequential(
        nn.Conv2d(in_channels, first, kernel_size, stride, padding),
        nn.ReLU(),
        nn.Conv2d(first, second, kernel_size=1),
        nn.ReLU(),
        nn.Conv2d(second, third, kernel_size=1),
        nn.ReLU(),
    )


class NiN(nn.Module):
    """The textbook's NiN as a public PyTorch listing of it writes it: attributes n1, m1, ..., n4, avg1, flat.

    A state dict saved by that listing's own code loads with `strict=True`. 1,992,166 parameters at 1 channel and 10
    classes. The listing differs from the textbook (Dive into Deep Learning, section 8.3,
    https://d2l.ai/chapter_convolutional-modern/nin.html) in two layers:

    - the global pool: the textbook averages each class map, so that the logit says how much of the image speaks for
      the class; the listing takes the maximum, so that the one best cell decides and only that cell gets a gradient.
    - dropout: the textbook's `Dropout` zeroes single values; the listing's `Dropout2d` zeroes whole channels, which
      neighbouring pixels cannot stand in for. At 67x67, where a map is one cell, both pairs are the same thing.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of class maps, and so of logits.
        global_pool: "max" (as listed) or "avg" (the textbook's).
        final_relu: False leaves out the ReLU after the last convolution, so that logits may be negative. With it, a
            network whose class maps are all zero has no gradient left and stays dead.
        dropout: the probability of `dropout1`.

    Raises:
        OptionError: an argument out of its range.

    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        global_pool: Literal["max", "avg"] = "max",
        *,
        final_relu: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_arguments("NiN", in_channels, num_classes, dropout)
        if global_pool not in ("max", "avg"):
            raise OptionError(f'global_pool must be "max" or "avg", not {global_pool!r}')
        self.in_channels, self.num_classes = in_channels, num_classes
        self.n1 = mlpconv_block(in_channels, 96, kernel_size=11, stride=4)
        self.m1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.n2 = mlpconv_block(96, 256, kernel_size=5, padding=2)
        self.m2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.n3 = mlpconv_block(256, 384, kernel_size=3, padding=1)
        self.m3 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.dropout1 = nn.Dropout2d(dropout)
        self.n4 = mlpconv_block(384, num_classes, kernel_size=3, padding=1)
        if not final_relu:
            del self.n4[-1]
        self.avg1 = nn.AdaptiveMaxPool2d((1, 1)) if global_pool == "max" else nn.AdaptiveAvgPool2d((1, 1))
        self.flat = nn.Flatten()

    def class_maps(self, images: Tensor) -> Float[Tensor, "batch classes map_height map_width"]:
        """Return one map per class, before the global pool; the pool of a map is the class's logit, exactly.

        Args:
            images: normalised floats, (batch, in_channels, height, width), at least 67x67.

        Returns:
            (batch, num_classes, map_height, map_width): one cell at 67x67, another row and column every 32 pixels.

        Raises:
            NinError: the wrong rank, channels or dtype, or smaller than 67x67.

        """
        check_images("NiN", images, self.in_channels, SMALLEST_SIZE)
        x = self.m1(self.n1(images))
        x = self.m2(self.n2(x))
        x = self.m3(self.n3(x))
        return self.n4(self.dropout1(x))

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """Return the logits, (batch, num_classes): the pooled class maps. Takes and raises what `class_maps` does."""
        return self.flat(self.avg1(self.class_maps(images)))


def check_arguments(title: str, in_channels: int, num_classes: int, dropout: float) -> None:
    """Check what a NiN of any kind is built with. Raises OptionError for an argument out of its range."""
    if in_channels < 1 or num_classes < 1:
        raise OptionError(f"{title} needs at least 1 channel and 1 class, not {in_channels} and {num_classes}")
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout must be from 0 up to, but not including, 1, not {dropout}")


def check_images(title: str, images: Tensor, in_channels: int, smallest_size: int) -> None:
    """Check that images are floats of the shape that a NiN takes. Raises NinError with both shapes if not."""
    fits = images.ndim == 4 and images.shape[1] == in_channels and min(images.shape[2:]) >= smallest_size
    if not fits or not images.is_floating_point():
        raise NinError(
            f"{title} needs floats of shape (batch, {in_channels}, height, width) with height and width at least "
            f"{smallest_size}, not {str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
        )
