"""How did training go? Loss and accuracy of the training and validation images over the epochs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from nin.figures.style import BLUE, GREY, RED, STYLE, WIDTH, settle_layout

SMALLEST_SPAN = 0.1  # of the y axis, in nats or accuracy: noise of a ten-thousandth must look like a flat line
MOST_EPOCHS_LISTED = 5  # in the title over a curve


@context(["default", STYLE])
def loss(validations: Sequence[Mapping[str, Any]], num_classes: int, label_smoothing: float = 0.0) -> Figure:
    """Draw the loss and the top-1 accuracy of the training and validation images against the epoch.

    Args:
        validations: the lines of `metrics.jsonl`. "epoch" counts the passes through the training images so far, and
            may be a fraction; None stands for a loss or accuracy that was not finite.
        num_classes: the number of classes. Chance costs ln(num_classes) nats, with or without label smoothing.
        label_smoothing: the label smoothing that both losses contain, from 0 to 1.

    """
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    chance_loss = math.log(num_classes)
    _draw_curves(left, validations, "loss", chance_loss, f"chance: ln {num_classes} = {chance_loss:.2f}")
    _draw_curves(right, validations, "accuracy", 1 / num_classes, f"chance: {1 / num_classes:.2g}")
    left.set_ylabel(f"loss with label smoothing {label_smoothing:g} (nats)" if label_smoothing else "loss (nats)")
    right.set_ylabel("top-1 accuracy")
    if validations:
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=10)
    return settle_layout(figure)


def _draw_curves(
    axes: Axes, validations: Sequence[Mapping[str, Any]], quantity: str, chance: float, chance_label: str
) -> None:
    """Draw `quantity`, "loss" or "accuracy", of both splits, and its value at chance where the curves come near it."""
    axes.set_xlabel("epoch")
    if not validations:
        axes.text(0.5, 0.5, "no validation results", transform=axes.transAxes, ha="center", va="center", fontsize=11)
        axes.set(xticks=[], yticks=[])
        return
    epochs = np.array([line["epoch"] for line in validations], dtype=float)
    _scale_epochs(axes, epochs[-1])
    training, validation = (
        np.array([line[f"{split}_{quantity}"] for line in validations], dtype=float)  # None becomes NaN: a gap
        for split in ("train", "validation")
    )
    # The larger, open marker still shows where the other covers it.
    axes.plot(epochs, training, "--o", label="training", color=RED, markerfacecolor="white", markersize=8)
    axes.plot(epochs, validation, "-s", label="validation", color=BLUE, markersize=5)
    missing = ~np.isfinite(training + validation)
    if missing.any():
        axes.set_title(_missing_title(quantity, epochs[missing].tolist()), fontsize=9, color=RED)
    if missing.all():
        axes.set_yticks([])
        return

    # The view follows the curves, not the line at chance: that matters only where they come near it.
    low, high = axes.get_ylim()
    spare = max(0.0, SMALLEST_SPAN - (high - low)) / 2
    axes.set_ylim(low - spare, high + spare)
    axes.axhline(chance, color=GREY, linestyle=":", linewidth=1)
    axes.annotate(
        chance_label, (1, chance), (0, 7), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", fontsize=8, color=GREY, annotation_clip=True,
    )  # fmt: skip


def _scale_epochs(axes: Axes, last: float) -> None:
    """Let the x axis run from 0 to a little after `last`, with ticks at whole epochs unless the run is shorter."""
    axes.set_xlim(0, 1.04 * last)
    whole = last >= 1
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10 if whole else 5, integer=whole, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _missing_title(quantity: str, epochs: list[float]) -> str:
    """Return a line that says at which epochs the quantity was not finite, or at how many if they are too many."""
    numbers = [f"{epoch:.2f}".rstrip("0").rstrip(".") for epoch in epochs]
    if len(numbers) <= MOST_EPOCHS_LISTED:
        return f"{quantity} not finite at epoch {', '.join(numbers)}"
    return f"{quantity} not finite at {len(numbers)} validations, first at epoch {numbers[0]}"
