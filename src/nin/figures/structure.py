"""How do the networks differ, block by block? Networks side by side, drawn from the layers of the real modules."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.style import context
from matplotlib.textpath import TextPath

from nin.figures.structure_boxes import (
    CONVOLUTION,
    DENSE,
    ONE_BY_ONE,
    OTHER,
    POOL,
    Box,
    BoxStyle,
    Pixels,
    abbreviate,
    boxes_of,
    dense_parameters,
    describe,
    describe_briefly,
    frame_caption,
)
from nin.figures.style import GREY, STYLE
from nin.networks.summary import Layer

COLUMN, GAP, INSET = 290, 15, 8  # widths: a network, between two networks, from a frame to the boxes in it
ARROW, TIGHT, CAPTION, PADDING = 23, 4, 17, 8  # heights: an arrow, between boxes without one, top and foot of a frame
RELU_BAR, BRANCH_BOX = 3.5, 20  # heights
PIXELS_PER_INCH, POINTS_PER_PIXEL = 100, 0.72
TITLE = 61  # height, with what stands below it


@context(["default", STYLE])
def structure(networks: Sequence[tuple[str, int, Sequence[Layer]]]) -> Figure:
    """Draw networks side by side, each from the image at the top down to the logits.

    After figure 8.3.1 of Dive into Deep Learning (https://d2l.ai/chapter_convolutional-modern/nin.html). An arrow
    before a layer that changes the shape, or before a frame, gives the shape of what enters; other layers follow
    closely, without an arrow. A frame surrounds the layers of one module.

    Args:
        networks: of each its title, its parameters, and its layers as `nin.networks.summary.layers` returns them.

    """
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width = len(networks) * (COLUMN + GAP) - GAP
    top = _draw_legend(axes, width)
    lefts = [index * (COLUMN + GAP) for index in range(len(networks))]
    bottom = max(_draw_network(axes, left, top, *network) for left, network in zip(lefts, networks, strict=True))
    axes.set(xlim=(0, width), ylim=(bottom, 0))
    figure.set_size_inches(width / PIXELS_PER_INCH, bottom / PIXELS_PER_INCH)
    return figure


# --- How it is drawn: every y counts pixels down from the top; a function with a height of its own returns its end ---


def _draw_legend(axes: Axes, width: Pixels) -> Pixels:
    x, y = 0.0, 4.0
    for box_style, relu, meaning in (
        (CONVOLUTION, False, "convolution"),
        (ONE_BY_ONE, False, "1×1 convolution: a dense layer at every pixel"),
        (DENSE, False, "dense layer"),
        (POOL, False, "pool"),
        (OTHER, True, "bottom bar: ReLU"),
    ):
        needed = 50 + TextPath((0, 0), meaning, size=11).get_extents().width
        if x and x + needed > width:
            x, y = 0.0, y + 20
        _draw_rectangle(axes, x, y, 22, 15, box_style, relu)
        _write(axes, x + 28, y + 7, meaning, 11)
        x += needed
    parameters = "on the right: parameters"
    if x + TextPath((0, 0), parameters, size=11).get_extents().width > width:
        y += 20
    _write(axes, width, y + 7, parameters, 11, ha="right")
    return y + 36


def _draw_network(
    axes: Axes, left: Pixels, top: Pixels, title: str, parameters: int, layers: Sequence[Layer]
) -> Pixels:
    """Draw one network from its title down to its logits."""
    # y is where the next thing starts
    y = previous_end = _draw_title(axes, left, top, title, parameters, dense_parameters(layers))
    middle, boxes = left + COLUMN / 2, boxes_of(layers)
    entering = {id(box): " × ".join(map(str, box.layer.input_shape)) for box in boxes} | {id(boxes[0]): "image"}
    needs_arrow = True
    for block, group in groupby(boxes, key=lambda box: box.block):
        frame_top, within = None, list(group)
        branched = len({box.layer.branch for box in within} - {None}) > 1
        if branched:
            _draw_arrow(axes, middle, previous_end, y + ARROW, y + ARROW / 2, entering[id(within[0])])
            frame_top, needs_arrow = y + ARROW, False
            y = previous_end = _draw_branches(axes, left, frame_top + CAPTION, within)
            within = [box for box in within if box.layer.branch is None]
        for box in within:
            opens_frame = block != "" and frame_top is None
            takes_maps = box.layer.kind.startswith("Adaptive") and not dense_parameters(layers)
            changes_shape = box.layer.output_shape != box.layer.input_shape
            has_arrow = needs_arrow or opens_frame or changes_shape or takes_maps
            text_y = y + ARROW / 2
            y += ARROW if has_arrow else TIGHT
            if opens_frame:
                frame_top = y
                y += CAPTION
            if has_arrow:
                _draw_arrow(axes, middle, previous_end, y, text_y, entering[id(box)])
            if takes_maps:
                _write(axes, middle - 9, text_y, "class maps", 11, ha="right")
            y = previous_end = _draw_box(axes, left, y, box)
            needs_arrow = False
        if frame_top is not None:
            y += PADDING
            _draw_frame(axes, left, frame_top, y, frame_caption(block, layers))
        if branched:
            previous_end, needs_arrow = y, True
    shape = " × ".join(map(str, boxes[-1].layer.output_shape))
    _draw_arrow(axes, middle, previous_end, y + ARROW, y + ARROW / 2, f"{shape} logits")
    return y + ARROW


def _draw_branches(axes: Axes, left: Pixels, top: Pixels, boxes: Sequence[Box]) -> Pixels:
    """Draw the branches of a block side by side, without parameters, for which there is no room."""
    branches: dict[int, list[Box]] = {}
    for box in boxes:
        if box.layer.branch is not None:
            branches.setdefault(box.layer.branch, []).append(box)
    width = (COLUMN - 2 * INSET + TIGHT) / len(branches) - TIGHT
    for column, branch in enumerate(branches.values()):
        x, y = left + INSET + column * (width + TIGHT), top
        for box in branch:
            box_style, description = describe_briefly(box.layer)
            _draw_rectangle(axes, x, y, width, BRANCH_BOX, box_style, box.relu)
            _write(
                axes, x + width / 2, y + (BRANCH_BOX - (RELU_BAR if box.relu else 0)) / 2, description, 11, ha="center"
            )
            y += BRANCH_BOX + TIGHT
    return top + (BRANCH_BOX + TIGHT) * max(map(len, branches.values())) - TIGHT


def _draw_title(axes: Axes, left: Pixels, top: Pixels, title: str, total: int, dense: int) -> Pixels:
    """Draw the title of a network, the number of its parameters, and the share of them in dense layers."""
    share = f"{100 * dense / total:.0f} %" if dense > total / 100 else "under 1 %"
    share = f"{share} of them in dense layers" if dense else "none of them in a dense layer"
    middle = left + COLUMN / 2
    _write(axes, middle, top + 10, title, 16, ha="center", weight="bold")
    _write(axes, middle, top + 32, f"{total:,} parameters", 13, ha="center")
    _write(axes, middle, top + 50, share, 12, ha="center")
    return top + TITLE


def _draw_box(axes: Axes, left: Pixels, top: Pixels, box: Box) -> Pixels:
    """Draw a layer: what it is on the left, how many parameters it has on the right."""
    box_style, description = describe(box.layer)
    left, width = left + INSET, COLUMN - 2 * INSET
    _draw_rectangle(axes, left, top, width, box_style.height, box_style, box.relu)
    y = top + (box_style.height - (RELU_BAR if box.relu else 0)) / 2
    _write(axes, left + 7, y, description, 11 if box_style is OTHER else 12)
    if box.layer.parameters:
        _write(axes, left + width - 7, y, abbreviate(box.layer.parameters), 11, ha="right")
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
