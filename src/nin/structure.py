"""How do the networks compare, block by block? A figure drawn from nothing but the layers of the real modules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.textpath import TextPath

from nin.summary import Layer

Pixels = int | float  # of a page on which three columns take 900

COLUMN, GAP, INSET = 290, 15, 8
ARROW, TIGHT, CAPTION, PADDING = 23, 4, 17, 8
FOOT = 3.5
PIXELS_AN_INCH, POINTS_A_PIXEL = 100, 0.72
INK, GREY = "#1f1f1f", "#555555"

STYLE: dict[Any, Any] = {"text.parse_math": False, "text.color": INK}


@dataclass(frozen=True)
class Look:
    """How a kind of layer is drawn."""

    face: str
    edge: str
    height: Pixels
    line: float = 0.8


CONVOLUTION = Look("#dce8f4", "#48688a", 24)
ONE_BY_ONE = Look("#ffc247", "#8a5a00", 24, 1.6)
DENSE = Look("#f3c6cf", "#a02040", 24)
POOL = Look("#e4e4e4", "#707070", 20)
OTHER = Look("#ffffff", "#a0a0a0", 17)


@dataclass(frozen=True)
class Box:
    """A layer to draw, with the ReLU behind it if there is one."""

    layer: Layer
    relu: bool = False

    @property
    def block(self) -> str:
        """The module that holds the layer: "n1" for "n1.0", and "" for one that the network holds itself."""
        return self.layer.name.rpartition(".")[0]


@style.context(["default", STYLE])
def structure(networks: Sequence[tuple[str, Sequence[Layer]]]) -> Figure:
    """Draw the networks side by side, each from its picture down to its scores.

    In the manner of Dive into Deep Learning, figure 8.3.1 (https://d2l.ai/chapter_convolutional-modern/nin.html).
    Layers that keep the shape stand close; where it changes, an arrow says what it is. A frame is a module that holds
    its layers.

    Args:
        networks: a name for each network and its layers, as `nin.summary.layers` gives them.

    """
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width = len(networks) * (COLUMN + GAP) - GAP
    top = _legend(axes, width)
    bottom = max(_column(axes, i * (COLUMN + GAP), top, name, layers) for i, (name, layers) in enumerate(networks))
    axes.set(xlim=(0, width), ylim=(bottom, 0))
    figure.set_size_inches(width / PIXELS_AN_INCH, bottom / PIXELS_AN_INCH)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# What is said


def _describe(layer: Layer) -> tuple[Look, str]:
    """Say in a line what a layer is, in the textbook's way: kernel, what it is, (channels), stride, padding."""
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


def _caption(block: str, layers: Sequence[Layer]) -> str:
    kernels = [layer.kernel for layer in layers if layer.kind == "Conv2d" and layer.name.startswith(f"{block}.")]
    return f"{block}: mlpconv block" if len(kernels) > 1 and set(kernels[1:]) == {1} else block


def _dense_parameters(layers: Sequence[Layer]) -> int:
    return sum(layer.parameters for layer in layers if layer.kind == "Linear")


def _short(count: int) -> str:
    """Write a count with a unit: 640, 11.7 k, 615 k, 26.2 M."""
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f}{unit}"
    return str(count)


# ---------------------------------------------------------------------------------------------------------------------
# What is drawn: each function takes where its piece starts, and gives where it ends if that is its own affair


def _legend(axes: Axes, width: Pixels) -> Pixels:
    x = 0.0
    for look, relu, meaning in (
        (CONVOLUTION, False, "convolution"),
        (ONE_BY_ONE, False, "1×1 convolution: a dense layer at every pixel"),
        (DENSE, False, "dense layer"),
        (POOL, False, "pool"),
        (OTHER, True, "thick foot: ReLU"),
    ):
        _plate(axes, x, 4, 22, 15, look, relu)
        _text(axes, x + 28, 11, meaning, 11)
        x += 50 + TextPath((0, 0), meaning, size=11).get_extents().width
    _text(axes, width, 11, "at the right: parameters", 11, ha="right")
    return 40


