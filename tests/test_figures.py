"""Do the figures say what the results say? Words and numbers against the results, bytes against each other."""

import math
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from nin import figures

NAMES = ("T-shirt/top", "Ankle boot", "costs $5 or $6")


def pictures(count: int, channels: int = 1) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, channels, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def line(epoch: int, size: int = 67, loss: float | None = 1.0) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "size": size,
        "train_loss": loss,
        "train_accuracy": 0.5 + epoch / 100,
        "validation_loss": None if loss is None else loss / 2,
        "validation_accuracy": 0.6 + epoch / 100,
        "images_per_second": 100.0,
        "seconds": 1.0,
    }


def texts(figure: Figure) -> list[Text]:
    """Draw, and give every text that can be seen."""
    FigureCanvasAgg(figure).draw()
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text() != "")
    return [text for text in found if isinstance(text, Text)]


def said(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sample_shows_the_first_pictures_of_each_class_in_its_row(channels: int) -> None:
    images, labels = pictures(9, channels), torch.tensor([2, 0, 2, 0, 2, 0, 2, 0, 2])
    figure = figures.sample(images, labels, NAMES)
    (axes,) = figure.axes
    rows = np.asarray(axes.images[0].get_array()).reshape(3, 30, figures.SAMPLES, 30, 3).swapaxes(1, 2)
    for row, indexes in enumerate([[1, 3, 5, 7], [], [0, 2, 4, 6, 8]]):
        for column in range(figures.SAMPLES):
            tile = rows[row, column, 1:-1, 1:-1]
            if column < len(indexes):
                assert (tile == images[indexes[column]].permute(1, 2, 0).numpy()).all()
            else:
                assert (tile == 255).all()
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)


