"""What is ResNet-18, whose blocks add their input to their output?"""

from jaxtyping import Float
from torch import Tensor, nn


class ResNet18(nn.Module):
    """ResNet-18 as in He, Zhang, Ren, Sun 2016, table 1; layers as in Dive into Deep Learning, section 8.6.

    https://d2l.ai/chapter_convolutional-modern/resnet.html. Like all networks here it is written without batch norms:
    `with_batch_norm(ResNet18())` is the published network, with 11,175,370 parameters at 1 channel and 10 classes. The
    textbook's has no batch norm after the 1x1 convolutions of its shortcuts. It takes images of any size; the registry,
    from 32x32.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of logits.

    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.b1 = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.b2 = nn.Sequential(Residual(64, 64), Residual(64, 64))
        self.b3 = nn.Sequential(Residual(64, 128, stride=2), Residual(128, 128))
        self.b4 = nn.Sequential(Residual(128, 256, stride=2), Residual(256, 256))
        self.b5 = nn.Sequential(Residual(256, 512, stride=2), Residual(512, 512))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(512, num_classes))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits: (batch, in_channels, height, width) -> (batch, num_classes)."""
        return self.head(self.b5(self.b4(self.b3(self.b2(self.b1(images))))))


class Residual(nn.Module):
    """A residual block: two 3x3 convolutions, to whose output the input is added before the last ReLU.

    Where the block changes the shape, a 1x1 convolution changes that of the input.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        stride: of the first convolution.

    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        changes = stride > 1 or in_channels != out_channels
        self.skip = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride) if changes else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out height_ width_"]:
        """Return the ReLU of the sum of both branches."""
        return self.relu(self.convolutions(x) + self.skip(x))