def _column(axes: Axes, left: Pixels, top: Pixels, name: str, layers: Sequence[Layer]) -> Pixels:
    """Draw a network from its headline down to its scores."""
    y = tail = _headline(axes, left, top, name, layers)  # where the next thing starts; where the last box ended
    middle, shape, says = left + COLUMN / 2, (), "picture"
    for block, boxes in groupby(_boxes(layers), key=lambda box: box.block):
        frame_top = None
        for box in boxes:
            enters, changes = block != "" and frame_top is None, box.layer.output_shape != shape
            text_y = y + ARROW / 2
            y += ARROW if enters or changes else TIGHT
            if enters:
                frame_top = y
                y += CAPTION
            if enters or changes:
                _arrow(axes, middle, tail, y, text_y, says)
            if box.layer.kind.startswith("Adaptive") and not _dense_parameters(layers):
                _text(axes, middle - 9, text_y, "class maps", 11, ha="right")
            y = tail = _box(axes, left, y, box)
            shape = box.layer.output_shape
            says = " × ".join(map(str, shape))
        if frame_top is not None:
            y += PADDING
            _frame(axes, left, frame_top, y, _caption(block, layers))
    _arrow(axes, middle, tail, y + ARROW, y + ARROW / 2, f"{says} scores")
    return y + ARROW


def _boxes(layers: Sequence[Layer]) -> list[Box]:
    found: list[Box] = []
    for layer in layers:
        if layer.kind == "ReLU" and found:
            found[-1] = replace(found[-1], relu=True)
        else:
            found.append(Box(layer))
    return found


def _headline(axes: Axes, left: Pixels, top: Pixels, name: str, layers: Sequence[Layer]) -> Pixels:
    total, dense = sum(layer.parameters for layer in layers), _dense_parameters(layers)
    share = f"{100 * dense / total:.0f} % of them in dense layers" if dense else "none of them in a dense layer"
    middle = left + COLUMN / 2
    _text(axes, middle, top + 10, name, 16, ha="center", weight="bold")
    _text(axes, middle, top + 32, f"{total:,} parameters", 13, ha="center")
    _text(axes, middle, top + 50, share, 12, ha="center")
    return top + 61


def _box(axes: Axes, left: Pixels, top: Pixels, box: Box) -> Pixels:
    look, text = _describe(box.layer)
    left, width = left + INSET, COLUMN - 2 * INSET
    _plate(axes, left, top, width, look.height, look, box.relu)
    y = top + (look.height - (FOOT if box.relu else 0)) / 2
    _text(axes, left + 7, y, text, 11 if look is OTHER else 12)
    if box.layer.parameters:
        _text(axes, left + width - 7, y, _short(box.layer.parameters), 11, ha="right")
    return top + look.height


def _frame(axes: Axes, left: Pixels, top: Pixels, bottom: Pixels, caption: str) -> None:
    shape = FancyBboxPatch(
        (left, top), COLUMN, bottom - top, "round,pad=0,rounding_size=6",
        facecolor="#f7f7f5", edgecolor="#b4b4b0", linewidth=0.8, zorder=0, clip_on=False,
    )  # fmt: skip
    axes.add_patch(shape)
    _text(axes, left + INSET, top + CAPTION / 2, caption, 11, color=GREY)


def _arrow(axes: Axes, x: Pixels, top: Pixels, bottom: Pixels, text_y: Pixels, text: str) -> None:
    line = {"arrowstyle": "-|>,head_length=0.35,head_width=0.18", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x, bottom), (x, top), arrowprops=line, annotation_clip=False)
    _text(axes, x + 9, text_y, text, 11)


def _plate(axes: Axes, left: Pixels, top: Pixels, width: Pixels, height: Pixels, look: Look, relu: bool) -> None:
    style = {"facecolor": look.face, "edgecolor": look.edge, "linewidth": look.line, "clip_on": False}
    axes.add_patch(Rectangle((left, top), width, height, **style))
    if relu:
        foot = Rectangle((left, top + height - FOOT), width, FOOT, facecolor=look.edge, linewidth=0, clip_on=False)
        axes.add_patch(foot)


def _text(axes: Axes, x: Pixels, y: Pixels, text: str, pixels: Pixels, **style: Any) -> None:
    axes.text(x, y, text, fontsize=pixels * POINTS_A_PIXEL, va="center_baseline", **style)
