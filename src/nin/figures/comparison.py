"""How do networks compare? Accuracy against time and against computation, and losses; a colour for each network."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nin.figures.style import GREY, STYLE, WIDTH, settle_layout

MARKERS = "osD^vP*X"
HEIGHT = 4.2  # inches


class Curve(NamedTuple):
    """The validations of a training: seconds of its steps, losses in nats, and top-1 accuracy, a value for each."""

    seconds: Sequence[float]
    train_loss: Sequence[float]
    validation_loss: Sequence[float]
    accuracy: Sequence[float]


class Place(NamedTuple):
    """What a network costs and reaches: multiply-adds of an image, top-1 accuracy, half of its interval (or 0)."""

    multiply_adds: int
    accuracy: float
    interval: float


@context(["default", STYLE])
def accuracy_against_time(curves: Mapping[str, Sequence[Curve]]) -> Figure:
    """Draw the validation accuracy of each network against the seconds of training steps, a line for each seed."""
    figure, axes = _axes("seconds of training", "validation accuracy")
    for name, (colour, marker) in _styles(curves).items():
        for number, curve in enumerate(curves[name]):
            axes.plot(
                curve.seconds, curve.accuracy, marker=marker, markersize=4, linewidth=1.2, color=colour,
                label=name if number == 0 else None,
            )  # fmt: skip
    axes.set_xlim(left=0)
    if ends := [curve.accuracy[-1] for each in curves.values() for curve in each if curve.accuracy]:
        # The first minute, in which any accuracy occurs, must not press the ends together.
        bottom, highest = max(axes.get_ylim()[0], min(ends) - 0.1), axes.dataLim.ymax
        axes.set_ylim(bottom, highest + (highest - bottom) / 20)
    _legend(figure, axes)
    return settle_layout(figure)


@context(["default", STYLE])
def accuracy_against_computation(places: Mapping[str, Place]) -> Figure:
    """Draw the validation accuracy of each network, the mean of its seeds, against the multiply-adds of an image."""
    figure, axes = _axes("multiply-adds for one image", "validation accuracy")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _abbreviate(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for name, (colour, marker) in _styles(places).items():
        place = places[name]
        axes.errorbar(
            place.multiply_adds, place.accuracy, yerr=place.interval or None, fmt=marker, color=colour, markersize=7,
            capsize=3, label=name,
        )  # fmt: skip
    _legend(figure, axes)
    return settle_layout(figure)


@context(["default", STYLE])
def losses(curves: Mapping[str, Sequence[Curve]]) -> Figure:
    """Draw the loss of each network's first seed against time: of the training images, and of the validation images."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title in ((left, "training loss (nats)"), (right, "validation loss (nats)")):
        axes.set(xlabel="seconds of training", title=title)
        axes.grid(color=GREY, alpha=0.2)
    for name, (colour, marker) in _styles(curves).items():
        for curve in curves[name][:1]:
            options = {"marker": marker, "markersize": 4, "linewidth": 1.2, "color": colour}
            left.plot(curve.seconds, curve.train_loss, label=name, **options)
            right.plot(curve.seconds, curve.validation_loss, **options)
    _legend(figure, left)
    return settle_layout(figure)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color=GREY, alpha=0.2)
    return figure, axes


def _styles(names: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name, which also tell them apart without colour."""
    return {name: (f"C{index % 10}", MARKERS[index % len(MARKERS)]) for index, name in enumerate(names)}


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside right upper", frameon=False)


def _abbreviate(count: float) -> str:
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= size:
            return f"{count / size:g}{unit}"
    return f"{count:g}"
