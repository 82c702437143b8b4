"""How do the networks differ, block by block? Networks side by side, drawn from the layers of the real modules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.style import context
from matplotlib.textpath import TextPath

from nin.figures.style import GREY, STYLE
from nin.networks.summary import Layer

Pixels = int | float  # of a page on which three columns take 900

COLUMN, GAP, INSET = 290, 15, 8  # widths: a network, between two networks, from a frame to the boxes in it
ARROW, TIGHT, CAPTION, PADDING = 23, 4, 17, 8  # heights: an arrow, between boxes without one, top and foot of a frame
RELU_BAR = 3.5  # height
PIXELS_PER_INCH, POINTS_PER_PIXEL = 100, 0.72


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
        """The name of the module that holds the layer: "n1" for "n1.0", "" for a layer of the network itself."""
        return self.layer.name.rpartition(".")[0]


@context(["default", STYLE])
def structure(networks: Sequence[tuple[str, Sequence[Layer]]]) -> Figure:
    """Draw networks side by side, each from the image at the top down to the logits.

    After figure 8.3.1 of Dive into Deep Learning (https://d2l.ai/chapter_convolutional-modern/nin.html). An arrow
    before a layer that changes the shape, or before a frame, gives the shape of what enters; other layers follow
    closely, without an arrow. A frame surrounds the layers of one module.

    Args:
        networks: the title of each network, and its layers as `nin.networks.summary.layers` returns them.

    """
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width = len(networks) * (COLUMN + GAP) - GAP
    top = _draw_legend(axes, width)
    lefts = [index * (COLUMN + GAP) for index in range(len(networks))]
    bottom = max(
        _draw_network(axes, left, top, title, layers) for left, (title, layers) in zip(lefts, networks, strict=True)
    )
    axes.set(xlim=(0, width), ylim=(bottom, 0))
    figure.set_size_inches(width / PIXELS_PER_INCH, bottom / PIXELS_PER_INCH)
    return figure


# --- What the text says ---


def _describe(layer: Layer) -> tuple[BoxStyle, str]:
    """Return how a layer is drawn, and its description as in the textbook: "3×3 conv (384), stride 2, pad 1"."""
    kernel = f"{layer.kernel}×{layer.kernel}"
    steps = f", stride {layer.stride}" if layer.stride > 1 else ""
    steps += f", pad {layer.padding}" if layer.padding else ""
    match layer.kind:
        case "Conv2d":
            return (ONE_BY_ONE if layer.kernel == 1 else CONVOLUTION), f"{kernel} conv ({layer.output_shape[0]}){steps}"
        case "Linear":
            return DENSE, f"dense ({layer.output_shape[0]})"
        case "MaxPool2d" | "AvgPool2d":
            return POOL, f"{kernel} {'max' if layer.kind == 'MaxPool2d' else 'average'} pool{steps}"
        case "AdaptiveMaxPool2d" | "AdaptiveAvgPool2d":
            return POOL, f"global {'max' if layer.kind == 'AdaptiveMaxPool2d' else 'average'} pool"
        case "Dropout2d":
            return OTHER, "dropout of whole channels"
        case kind:
            return OTHER, kind.lower()


def _frame_caption(block: str, layers: Sequence[Layer]) -> str:
    """Return the name of a block, and that it is an mlpconv block if only 1x1 convolutions follow its first one."""
    kernels = [layer.kernel for layer in layers if layer.kind == "Conv2d" and layer.name.startswith(f"{block}.")]
    return f"{block}: mlpconv block" if len(kernels) > 1 and set(kernels[1:]) == {1} else block


def _dense_parameters(layers: Sequence[Layer]) -> int:
    return sum(layer.parameters for layer in layers if layer.kind == "Linear")


def _abbreviate(count: int) -> str:
    """Return a number with a unit: 640, 11.7 k, 615 k, 26.2 M."""
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f}{unit}"
    return str(count)


def _boxes(layers: Sequence[Layer]) -> list[Box]:
    """Return the boxes to draw: one for each layer, but none for a ReLU, which becomes part of the box before it."""
    boxes: list[Box] = []
    for layer in layers:
        if layer.kind == "ReLU" and boxes:
            boxes[-1] = replace(boxes[-1], relu=True)
        else:
            boxes.append(Box(layer))
    return boxes


# --- How it is drawn: every y counts pixels down from the top; a function with a height of its own returns its end ---


def _draw_legend(axes: Axes, width: Pixels) -> Pixels:
    x = 0.0
    for box_style, relu, meaning in (
        (CONVOLUTION, False, "convolution"),
        (ONE_BY_ONE, False, "1×1 convolution: a dense layer at every pixel"),
        (DENSE, False, "dense layer"),
        (POOL, False, "pool"),
        (OTHER, True, "bottom bar: ReLU"),
    ):
        _draw_rectangle(axes, x, 4, 22, 15, box_style, relu)
        _write(axes, x + 28, 11, meaning, 11)
        x += 50 + TextPath((0, 0), meaning, size=11).get_extents().width
    _write(axes, width, 11, "on the right: parameters", 11, ha="right")
    return 40


def _draw_network(axes: Axes, left: Pixels, top: Pixels, title: str, layers: Sequence[Layer]) -> Pixels:
    """Draw one network from its title down to its logits."""
    y = previous_end = _draw_title(axes, left, top, title, layers)  # y is where the next thing starts
    middle, shape, shape_text = left + COLUMN / 2, (), "image"
    for block, boxes in groupby(_boxes(layers), key=lambda box: box.block):
        frame_top = None
        for box in boxes:
            opens_frame, changes_shape = block != "" and frame_top is None, box.layer.output_shape != shape
            text_y = y + ARROW / 2
            y += ARROW if opens_frame or changes_shape else TIGHT
            if opens_frame:
                frame_top = y
                y += CAPTION
            if opens_frame or changes_shape:
                _draw_arrow(axes, middle, previous_end, y, text_y, shape_text)
            if box.layer.kind.startswith("Adaptive") and not _dense_parameters(layers):
                _write(axes, middle - 9, text_y, "class maps", 11, ha="right")
            y = previous_end = _draw_box(axes, left, y, box)
            shape = box.layer.output_shape
            shape_text = " × ".join(map(str, shape))
        if frame_top is not None:
            y += PADDING
            _draw_frame(axes, left, frame_top, y, _frame_caption(block, layers))
    _draw_arrow(axes, middle, previous_end, y + ARROW, y + ARROW / 2, f"{shape_text} logits")
    return y + ARROW


def _draw_title(axes: Axes, left: Pixels, top: Pixels, title: str, layers: Sequence[Layer]) -> Pixels:
    """Draw the title of a network, the number of its parameters, and the share of them in dense layers."""
    total, dense = sum(layer.parameters for layer in layers), _dense_parameters(layers)
    share = f"{100 * dense / total:.0f} % of them in dense layers" if dense else "none of them in a dense layer"
    middle = left + COLUMN / 2
    _write(axes, middle, top + 10, title, 16, ha="center", weight="bold")
    _write(axes, middle, top + 32, f"{total:,} parameters", 13, ha="center")
    _write(axes, middle, top + 50, share, 12, ha="center")
    return top + 61


def _draw_box(axes: Axes, left: Pixels, top: Pixels, box: Box) -> Pixels:
    """Draw a layer: what it is on the left, how many parameters it has on the right."""
    box_style, description = _describe(box.layer)
    left, width = left + INSET, COLUMN - 2 * INSET
    _draw_rectangle(axes, left, top, width, box_style.height, box_style, box.relu)
    y = top + (box_style.height - (RELU_BAR if box.relu else 0)) / 2
    _write(axes, left + 7, y, description, 11 if box_style is OTHER else 12)
    if box.layer.parameters:
        _write(axes, left + width - 7, y, _abbreviate(box.layer.parameters), 11, ha="right")
    return top + box_style.height


def _draw_frame(axes: Axes, left: Pixels, top: Pixels, bottom: Pixels, caption: str) -> None:
    frame = FancyBboxPatch(
        (left, top), COLUMN, bottom - top, "round,pad=0,rounding_size=6",
        facecolor="#f7f7f5", edgecolor="#b4b4b0", linewidth=0.8, zorder=0, clip_on=False,
    )  # fmt: skip
    axes.add_patch(frame)
    _write(axes, left + INSET, top + CAPTION / 2, caption, 11, color=GREY)


def _draw_arrow(axes: Axes, x: Pixels, top: Pixels, bottom: Pixels, text_y: Pixels, text: str) -> None:
    arrow = {"arrowstyle": "-|>,head_length=0.35,head_width=0.18", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x, bottom), (x, top), arrowprops=arrow, annotation_clip=False)
    _write(axes, x + 9, text_y, text, 11)


def _draw_rectangle(
    axes: Axes, left: Pixels, top: Pixels, width: Pixels, height: Pixels, box_style: BoxStyle, relu: bool
) -> None:
    """Draw the rectangle of a layer, with a bar along its lower edge if a ReLU follows it."""
    options = {"facecolor": box_style.face, "edgecolor": box_style.edge, "linewidth": box_style.line, "clip_on": False}
    axes.add_patch(Rectangle((left, top), width, height, **options))
    if relu:
        bar_top = top + height - RELU_BAR
        bar = Rectangle((left, bar_top), width, RELU_BAR, facecolor=box_style.edge, linewidth=0, clip_on=False)
        axes.add_patch(bar)


def _write(axes: Axes, x: Pixels, y: Pixels, text: str, pixels: Pixels, **options: Any) -> None:
    """Write text `pixels` high, centred on `y`; it starts at `x` unless `ha` says otherwise."""
    axes.text(x, y, text, fontsize=pixels * POINTS_PER_PIXEL, va="center_baseline", **options)
