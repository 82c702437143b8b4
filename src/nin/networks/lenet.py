"""What is LeNet-5, the first of the networks that NiN is compared with? The textbook's form; it fits one image size."""

from jaxtyping import Float
from torch import Tensor, nn

from nin.errors import OptionError


class LeNet(nn.Module):
    """LeNet-5 as in Dive into Deep Learning, section 7.6 (https://d2l.ai/chapter_convolutional-neural-networks/lenet.html).

    LeCun, Bottou, Bengio, Haffner 1998, without its Gaussian last layer. 61,706 parameters at 1 channel, 10 classes and
    28x28.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of logits.
        size: the side of the square images that it takes, in pixels; 12 or more.

    Raises:
        OptionError: `size` is too small for the second pool.

    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, size: int = 28) -> None:
        super().__init__()
        cells = (size // 2 - 4) // 2  # a side of the second pool's output: only the second convolution is not padded
        if cells < 1:
            raise OptionError(f"LeNet needs images of at least 12x12, not {size}x{size}")
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * cells**2, 120),
            nn.Sigmoid(),
            nn.Linear(120, 84),
            nn.Sigmoid(),
            nn.Linear(84, num_classes),
        )

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        """Return the logits: (batch, in_channels, size, size) -> (batch, num_classes)."""
        return self.classifier(self.features(images))
