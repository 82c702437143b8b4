"""What does a run look like? Results in, matplotlib figures out; nothing is read, computed by a network or written."""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int64, UInt8
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

WIDTH = 9  # inches; a page shows it about 900 pixels wide, so a point is 1.4 pixels
DPI = 130
SAMPLES = 14  # pictures a class
PREDICTIONS = 6  # pictures a row
PICTURE, ROW, HEADLINE = 1.2, 1.9, 0.55  # heights in inches: a picture, with its words, and above the first
SMALLEST_SPAN = 0.1  # of a panel, in nats or accuracy: a loss that stands still should look so
INK, GREY, LIGHT = "#222222", "#5f5f5f", "#bbbbbb"
GREEN, RED, BLUE = "#1a6e3c", "#b3261e", "#0b5c9e"

# Class names are not mathematics: a "$" in one stays a dollar.
STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "text.color": INK,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}

# ---------------------------------------------------------------------------------------------------------------------
# Pictures


@style.context(["default", STYLE])
def sample(
    images: UInt8[Tensor, "images channels height width"], labels: Int64[Tensor, "images"], names: Sequence[str]
) -> Figure:
    """Show the first pictures of each class, a class a row; a class without pictures keeps its row, blank."""
    height, width = (side + 2 for side in images.shape[2:])  # a gap of two pixels
    mosaic = np.full((len(names) * height, SAMPLES * width, 3), 255, dtype=np.uint8)
    for row in range(len(names)):
        for column, index in enumerate((labels == row).nonzero().flatten()[:SAMPLES].tolist()):
            top, left = row * height + 1, column * width + 1
            mosaic[top : top + height - 2, left : left + width - 2] = _pixels(images[index])

    figure = Figure(figsize=(WIDTH, 0.9 * WIDTH * mosaic.shape[0] / mosaic.shape[1]), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(mosaic)
    axes.set_yticks([(row + 0.5) * height - 0.5 for row in range(len(names))], names, fontsize=10)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _settled(figure)


@style.context(["default", STYLE])
def prediction(
    images: UInt8[Tensor, "images channels height width"],
    labels: Int64[Tensor, "images"],
    predicted: Int64[Tensor, "images"],
    confidence: Float[Tensor, "images"],
    names: Sequence[str],
) -> Figure:
    """Show every picture given, its true and its predicted class; `confidence` is the latter's probability, 0..1."""
    height = HEADLINE + ROW * math.ceil(len(images) / PREDICTIONS)
    figure = Figure(figsize=(WIDTH, height))
    right = labels == predicted
    figure.text(0.5, 1, f"{int(right.sum())} of these {len(images)} are right", fontsize=11, ha="center", va="top")
    for index, (image, label, guess, share) in enumerate(zip(images, labels, predicted, confidence, strict=True)):
        row, column = divmod(index, PREDICTIONS)
        left = (column + 0.5) * WIDTH / PREDICTIONS - PICTURE / 2
        bottom = height - HEADLINE - row * ROW - PICTURE
        axes = figure.add_axes((left / WIDTH, bottom / height, PICTURE / WIDTH, PICTURE / height), xticks=[], yticks=[])
        axes.imshow(_pixels(image), aspect="auto")
        if right[index]:
            mark, colour, weight, frame = "✓ right", GREEN, "normal", 1
        else:
            mark, colour, weight, frame = "✗ wrong", RED, "bold", 3
        axes.spines[:].set(visible=True, color=colour, linewidth=frame)
        axes.set_title(f"{mark}, {100 * float(share):.0f} % sure", color=colour, weight=weight, fontsize=8.5)
        axes.set_xlabel(f"true: {names[int(label)]}\npredicted: {names[int(guess)]}", fontsize=8.5)
    return figure


def _pixels(image: UInt8[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width 3"]:
    channels, height, width = image.shape
    return image.expand(3 if channels == 1 else channels, height, width).permute(1, 2, 0).numpy()


# ---------------------------------------------------------------------------------------------------------------------
# Curves


@style.context(["default", STYLE])
def loss(epochs: Sequence[Mapping[str, Any]], classes: int, label_smoothing: float = 0.0) -> Figure:
    """Draw loss and accuracy of both splits against the epoch.

    Args:
        epochs: the lines of `metrics.jsonl`; None stands for a number that was not finite.
        classes: how many; guessing costs ln(classes) nats, with or without smoothing.
        label_smoothing: what the recipe put into the loss, for both splits.

    """
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    _curves(left, epochs, "loss", math.log(classes), f"guessing: ln {classes} = {math.log(classes):.2f}")
    _curves(right, epochs, "accuracy", 1 / classes, f"guessing: {1 / classes:.2g}")
    left.set_ylabel(f"loss, labels smoothed by {label_smoothing:g} (nats)" if label_smoothing else "loss (nats)")
    right.set_ylabel("accuracy")
    _mark_sizes(left, epochs, "top")  # where the curves are not
    _mark_sizes(right, epochs, "bottom")
    if epochs:
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=10
        )
    return _settled(figure)


def _curves(axes: Axes, epochs: Sequence[Mapping[str, Any]], quantity: str, chance: float, chance_label: str) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if not epochs:
        axes.text(0.5, 0.5, "no epoch was finished", transform=axes.transAxes, ha="center", va="center", fontsize=11)
        axes.set(xticks=[], yticks=[])
        return
    numbers = np.array([epoch["epoch"] for epoch in epochs])
    axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    values = {
        split: np.array([epoch[f"{split}_{quantity}"] for epoch in epochs], dtype=float)  # None becomes NaN: a gap
        for split in ("train", "validation")
    }
    # The larger, open marker still shows where the other covers it.
    axes.plot(numbers, values["train"], "--o", label="train", color=RED, markerfacecolor="white", markersize=8)
    axes.plot(numbers, values["validation"], "-s", label="validation", color=BLUE, markersize=5)
    missing = ~np.isfinite(values["train"] + values["validation"])
    if missing.any():
        axes.set_title(f"{quantity} not finite in epoch {', '.join(map(str, numbers[missing]))}", fontsize=9, color=RED)
    if missing.all():
        axes.set_yticks([])
        return

    # The view follows the curves; guessing is drawn where they come near it, which is when it matters.
    low, high = axes.get_ylim()
    spare = max(0.0, SMALLEST_SPAN - (high - low)) / 2
    axes.set_ylim(low - spare, high + spare)
    axes.axhline(chance, color=GREY, linestyle=":", linewidth=1)
    axes.annotate(
        chance_label, (1, chance), (0, 7), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", fontsize=8, color=GREY, annotation_clip=True,
    )  # fmt: skip


def _mark_sizes(axes: Axes, epochs: Sequence[Mapping[str, Any]], end: str) -> None:
    stretches = [(size, next(stretch)["epoch"]) for size, stretch in groupby(epochs, key=lambda epoch: epoch["size"])]
    if len(stretches) < 2:
        return
    for size, first in stretches:
        axes.axvline(first - 0.5, color=LIGHT, linewidth=0.8, zorder=0)
        axes.annotate(
            f"{size}×{size} pixels", (first - 0.5, 1 if end == "top" else 0), (3, -3 if end == "top" else 3),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, va=end, fontsize=8, color=GREY,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


@style.context(["default", STYLE])
def confusion(matrix: Int64[Tensor, "classes classes"], names: Sequence[str]) -> Figure:
    """Draw the confusion matrix: a row for each true class with its recall, a column for each predicted one.

    Only mistakes are coloured: on one scale with the diagonal they would all look alike.
    """
    counts = matrix.numpy()
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, counts)
    worst = max(1, int(mistakes.max()))
    side = 0.6 * len(names)
    figure = Figure(figsize=(side + 2.4, side + 1.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=1.6 * worst)  # the dark end is left out: black is read on all
    for row, column in np.ndindex(*counts.shape):
        own = row == column
        if own:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#d3e2f1"))
        count = int(counts[row, column])
        weight, colour = ("bold" if own else "normal"), (INK if count else GREY)
        axes.text(column, row, str(count), ha="center", va="center", weight=weight, color=colour)
    for row, total in enumerate(counts.sum(axis=1)):
        recall = f"{100 * counts[row, row] / total:.1f} %" if total else "–"
        axes.text(len(names) - 0.35, row, recall, va="center", fontsize=9)
    slanted: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    axes.text(len(names) - 0.1, -0.6, "recall", weight="bold", **slanted)
    axes.set_xticks(range(len(names)), names, **slanted)
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _settled(figure)


# ---------------------------------------------------------------------------------------------------------------------
# Files


def _settled(figure: Figure) -> Figure:
    """Lay a figure out once and for all: the engine moves things a little at every drawing, and so the bytes."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def to_png(figure: Figure) -> bytes:
    """Give the figure as a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Give the figure as an SVG file that holds its text as text; the same figure gives the same bytes."""
    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nin"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata=nothing)
    return file.getvalue()
