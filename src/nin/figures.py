"""What does a run look like? Results in, matplotlib figures out; nothing is read, computed by a network or written."""

import io
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from nin.evaluation import Calibration, class_recall, wilson_interval

WIDTH = 9  # inches; a page shows it about 900 pixels wide, so a point is 1.4 pixels
DPI = 130
SAMPLES = 14  # pictures a class
PREDICTIONS = 6  # pictures a row
PICTURE, ROW, HEADLINE = 1.2, 1.9, 0.55  # heights in inches: a picture, with its words, and above the first
CLASS_MAP, WORDS, BAR, FOOT = 1.75, 0.95, 0.7, 0.35  # inches: a class map, its words, the colour bar, the last line
COLOURS = "viridis"  # of class maps: grows lighter evenly, for colour-blind readers too
OPACITY, DARKEST = 0.7, 0.35  # of class maps; of the pale picture under them, whose black must not look like a zero
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
    labelled = [_line(name, 2, 10) for name in names]
    axes.set_yticks([(row + 0.5) * height - 0.5 for row in range(len(names))], labelled, fontsize=10)
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
    *,
    maps: Float[Tensor, "images map_height map_width"] | None = None,
    size: int | None = None,
    headline: str | None = None,
) -> Figure:
    """Show every picture given, its true and its predicted class.

    Args:
        images: the pictures.
        labels: the true classes.
        predicted: the classes that the network took them for.
        confidence: the probability of the latter, 0..1.
        names: of the classes.
        maps: the class map of each predicted class, each drawn on its own scale; those of a single cell say nothing
            and are left out.
        size: the side of the network's input in pixels; needed where there are maps.
        headline: what stands above; how many are right unless given.

    """
    if maps is not None and maps.shape[1:] == (1, 1):
        maps = None
    row_height = ROW if maps is None else ROW + 1.05 * PICTURE
    height = HEADLINE + row_height * math.ceil(len(images) / PREDICTIONS)
    figure = Figure(figsize=(WIDTH, height))
    right = labels == predicted
    headline = f"{int(right.sum())} of these {len(images)} are right" if headline is None else headline
    figure.text(0.5, 1, _line(headline, WIDTH, 11), fontsize=11, ha="center", va="top")
    for index, (image, label, guess, share) in enumerate(zip(images, labels, predicted, confidence, strict=True)):
        row, column = divmod(index, PREDICTIONS)
        left = (column + 0.5) * WIDTH / PREDICTIONS - PICTURE / 2
        top = HEADLINE + row * row_height
        axes = last = _panel(figure, left, top, PICTURE, PICTURE)
        axes.imshow(_pixels(image), aspect="auto")
        if right[index]:
            mark, colour, weight, frame = "✓ right", GREEN, "normal", 1
        else:
            mark, colour, weight, frame = "✗ wrong", RED, "bold", 3
        axes.spines[:].set(visible=True, color=colour, linewidth=frame)
        axes.set_title(f"{mark}, {100 * float(share):.0f} % sure", color=colour, weight=weight, fontsize=8.5)
        if maps is not None:
            assert size is not None, "where the cells lie follows from the size of the network's input"
            last = _panel(figure, left, top + 1.05 * PICTURE, PICTURE, PICTURE)
            _draw_map(last, maps[index], image, size, _ceiling(maps[index]))
        room = WIDTH / PREDICTIONS - 0.02
        words = _line(names[int(label)], room, 8.25, "true: {}"), _line(names[int(guess)], room, 8.25, "predicted: {}")
        last.set_xlabel("\n".join(words), fontsize=8.25)
    return figure


