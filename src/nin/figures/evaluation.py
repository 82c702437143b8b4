"""Which classes are confused, and can the confidence be trusted? Confusion matrix and reliability diagram."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.style import context

from nin.figures.style import BLUE, GREY, INK, STYLE, fit_line, settle_layout
from nin.metrics import Calibration, wilson_interval

CELL = 0.6  # inches a side
DIAGONAL = "#d3e2f1"


@context(["default", STYLE])
def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Draw a confusion matrix, with the recall of each class at the end of its row.

    The shades of orange are for mistakes alone: on one scale with the much larger diagonal, all mistakes would look
    the same.

    Args:
        matrix: numbers of images, true classes in rows and predicted classes in columns.
        names: the names of the classes.

    """
    counts = np.array(matrix, dtype=np.int64)
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, counts)
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
