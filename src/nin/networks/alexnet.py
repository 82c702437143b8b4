"""What is AlexNet, which NiN is compared with? The textbook's one-channel form; its dense layers fit one image size."""

from jaxtyping import Float
from torch import Tensor, nn

from nin.errors import OptionError


class AlexNet(nn.Module):
    """AlexNet as in Dive into Deep Learning, section 8.1 (https://d2l.ai/chapter_convolutional-modern/alexnet.html).

    Krizhevsky, Sutskever, Hinton 2012. 46,764,746 parameters at 1 channel, 10 classes and 224x224.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of logits.
        size: the side of the square images that it takes, in pixels; 65 or more.
        dropout: the probability of the dropouts between the dense layers.

    Raises:
        OptionError: `size` is too small for the pools.

    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, size: int = 224, dropout: float = 0.5) -> None:
        super().__init__()
        cells = (size - 9) // 4 + 1  # a side of the first convolution's output: 11x11, stride 4, padding 1
        for _ in range(3):
            cells = (cells - 1) // 2  # a 3x3 pool with stride 2; the other convolutions keep the side
        if cells < 1:
            raise OptionError(f"AlexNet needs images of at least 65x65, not {size}x{size}")
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
        self.classifier = dense_layers(256 * cells**2, num_classes, dropout)

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        """Return the logits: (batch, in_channels, size, size) -> (batch, num_classes)."""
        return self.classifier(self.features(images))


def dense_layers(inputs: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Build the dense layers that AlexNet and VGG end in: (batch, c, h, w) -> 4096 -> 4096 -> (batch, num_classes)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, num_classes),
    )
