"""What does a box of the structure figure say, and in which colour? Layers as boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nin.networks.summary import Layer

Pixels = int | float  # of a page on which three columns take 900


@dataclass(frozen=True)
class BoxStyle:
    """How a kind of layer is drawn: fill, colour and width of its outline (in points), height in pixels."""

    face: str
    edge: str
    height: Pixels
    line: float = 0.8


CONVOLUTION = BoxStyle("#dce8f4", "#48688a", 24)
ONE_BY_ONE = BoxStyle("#ffc247", "#8a5a00", 24, 1.6)
DENSE = BoxStyle("#f3c6cf", "#a02040", 24)
POOL = BoxStyle("#e4e4e4", "#707070", 20)
OTHER = BoxStyle("#ffffff", "#a0a0a0", 17)


@dataclass(frozen=True)
class Box:
    """A layer to draw, and whether a ReLU follows it, which is drawn as part of its box."""

    layer: Layer
    relu: bool = False

    @property
    def block(self) -> str:
        """The name of the block or module that holds the layer: "n1" for "n1.0", "" for one of the network itself."""
        return self.layer.block or self.layer.name.rpartition(".")[0]


def describe(layer: Layer) -> tuple[BoxStyle, str]:
    """Return how a layer is drawn, and its description as in the textbook: "3×3 conv (384), stride 2, pad 1"."""
    kernel = f"{layer.kernel}×{layer.kernel}"
    steps = f", stride {layer.stride}" if layer.stride > 1 else ""
    steps += f", pad {layer.padding}" if layer.padding else ""
    match layer.kind:
        case "Conv2d":
            return (ONE_BY_ONE if layer.kernel == 1 else CONVOLUTION), f"{kernel} conv ({layer.output_shape[0]}){steps}"
        case "Linear":
            return DENSE, f"dense ({layer.output_shape[-1]})"
        case "MaxPool2d" | "AvgPool2d":
            return POOL, f"{kernel} {'max' if layer.kind == 'MaxPool2d' else 'average'} pool{steps}"
        case "AdaptiveMaxPool2d" | "AdaptiveAvgPool2d":
            kind, sides = "max" if layer.kind == "AdaptiveMaxPool2d" else "average", layer.output_shape[1:]
            return POOL, f"global {kind} pool" if set(sides) == {1} else f"{kind} pool to {'×'.join(map(str, sides))}"
        case "ReLU":
            return OTHER, "ReLU"
        case "Dropout2d":
            return OTHER, "dropout of whole channels"
        case kind:
            return OTHER, kind.lower()


def describe_briefly(layer: Layer) -> tuple[BoxStyle, str]:
    """Return how a layer of a branch is drawn, and what fits into a quarter of a column: "3×3 (128)"."""
    box_style, description = describe(layer)
    kernel = f"{layer.kernel}×{layer.kernel}"
    steps = f", stride {layer.stride}" if layer.stride > 1 else ""
    match layer.kind:
        case "Conv2d":
            return box_style, f"{kernel} ({layer.output_shape[0]}){steps}"
        case "MaxPool2d" | "AvgPool2d":
            return box_style, f"{kernel} {'max' if layer.kind == 'MaxPool2d' else 'average'}{steps}"
        case _:
            return box_style, description


def frame_caption(block: str, layers: Sequence[Layer]) -> str:
    """Return the name of a block, and of which kind it is: mlpconv if only 1x1 convolutions follow its first one.

    Of a block with branches, whether what they make is added or put one after the other along the channels.
    """
    within = [layer for layer in layers if layer.block == block]
    if block and within:
        return f"{block}: {within[0].block_kind} block{_joined(block, layers)}"
    kernels = [layer.kernel for layer in layers if layer.kind == "Conv2d" and layer.name.startswith(f"{block}.")]
    return f"{block}: mlpconv block" if len(kernels) > 1 and set(kernels[1:]) == {1} else block


def _joined(block: str, layers: Sequence[Layer]) -> str:
    """Say how the branches of a block are joined, as the shape of what follows tells; "" where it does not."""
    last = {layer.branch: layer.output_shape[0] for layer in layers if layer.block == block}
    positions = [index for index, layer in enumerate(layers) if layer.block == block and layer.branch is not None]
    channels = [last[branch] for branch in last if branch is not None]
    after = layers[positions[-1] + 1 : positions[-1] + 2]
    if len(channels) < 2 or not after:
        return ""
    if after[0].input_shape[0] == sum(channels):
        return "; branches concatenated"
    return "; branches added" if set(channels) == {after[0].input_shape[0]} else ""


def dense_parameters(layers: Sequence[Layer]) -> int:
    """Return how many parameters dense layers have, each counted once however often it is passed."""
    return sum({layer.name: layer.parameters for layer in layers if layer.kind == "Linear"}.values())


def abbreviate(count: int) -> str:
    """Return a number with a unit: 640, 11.7 k, 615 k, 26.2 M."""
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f}{unit}"
    return str(count)


def boxes_of(layers: Sequence[Layer]) -> list[Box]:
    """Return the boxes to draw: one for each layer, but none for a ReLU, which becomes part of the box before it.

    A ReLU of what branches are joined to keeps its own box.
    """
    boxes: list[Box] = []
    for layer in layers:
        if layer.kind == "ReLU" and boxes and boxes[-1].layer.branch == layer.branch:
            boxes[-1] = replace(boxes[-1], relu=True)
        else:
            boxes.append(Box(layer))
    return boxes
