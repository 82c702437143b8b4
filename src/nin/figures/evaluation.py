"""Which classes are confused, and can the confidence be trusted? Confusion matrix and reliability diagram."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.style import context

from nin.figures.style import BLUE, GREY, INK, STYLE, WIDTH, fit_line, settle_layout
from nin.metrics import Calibration, wilson_interval

MOST_NUMBERS = 20  # classes whose matrix is drawn with numbers: with more they could not be read
MOST_NAMES = 40  # classes whose names stand beside a matrix without numbers
CELL = 0.6  # inches a side, with its number in it
DIAGONAL = "#d3e2f1"
SIDE = 5.1  # inches of a matrix without numbers
PIXELS = 330  # a side of that, at most: smaller ones could not be seen
MISTAKES = 15  # listed beside it
ORANGES = ListedColormap(matplotlib.colormaps["Oranges"](np.linspace(0.25, 0.95, 256)))  # without what looks like white


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: in numbers up to 20 classes; beyond, in shades beside its most frequent mistakes.

    The shades of orange are for mistakes alone: on one scale with the much larger diagonal, all mistakes would look
    the same.

    Args:
        matrix: numbers of images, true classes in rows and predicted classes in columns.
        names: the names of the classes.

    """
    counts = np.array(matrix, dtype=np.int64)
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, counts)
    return _in_numbers(counts, mistakes, names) if len(names) <= MOST_NUMBERS else _in_shades(mistakes, names)


@context(["default", STYLE])
def _in_numbers(counts: np.ndarray, mistakes: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw every number in its cell, and the recall of each class at the end of its row."""
    most = max(1, int(mistakes.max()))
    side = CELL * len(names)
    figure = Figure(figsize=(side + 2.4, side + 1.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=1.6 * most)  # not its dark end, where black text is hard to read
    for row, column in np.ndindex(*counts.shape):
        count, on_diagonal = int(counts[row, column]), row == column
        if on_diagonal:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=DIAGONAL))
        weight, colour = ("bold" if on_diagonal else "normal"), (INK if count else GREY)
        axes.text(column, row, str(count), ha="center", va="center", weight=weight, color=colour)
    for row, total in enumerate(counts.sum(axis=1).tolist()):
        recall = f"{100 * counts[row, row] / total:.1f} %" if total else "–"
        axes.text(len(names) - 0.35, row, recall, va="center", fontsize=9)
    slanted: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    axes.text(len(names) - 0.1, -0.6, "recall", weight="bold", **slanted)
    labels = [fit_line(name, 1.5, STYLE["font.size"]) for name in names]
    axes.set_xticks(range(len(names)), labels, **slanted)
    axes.set_yticks(range(len(names)), labels)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return settle_layout(figure)


@context(["default", STYLE])
def _in_shades(mistakes: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the mistakes as pixels, of one cell each or of the most frequent of several, and list the first of all."""
    classes = len(names)
    figure = Figure(figsize=(WIDTH, SIDE + 0.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(SIDE, WIDTH - SIDE))
    cells = -(-classes // PIXELS)  # a side of a pixel
    padded = np.pad(mistakes, (0, -classes % cells))
    pooled = padded.reshape(len(padded) // cells, cells, -1, cells).max(axis=(1, 3))
    end = len(padded) - 0.5
    place: dict[str, Any] = {"extent": (-0.5, end, end, -0.5), "interpolation": "nearest"}
    left.imshow(np.ma.masked_equal(np.eye(len(pooled)), 0), cmap=ListedColormap([DIAGONAL]), **place)
    most = max(2, int(mistakes.max()))
    norm, ticks = PowerNorm(0.5, vmin=1, vmax=most), np.unique(np.rint(np.linspace(1, math.sqrt(most), 5) ** 2))
    shades = left.imshow(np.ma.masked_equal(pooled, 0), cmap=ORANGES, norm=norm, **place)
    left.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
    if classes <= MOST_NAMES:
        labels = [fit_line(name, 1.1, 6) for name in names]
        left.set_xticks(range(classes), labels, rotation=90, fontsize=6)
        left.set_yticks(range(classes), labels, fontsize=6)
        left.tick_params(length=0)
    left.xaxis.tick_top()
    left.xaxis.set_label_position("top")
    numbered = "" if classes <= MOST_NAMES else ", by its number from 0"
    left.set(xlabel="predicted class" + numbered, ylabel="true class" + numbered)
    left.spines[:].set(visible=True, color=GREY)
    figure.colorbar(shades, ax=left, location="bottom", shrink=0.6, aspect=40, ticks=ticks, label="images mistaken")
    _list_mistakes(right, mistakes, names)
    return settle_layout(figure)


def _list_mistakes(axes: Axes, mistakes: np.ndarray, names: Sequence[str]) -> None:
    """Draw a bar for each of the most frequent mistakes, under its classes."""
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MISTAKES]
    found = [(*divmod(int(place), len(names)), int(mistakes.flat[place])) for place in order if mistakes.flat[place]]
    axes.set_title("most frequent mistakes: true → predicted" if found else "no mistakes", fontsize=9, loc="left")
    for row, (true, predicted, count) in enumerate(found):
        axes.barh(row, count, 0.32, color="#f28e3c")
        half = (WIDTH - SIDE - 1) / 2
        pair = f"{fit_line(names[true], half, 8)} → {fit_line(names[predicted], half, 8)}"
        axes.text(0, row - 0.42, pair, fontsize=8, va="center")
        axes.annotate(str(count), (count, row), (3, 0), textcoords="offset points", fontsize=8, va="center")
    axes.set(ylim=(MISTAKES - 0.5, -0.8), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


@context(["default", STYLE])
def reliability(calibration: Calibration) -> Figure:
    """Draw a reliability diagram: accuracy against confidence for each bin, above the number of images in the bin.

    A bar through each point is the 95 % interval of its accuracy. Bins without images have no point.
    """
    counts, bins = calibration.counts, len(calibration.counts)
    figure = Figure(figsize=(6.5, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    upper.text(0.02, 0.97, "underconfident", color=GREY, va="top", fontsize=10)
    upper.text(0.98, 0.03, "overconfident", color=GREY, ha="right", fontsize=10)
    for count, confidence, accuracy in zip(counts, calibration.confidence, calibration.accuracy, strict=True):
        if confidence is None or accuracy is None:
            continue
        interval = wilson_interval(round(accuracy * count), count)
        upper.plot([confidence, confidence], interval, color=BLUE, linewidth=1.5)
        upper.plot(confidence, accuracy, "o", color=BLUE, markersize=6, clip_on=False)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="top-1 accuracy with 95 % interval")
    upper.set_title(f"expected calibration error {calibration.error:.3f}", fontsize=11)
    middles = (np.arange(bins) + 0.5) / bins
    lower.bar(middles, counts, 0.9 / bins, color=BLUE, log=True)
    for middle, count in zip(middles, counts, strict=True):
        if count:
            lower.text(middle, 1.15 * count, str(count), ha="center", fontsize=7.5)
    lower.set(ylim=(0.5, 10 * max(counts)), xlabel="confidence", ylabel="images (log)")
    lower.tick_params(axis="y", which="both", left=False, labelleft=False)  # each bar has its count above it
    return settle_layout(figure)
