"""Which networks answer the textbook's exercises on NiN? A function for each, to compare from this folder:

    nin compare exercises:two_1x1 exercises:no_1x1 exercises:one_1x1 exercises:three_1x1 --epochs 4 --out runs/ones

docs/exercises.md has the questions and the commands. Images are enlarged to the default of `size`; without it they are
taken as they are.
"""

from torch import nn

from nin import NiN, NiN2013


def nin_with(
    in_channels: int,
    num_classes: int,
    *,
    ones: int = 2,
    kernel: int = 1,
    before_head: int | None = None,
    final_relu: bool = False,
) -> nn.Sequential:
    """Build a variant of NiN at 67x67.

    Args:
        in_channels: of the images.
        num_classes: classes.
        ones: 1x1 convolutions in each block.
        kernel: pixels a side of these convolutions, which need not be 1x1.
        before_head: channels to which the last block goes first, in place of one step from 384 to the classes.
        final_relu: whether a ReLU follows the last convolution.

    """

    def block(before: int, after: int, first: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(before, after, first, stride, padding), nn.ReLU()]
        for _ in range(ones):
            layers += [nn.Conv2d(after, after, kernel, padding=kernel // 2), nn.ReLU()]
        return layers

    last = block(384, num_classes, 3, padding=1)
    if before_head is not None:
        last = [nn.Conv2d(384, before_head, 3, padding=1), nn.ReLU(), nn.Conv2d(before_head, num_classes, 1), nn.ReLU()]
    return nn.Sequential(
        *block(in_channels, 96, 11, stride=4),
        nn.MaxPool2d(3, stride=2),
        *block(96, 256, 5, padding=2),
        nn.MaxPool2d(3, stride=2),
        *block(256, 384, 3, padding=1),
        nn.MaxPool2d(3, stride=2),
        *(last if final_relu else last[:-1]),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )


# --- How many 1x1 convolutions in a block, and why 1x1? ---


def no_1x1(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN of plain convolutions."""
    return nin_with(in_channels, num_classes, ones=0)


def one_1x1(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN with one 1x1 convolution in each block."""
    return nin_with(in_channels, num_classes, ones=1)


def two_1x1(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN as it is."""
    return nin_with(in_channels, num_classes)


def three_1x1(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN with three 1x1 convolutions in each block."""
    return nin_with(in_channels, num_classes, ones=3)


def one_3x3(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN with one 3x3 convolution in each block in place of the 1x1 convolutions."""
    return nin_with(in_channels, num_classes, ones=1, kernel=3)


# --- From 384 channels to the classes in one step? And the last ReLU? ---


def two_steps(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN whose last block goes from 384 to 96 channels, and from there to the classes."""
    return nin_with(in_channels, num_classes, before_head=96)


def last_relu(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN that is trained with its last ReLU."""
    return nin_with(in_channels, num_classes, final_relu=True)


# --- Pools, dropout and heads, where class maps have several cells: NiN2013 ---


def average_pool(in_channels: int, num_classes: int) -> nn.Module:
    """Build NiN2013 as it is, without dropout."""
    return NiN2013(in_channels, num_classes, dropout=0.0)


def max_pool(in_channels: int, num_classes: int) -> nn.Module:
    """Build NiN2013 whose logits are the highest cells of the class maps."""
    network = NiN2013(in_channels, num_classes, dropout=0.0)
    network.avg = nn.AdaptiveMaxPool2d(1)  # pyright: ignore[reportAttributeAccessIssue] - another pool is the point
    return network


def dropout(in_channels: int, num_classes: int) -> nn.Module:
    """Build NiN2013 with the paper's dropout."""
    return NiN2013(in_channels, num_classes, dropout=0.5)


def dense_head(in_channels: int, num_classes: int) -> nn.Module:
    """Build NiN2013 with a dense layer on its 192 last channels in place of class maps and their pool.

    For grey images of 28x28 pixels, or colour ones of 32x32.
    """
    return with_dense_head(in_channels, num_classes, dropout=0.0)


def dense_head_dropout(in_channels: int, num_classes: int) -> nn.Module:
    """Build the same with dropout of 0.5 before the dense layer, as the paper regularises it."""
    return with_dense_head(in_channels, num_classes, dropout=0.5)


def with_dense_head(in_channels: int, num_classes: int, dropout: float) -> nn.Module:
    """Build NiN2013 whose last 1x1 convolution and pool are replaced by a dense layer on all cells."""
    network = NiN2013(in_channels, num_classes, dropout=0.0)
    cells = 7 if in_channels == 1 else 8  # a side of the maps
    dense = nn.Linear(192 * cells**2, num_classes)
    return nn.Sequential(
        network.n1,
        network.m1,
        network.n2,
        network.m2,
        *list(network.n3.children())[:-1],
        nn.Flatten(),
        nn.Dropout(dropout),
        dense,
    )


# --- Size against accuracy and time ---


def at_67(in_channels: int, num_classes: int, size: int = 67) -> nn.Module:
    """Build NiN at 67x67."""
    return NiN(in_channels, num_classes, final_relu=False, dropout=0.0)


def at_99(in_channels: int, num_classes: int, size: int = 99) -> nn.Module:
    """Build NiN at 99x99."""
    return at_67(in_channels, num_classes)


def at_131(in_channels: int, num_classes: int, size: int = 131) -> nn.Module:
    """Build NiN at 131x131."""
    return at_67(in_channels, num_classes)