def test_a_prediction_says_right_or_wrong_in_words_and_names_both_classes() -> None:
    labels, predicted = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 2, 2, 1])
    figure = figures.prediction(pictures(4), labels, predicted, torch.tensor([0.5, 0.25, 1.0, 0.9]), NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["✓ right, 50 % sure", "✗ wrong, 25 % sure", "✓ right, 100 % sure", "✓ right, 90 % sure"]
    assert figure.axes[1].get_xlabel() == "true: Ankle boot\npredicted: costs $5 or $6"
    assert "3 of these 4 are right" in said(figure)
    shown = np.asarray(figure.axes[3].images[0].get_array())
    assert (shown == pictures(4)[3].permute(1, 2, 0).numpy()).all()


def test_predictions_do_not_run_into_each_other() -> None:
    labels = torch.zeros(13, dtype=torch.int64)
    figure = figures.prediction(pictures(13), labels, labels + torch.arange(13) % 2, torch.ones(13), NAMES)
    boxes = [text.get_window_extent() for text in texts(figure)]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert all(figure.bbox.padded(2).containsx(x) for box in boxes for x in box.intervalx)


# ---------------------------------------------------------------------------------------------------------------------
# Curves


def test_the_curves_are_the_metrics() -> None:
    epochs = [line(1, loss=2.0), line(2, loss=None), line(3, loss=0.5)]
    figure = figures.loss(epochs, 10)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        for split in ("train", "validation"):
            (curve,) = [curve for curve in axes.lines if curve.get_label() == split]
            expected = [
                math.nan if epoch[f"{split}_{quantity}"] is None else epoch[f"{split}_{quantity}"] for epoch in epochs
            ]
            np.testing.assert_array_equal(np.asarray(curve.get_ydata()), expected)
            np.testing.assert_array_equal(np.asarray(curve.get_xdata()), [1, 2, 3])
    assert figure.axes[0].get_title() == "loss not finite in epoch 2"
    assert figure.axes[1].get_title() == ""


def test_the_splits_are_told_apart_without_colour() -> None:
    left, _ = figures.loss([line(1), line(2)], 10).axes
    train, validation = (curve for curve in left.lines if curve.get_label() in ("train", "validation"))
    assert train.get_linestyle() != validation.get_linestyle()
    assert train.get_marker() != validation.get_marker()


def test_no_epoch_is_said() -> None:
    assert said(figures.loss([], 10)).count("no epoch was finished") == 2


@pytest.mark.parametrize("value", [1.0, None, math.nan, math.inf])
def test_one_epoch_has_a_marker_and_one_tick(value: float | None) -> None:
    figure = figures.loss([line(1, loss=value)], 10)
    words = said(figure)
    assert ("loss not finite in epoch 1" in words) == (value != 1.0)
    for axes in figure.axes:
        assert all(
            curve.get_marker() in ("o", "s") for curve in axes.lines if curve.get_label() in ("train", "validation")
        )
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_a_loss_at_chance_is_seen_to_be_there_and_a_good_one_is_not_squeezed() -> None:
    dead, _ = figures.loss([{**line(epoch, loss=2.3026), "validation_loss": 2.3025} for epoch in (1, 2)], 10).axes
    (chance,) = [curve for curve in dead.lines if curve.get_linestyle() == ":"]
    assert np.asarray(chance.get_ydata()) == pytest.approx(math.log(10))
    low, high = dead.get_ylim()
    assert low < math.log(10) < high
    assert high - low == pytest.approx(0.1)  # noise of a ten-thousandth is no drama
    good, _ = figures.loss([line(1, loss=0.5), line(2, loss=0.4)], 10).axes
    assert good.get_ylim()[1] < 0.6


def test_label_smoothing_is_said_where_there_is_some() -> None:
    assert figures.loss([line(1)], 10, 0.1).axes[0].get_ylabel() == "loss, labels smoothed by 0.1 (nats)"
    assert figures.loss([line(1)], 10).axes[0].get_ylabel() == "loss (nats)"


def test_a_change_of_size_is_marked_and_one_size_is_not() -> None:
    changing = said(figures.loss([line(1), line(2), line(3, size=131)], 10))
    assert changing.count("67×67 pixels") == changing.count("131×131 pixels") == 2
    assert not [text for text in said(figures.loss([line(1), line(2)], 10)) if "pixels" in text]


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


def test_the_confusion_matrix_is_written_out_with_each_class_s_recall() -> None:
    matrix = torch.tensor([[90, 7, 3], [0, 0, 0], [1, 1, 6]])
    figure = figures.confusion(matrix, NAMES)
    (axes,) = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert [[int(cells[column, row]) for column in range(3)] for row in range(3)] == matrix.tolist()
    assert [text.get_text() for text in axes.texts][9:] == ["90.0 %", "–", "75.0 %", "recall"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)
    boxes = [text.get_window_extent() for text in texts(figure) if text.get_rotation() == 0]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_a_perfect_matrix_can_be_drawn() -> None:
    assert "100.0 %" in said(figures.confusion(torch.eye(3, dtype=torch.int64), NAMES))


# ---------------------------------------------------------------------------------------------------------------------
# Files


def all_figures() -> list[Figure]:
    labels = torch.tensor([0, 1, 2])
    return [
        figures.sample(pictures(3), labels, NAMES),
        figures.prediction(pictures(3), labels, labels.flip(0), torch.rand(3), NAMES),
        figures.loss([line(1), line(2, size=131)], 10, 0.1),
        figures.confusion(torch.arange(9).view(3, 3), NAMES),
    ]


def test_the_same_figure_gives_the_same_bytes() -> None:
    torch.manual_seed(0)
    first = all_figures()
    torch.manual_seed(0)
    for figure, again in zip(first, all_figures(), strict=True):
        png, svg = figures.to_png(figure), figures.to_svg(figure)
        assert png.startswith(b"\x89PNG")
        assert figures.to_png(figure) == png == figures.to_png(again)
        assert figures.to_svg(figure) == svg == figures.to_svg(again)


def test_an_svg_holds_its_text_as_text_and_a_dollar_is_a_dollar() -> None:
    sample, prediction, _, confusion = all_figures()
    for figure in (sample, prediction, confusion):
        root = ElementTree.fromstring(figures.to_svg(figure))  # noqa: S314 - we wrote it ourselves a line before
        written = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for name in NAMES:
            assert any(name in text for text in written)


def test_drawing_leaves_matplotlib_s_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    for figure in all_figures():
        figures.to_svg(figure)
    assert dict(matplotlib.rcParams) == before
