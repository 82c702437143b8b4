"""What is the network of the 2013 paper? NiN for images of 32x32 pixels, with class maps that are averaged."""

from jaxtyping import Float
from torch import Tensor, nn

from nin.networks.nin import check_arguments, check_images, mlpconv_block

SMALLEST_SIZE = 8  # pixels a side, with maps of 2x2 cells; smaller images are taken for a mistake


class NiN2013(nn.Module):
    """The network of the paper for CIFAR-10: three mlpconv blocks and a global average pool.

    Lin, Chen, Yan, "Network In Network", 2013, https://arxiv.org/abs/1312.4400, section 4.2; the widths, which the
    paper leaves to its code, are those of the authors' Caffe definition for CIFAR-10.
    966,986 parameters at 3 channels and 10 classes, 222 million multiply-adds at 32x32.

    The paper pools by maximum (section 4.1). The authors' definition has a max pool after the first block and an
    average pool after the second, and so have most copies (Caffe, PyTorch, Keras); some have two max pools. Ours
    follows the authors' code. Both pools are 3x3 with stride 2, padded so that they halve the side, and overlap
    (Krizhevsky 2012).
    The last ReLU is left out: with it no logit could be negative, and a class whose map is zero everywhere would get
    no gradient. A class map may therefore be negative, where it speaks against the class.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number of class maps, and so of logits.
        dropout: the probability of the dropout after each of the two pools; 0.5 in the paper.

    Raises:
        OptionError: an argument out of its range.

    """

    def __init__(self, in_channels: int = 3, num_classes: int = 10, *, dropout: float = 0.5) -> None:
        super().__init__()
        check_arguments("NiN2013", in_channels, num_classes, dropout)
        self.in_channels, self.num_classes = in_channels, num_classes
        self.n1 = mlpconv_block(in_channels, (192, 160, 96), kernel_size=5, padding=2)
        self.m1 = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.dropout1 = nn.Dropout(dropout)
        self.n2 = mlpconv_block(96, 192, kernel_size=5, padding=2)
        self.m2 = nn.AvgPool2d(kernel_size=3, stride=2, padding=1)
        self.dropout2 = nn.Dropout(dropout)
        self.n3 = mlpconv_block(192, (192, 192, num_classes), kernel_size=3, padding=1)[:-1]
        self.avg = nn.AdaptiveAvgPool2d((1, 1))
        self.flat = nn.Flatten()

    def class_maps(self, images: Tensor) -> Float[Tensor, "batch classes map_height map_width"]:
        """Return one map per class, before the global pool; the mean of a map is the class's logit, exactly.

        Args:
            images: normalised floats, (batch, in_channels, height, width), at least 8x8.

        Returns:
            (batch, num_classes, map_height, map_width): a cell for every 4 pixels, 8x8 at 32x32 and 7x7 at 28x28.

        Raises:
            NinError: the wrong rank, channels or dtype, or smaller than 8x8.

        """
        check_images("NiN2013", images, self.in_channels, SMALLEST_SIZE)
        x = self.dropout1(self.m1(self.n1(images)))
        x = self.dropout2(self.m2(self.n2(x)))
        return self.n3(x)

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """Return the logits, (batch, num_classes): the pooled class maps. Takes and raises what `class_maps` does."""
        return self.flat(self.avg(self.class_maps(images)))
