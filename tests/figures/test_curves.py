"""Do the curves show the metrics, and can they be read for long, short and failed runs?"""

import math
from typing import Any

import numpy as np
import pytest
from figures.reading import texts_are_apart, written
from matplotlib.axes import Axes

from nin.figures.curves import loss


def metrics(epoch: float, loss: float | None = 1.0) -> dict[str, Any]:
    return {
        "step": round(100 * epoch),
        "epoch": epoch,
        "train_loss": loss,
        "train_accuracy": 0.5 + epoch / 100,
        "validation_loss": None if loss is None else loss / 2,
        "validation_accuracy": 0.6 + epoch / 100,
        "images_per_second": 100.0,
        "seconds": 1.0,
    }


def epoch_ticks(axes: Axes) -> list[float]:
    low, high = axes.get_xlim()
    return [float(tick) for tick in axes.get_xticks() if low <= tick <= high]


def test_the_curves_are_the_metrics() -> None:
    validations = [metrics(0.5, loss=2.0), metrics(1.0, loss=None), metrics(1.42, loss=0.5)]
    figure = loss(validations, 10)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        for split, label in (("train", "training"), ("validation", "validation")):
            (curve,) = [curve for curve in axes.lines if curve.get_label() == label]
            values = [line[f"{split}_{quantity}"] for line in validations]
            expected = [math.nan if value is None else value for value in values]
            np.testing.assert_array_equal(np.asarray(curve.get_ydata()), expected)
            np.testing.assert_array_equal(np.asarray(curve.get_xdata()), [0.5, 1.0, 1.42])
    assert figure.axes[0].get_title() == "loss not finite at epoch 1"
    assert figure.axes[1].get_title() == ""


def test_the_splits_are_told_apart_without_colour() -> None:
    left, _ = loss([metrics(1), metrics(2)], 10).axes
    training, validation = (curve for curve in left.lines if curve.get_label() in ("training", "validation"))
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


def test_a_run_without_validations_says_so() -> None:
    assert written(loss([], 10)).count("no validation results") == 2


@pytest.mark.parametrize("value", [1.0, None, math.nan, math.inf])
def test_a_single_validation_has_a_marker(value: float | None) -> None:
    figure = loss([metrics(1, loss=value)], 10)
    assert ("loss not finite at epoch 1" in written(figure)) == (value != 1.0)
    for axes in figure.axes:
        curves = [curve for curve in axes.lines if curve.get_label() in ("training", "validation")]
        assert [curve.get_marker() for curve in curves] == ["o", "s"]
        assert epoch_ticks(axes) == [0, 1]


@pytest.mark.parametrize("last", [0.0025, 0.1, 0.42, 1.0, 1.42, 7.5, 30.0, 100.0])
def test_the_epochs_start_at_0_and_are_whole_where_the_run_has_a_whole_one(last: float) -> None:
    figure = loss([metrics(last * part) for part in (0.25, 0.5, 0.75, 1.0)], 10)
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch"
        assert axes.get_xlim() == (0, pytest.approx(last, rel=0.1))
        assert axes.get_xlim()[1] > last
        ticks = epoch_ticks(axes)
        assert 2 <= len(ticks) <= 11
        assert last < 1 or all(tick.is_integer() for tick in ticks)
        shown = [label.get_text() for label in axes.get_xticklabels() if axes.get_xlim()[1] >= label.get_position()[0]]
        assert [float(text) for text in shown] == pytest.approx(ticks)
    assert texts_are_apart(figure)


def test_many_epochs_without_a_finite_loss_are_counted() -> None:
    few = loss([metrics(1), metrics(1.5, loss=None), metrics(1 + 2 / 3, loss=None)], 10)
    assert few.axes[0].get_title() == "loss not finite at epoch 1.5, 1.67"
    many = loss([metrics(1), *(metrics(step / 3, loss=None) for step in range(4, 100))], 10)
    assert many.axes[0].get_title() == "loss not finite at 96 validations, first at epoch 1.33"
    assert texts_are_apart(few)
    assert texts_are_apart(many)


def test_a_loss_at_chance_is_seen_to_be_there_and_a_good_one_is_not_squeezed() -> None:
    dead, _ = loss([{**metrics(epoch, loss=2.3026), "validation_loss": 2.3025} for epoch in (1, 2)], 10).axes
    (chance,) = [curve for curve in dead.lines if curve.get_linestyle() == ":"]
    assert np.asarray(chance.get_ydata()) == pytest.approx(math.log(10))
    low, high = dead.get_ylim()
    assert low < math.log(10) < high
    assert high - low == pytest.approx(0.1)  # noise of a ten-thousandth looks like a flat line
    good, _ = loss([metrics(1, loss=0.5), metrics(2, loss=0.4)], 10).axes
    assert good.get_ylim()[1] < 0.6


def test_the_axes_say_what_they_show() -> None:
    left, right = loss([metrics(1)], 10, 0.1).axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss with label smoothing 0.1 (nats)", "top-1 accuracy")
    assert loss([metrics(1)], 10).axes[0].get_ylabel() == "loss (nats)"