def _panel(figure: Figure, left: int | float, top: float, width: float, height: float) -> Axes:
    """Add axes without ticks; all in inches, `top` from the figure's upper edge down."""
    whole_width, whole_height = figure.get_size_inches()
    place = (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(place, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _pixels(image: UInt8[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width 3"]:
    channels, height, width = image.shape
    return image.expand(3 if channels == 1 else channels, height, width).permute(1, 2, 0).numpy()


# ---------------------------------------------------------------------------------------------------------------------
# Class maps


@style.context(["default", STYLE])
def explanation(
    images: UInt8[Tensor, "images channels height width"],
    maps: Float[Tensor, "images classes map_height map_width"],
    names: Sequence[str],
    probabilities: Float[Tensor, "images classes"],
    titles: Sequence[str],
    size: int,
    top: int = 3,
) -> Figure:
    """Show pictures, a row each, beside the class maps of their `top` most probable classes.

    Args:
        images: as they were before they were resized for the network.
        maps: not below 0; the highest cell of a map is the class's score. The maps of a picture share one colour scale.
        names: of the classes.
        probabilities: 0..1.
        titles: what to call each picture, such as the name of its file.
        size: the side of the network's input in pixels.
        top: how many classes.

    """
    top = min(top, len(names))
    step = min(CLASS_MAP + 0.35, (WIDTH - BAR) / (1 + top))
    side = min(CLASS_MAP, step - 0.2)
    figure = Figure(figsize=(WIDTH, len(images) * (WORDS + side) + FOOT))
    height = figure.get_figheight()
    for row, (image, image_maps, shares, title) in enumerate(zip(images, maps, probabilities, titles, strict=True)):
        down = row * (WORDS + side)
        figure.text(0, 1 - down / height, _line(title, WIDTH, 10, weight="bold"), fontsize=10, weight="bold", va="top")
        down += 0.45
        _panel(figure, 0, down, side, side).imshow(_pixels(image), aspect="auto")
        ceiling = _ceiling(image_maps)
        likeliest = shares.argsort(descending=True, stable=True)[:top]
        for column, index in enumerate(map(int, likeliest), start=1):
            axes = _panel(figure, column * step, down, side, side)
            _draw_map(axes, image_maps[index], image, size, ceiling)
            share = f"{100 * float(shares[index]):.0f} %"
            axes.set_title(_line(names[index], step - 0.05, 9.5, f"{{}} {share}"), fontsize=9.5)
            axes.set_xlabel(f"score {float(image_maps[index].max()):.1f}", fontsize=8.5)
        _draw_scale(_panel(figure, top * step + side + 0.15, down, 0.12, side), ceiling)
    figure.text(0, 0, _about_cells(size, *maps.shape[2:]), fontsize=8.5, color=GREY, va="bottom")
    return figure


def _about_cells(size: int, rows: int, columns: int) -> str:
    if rows == columns == 1:
        return "One cell covers the whole picture: a map says how much speaks for a class, and not where."
    return (
        f"Framed: the highest of {rows}×{columns} cells, which alone makes the score. "
        "The maps of a picture share one scale.\n"
        "A cell is drawn 32 pixels wide and sees 97 on each side of its middle; "
        f"the network's input is {size}×{size}."
    )


def cell_edges(size: int, cells: int) -> Float64[np.ndarray, "{cells}+1"]:
    """Give where the cells of a class map of NiN lie along a side of the picture, as shares of it from 0 to 1.

    The strides of the first convolution and the three pools, 4, 2, 2 and 2, put the cells 32 pixels of the network's
    input apart, and the first is centred on pixel number 33 (counted from 0): it is drawn from 17.5 to 49.5. A
    cell sees far more, 195 pixels. A single cell tells no place from another, and is drawn over the whole picture.
    """
    if cells == 1:
        return np.array([0.0, 1.0])
    edges = (17.5 + 32 * np.arange(cells + 1)) / size
    assert edges[-1] < 1, f"NiN makes no {cells} cells of {size} pixels"
    return edges


def _draw_map(
    axes: Axes,
    class_map: Float[Tensor, "map_height map_width"],
    image: UInt8[Tensor, "channels height width"],
    size: int,
    ceiling: float,
) -> None:
    """Draw every cell as it is over the pale picture, in colours from 0 to `ceiling`, and frame the maximum."""
    pale = DARKEST + (1 - DARKEST) * image.float().mean(dim=0) / 255
    axes.imshow(pale.numpy(), cmap="gray", vmin=0, vmax=1, aspect="auto")
    sides = zip(image.shape[1:], class_map.shape, strict=True)
    rows, columns = (pixels * cell_edges(size, cells) - 0.5 for pixels, cells in sides)
    axes.pcolormesh(
        columns, rows, class_map.float().numpy(), cmap=COLOURS, vmin=0, vmax=ceiling, alpha=OPACITY,
        edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    if class_map.max() > class_map.min():  # else none stands out
        row, column = divmod(int(class_map.argmax()), class_map.shape[1])
        axes.add_patch(
            Rectangle(
                (columns[column], rows[row]), np.diff(columns)[column], np.diff(rows)[row],
                fill=False, edgecolor=INK, linewidth=1.5, path_effects=[withStroke(linewidth=3.5, foreground="white")],
            )
        )  # fmt: skip


def _draw_scale(axes: Axes, ceiling: float) -> None:
    """Draw the colours that `_draw_map` uses, from 0 at the bottom to `ceiling`."""
    axes.set_facecolor(str((1 + DARKEST) / 2))  # so that they look as they do over a picture
    colours = np.linspace(0, 1, 256)[:, np.newaxis]
    axes.imshow(colours, cmap=COLOURS, alpha=OPACITY, origin="lower", extent=(0, 1, 0, ceiling), aspect="auto")
    axes.set_yticks([0, ceiling], ["0", f"{ceiling:.1f}"], fontsize=8)
    axes.yaxis.tick_right()
    axes.tick_params(length=2)


def _ceiling(maps: Float[Tensor, "..."]) -> float:
    highest = float(maps.max())
    return highest if highest > 0 else 1.0  # a dead network's maps are all 0, or NaN


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
# Mistakes and trust


@style.context(["default", STYLE])
def confusion(matrix: Int64[Tensor, "classes classes"], names: Sequence[str]) -> Figure:
    """Draw the confusion matrix: a row for each true class with its recall, a column for each predicted one.

    Only mistakes are coloured: on one scale with the diagonal they would all look alike.
    """
    counts = matrix.numpy()
    labels = [_line(name, 1.5, STYLE["font.size"]) for name in names]
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
    for row, recall in enumerate(class_recall(matrix)):
        axes.text(len(names) - 0.35, row, "–" if recall is None else f"{100 * recall:.1f} %", va="center", fontsize=9)
    slanted: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    axes.text(len(names) - 0.1, -0.6, "recall", weight="bold", **slanted)
    axes.set_xticks(range(len(names)), labels, **slanted)
    axes.set_yticks(range(len(names)), labels)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _settled(figure)


@style.context(["default", STYLE])
def reliability(calibration: Calibration) -> Figure:
    """Draw accuracy against confidence, bin by bin with the 95 % interval, over how many pictures a bin holds."""
    counts, bins = calibration.counts, len(calibration.counts)
    figure = Figure(figsize=(6.5, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    upper.text(0.02, 0.97, "not sure enough", color=GREY, va="top", fontsize=10)
    upper.text(0.98, 0.03, "too sure", color=GREY, ha="right", fontsize=10)
    for count, confidence, accuracy in zip(counts, calibration.confidence, calibration.accuracy, strict=True):
        if confidence is None or accuracy is None:
            continue
        interval = wilson_interval(round(accuracy * count), count)
        upper.plot([confidence, confidence], interval, color=BLUE, linewidth=1.5)
        upper.plot(confidence, accuracy, "o", color=BLUE, markersize=6, clip_on=False)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy, with its 95 % interval")
    upper.set_title(f"expected calibration error {calibration.error:.3f}", fontsize=11)
    middles = (np.arange(bins) + 0.5) / bins
    lower.bar(middles, counts, 0.9 / bins, color=BLUE, log=True)
    for middle, count in zip(middles, counts, strict=True):
        if count:
            lower.text(middle, 1.15 * count, str(count), ha="center", fontsize=7.5)
    lower.set(ylim=(0.5, 10 * max(counts)), xlabel="confidence", ylabel="pictures (log)")
    lower.tick_params(axis="y", which="both", left=False, labelleft=False)  # the counts are written
    return _settled(figure)


# ---------------------------------------------------------------------------------------------------------------------
# Words


def _line(text: str, width: int | float, size: int | float, pattern: str = "{}", weight: str = "normal") -> str:
    """Put `text` into `pattern`, one line of at most `width` inches in letters of `size` points.

    What is too long loses its middle. White space of any kind becomes a space, and "�" what else cannot be printed, or
    is not in the font.
    """
    font = FontProperties(weight=weight, size=size)
    known = get_font(findfont(font)).get_charmap()
    text = " ".join(text.split())
    text = "".join(letter if letter.isprintable() and ord(letter) in known else "�" for letter in text)

    def cut(letters: int) -> str:
        ends = text[: (letters + 1) // 2], text[len(text) - letters // 2 :]
        return pattern.format(text if letters == len(text) else "…".join(ends))

    def inches(letters: int) -> float:
        points = text_to_path.get_text_width_height_descent(cut(letters), font, ismath=False)[0]
        return 1.03 * points / 72  # drawn letters keep to whole pixels

    if inches(len(text)) <= width:
        return cut(len(text))
    return cut(max(0, bisect_right(range(len(text)), width, key=inches) - 1))


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
