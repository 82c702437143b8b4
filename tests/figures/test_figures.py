"""Do the figures say what the results say? Words and numbers against the results, bytes against each other."""

import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from nin import figures
from nin.evaluation import Calibration, calibration
from nin.network import NiN

NAMES = ("T-shirt/top", "Ankle boot", "costs $5 or $6")
ODD_NAMES = ("W" * 99, "two\nlines\a", "\u202ecoat\xa0中\udcff")  # a bell, right to left, no letter


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


def apart(figure: Figure) -> bool:
    """Say whether every text keeps clear of the others and of the figure's sides."""
    boxes = [text.get_window_extent() for text in texts(figure)]
    within = all(figure.bbox.padded(2).containsx(x) for box in boxes for x in box.intervalx)
    return within and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


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
    assert apart(figure)


def test_a_prediction_says_the_headline_that_it_is_given_also_over_no_picture() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert said(figures.prediction(pictures(0), none, none, torch.zeros(0), NAMES, headline="no mistake")) == [
        "no mistake"
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Class maps


def class_maps(count: int, cells: int) -> torch.Tensor:
    return 9 * torch.rand(count, 3, cells, cells, generator=torch.Generator().manual_seed(1))


def explanation(cells: int, titles: Sequence[str], names: Sequence[str] = NAMES, top: int = 3) -> Figure:
    maps = class_maps(len(titles), cells)
    probabilities = maps.amax(dim=(2, 3)).softmax(dim=1)
    return figures.explanation(pictures(len(titles)), maps, names, probabilities, titles, 35 + 32 * cells, top)


def drawn(axes: Axes) -> QuadMesh:
    (mesh,) = (collection for collection in axes.collections if isinstance(collection, QuadMesh))
    return mesh


def framed(axes: Axes) -> list[tuple[int, int]]:
    """Give row and column of each cell that a frame surrounds exactly."""
    corners = np.asarray(drawn(axes).get_coordinates())
    frames = [patch.get_bbox() for patch in axes.patches if isinstance(patch, Rectangle)]
    return [
        (row, column)
        for frame in frames
        for row, column in np.ndindex(corners.shape[0] - 1, corners.shape[1] - 1)
        if np.allclose(frame.get_points(), [corners[row, column], corners[row + 1, column + 1]])
    ]


def test_the_cells_are_drawn_in_the_middle_of_what_they_see() -> None:
    size, cells, reach = 259, 7, 97
    edges = figures.cell_edges(size, cells) * size
    middles = (edges[:-1] + edges[1:]) / 2 - 0.5  # a pixel's middle is half a pixel behind its number
    columns = np.array([31, 32, 226, 227])  # just out of and just in the reach of the cell in the middle
    images = torch.zeros(4, 1, 67, size, dtype=torch.float64)
    images[range(4), :, :, columns] = math.nan  # whatever sees it becomes it
    # In double precision no convolution takes a short cut that would spread it further.
    found = NiN(classes=1).double().eval().class_maps(images)
    assert found.shape == (4, 1, 1, cells)
    sees = np.abs(columns[:, None] - middles) <= reach
    assert sees[:, 3].tolist() == [False, True, True, False]
    np.testing.assert_array_equal(found[:, 0, 0].isnan().numpy(), sees)


def test_a_class_map_is_drawn_as_it_is_with_its_maximum_framed() -> None:
    images, maps = pictures(2), class_maps(2, 3)
    maps[1, 0, 2, 0] = 20
    probabilities = torch.tensor([[0.2, 0.7, 0.1], [0.9, 0.04, 0.06]])
    figure = figures.explanation(images, maps, NAMES, probabilities, ["a.jpg", "b.jpg"], 131)
    expected = [("Ankle boot 70 %", "T-shirt/top 20 %", "costs $5 or $6 10 %")]
    expected += [("T-shirt/top 90 %", "costs $5 or $6 6 %", "Ankle boot 4 %")]
    for row, order in enumerate([(1, 0, 2), (0, 2, 1)]):
        picture, *panels, _ = figure.axes[5 * row : 5 * row + 5]
        assert (np.asarray(picture.images[0].get_array()) == images[row].permute(1, 2, 0).numpy()).all()
        for axes, index, title in zip(panels, order, expected[row], strict=True):
            class_map = maps[row, index]
            mesh = drawn(axes)
            np.testing.assert_array_equal(np.asarray(mesh.get_array()), class_map.numpy())
            assert mesh.get_clim() == (0, pytest.approx(float(maps[row].max())))
            corners = np.asarray(mesh.get_coordinates())
            np.testing.assert_allclose(corners[0, :, 0], (17.5 + 32 * np.arange(4)) / 131 * 28 - 0.5)
            np.testing.assert_allclose(corners[:, 0, 1], corners[0, :, 0])
            assert framed(axes) == [tuple((class_map == class_map.max()).nonzero()[0].tolist())]
            assert axes.get_ylim() == (27.5, -0.5), "the first row is at the top"
            assert (axes.get_title(), axes.get_xlabel()) == (title, f"score {float(class_map.max()):.1f}")
    assert framed(figure.axes[6]) == [(2, 0)]
    assert {"a.jpg", "b.jpg", "20.0"} <= set(said(figure))


def test_a_map_without_a_highest_cell_has_no_frame_and_a_dead_network_s_maps_can_be_drawn() -> None:
    for value in (0.0, math.nan):
        maps = torch.full((1, 3, 3, 3), value)
        figure = figures.explanation(pictures(1), maps, NAMES, torch.full((1, 3), 1 / 3), ["dead"], 131)
        assert [framed(axes) for axes in figure.axes[1:4]] == [[], [], []]
        assert "score" in " ".join(said(figure))


def test_a_lone_cell_is_drawn_over_the_whole_picture_and_said_to_be() -> None:
    figure = explanation(1, ["lone"])
    assert np.asarray(drawn(figure.axes[1]).get_coordinates())[:, :, 0].tolist() == [[-0.5, 27.5]] * 2
    assert framed(figure.axes[1]) == []
    assert any("One cell covers the whole picture" in text for text in said(figure))


@pytest.mark.parametrize(("cells", "pictures", "top"), [(1, 1, 1), (3, 3, 3), (9, 8, 2)])
def test_odd_and_endless_names_do_not_run_into_each_other(cells: int, pictures: int, top: int) -> None:
    titles = [name * 9 for name in ODD_NAMES] + ["short"] * 5
    figure = explanation(cells, titles[:pictures], ODD_NAMES, top)
    assert apart(figure)


def test_odd_class_names_are_written_in_letters_that_every_figure_can_draw() -> None:
    labels = torch.tensor([0, 1, 2])
    for figure in (
        figures.sample(pictures(3), labels, ODD_NAMES),
        figures.prediction(pictures(3), labels, labels, torch.ones(3), ODD_NAMES),
        figures.confusion(torch.eye(3, dtype=torch.int64), ODD_NAMES),
        explanation(2, ODD_NAMES, ODD_NAMES),
    ):
        words = "\n".join(said(figure))
        assert "two lines�" in words
        assert "�coat ��" in words
        ElementTree.fromstring(figures.to_svg(figure))  # noqa: S314 - we wrote it ourselves


def test_a_prediction_shows_the_map_of_what_was_predicted_under_each_picture() -> None:
    labels = torch.arange(7) % 3
    maps = class_maps(7, 2)[:, 0]
    figure = figures.prediction(pictures(7), labels, labels, torch.ones(7), ODD_NAMES, maps=maps, size=99)
    assert apart(figure)
    for axes, class_map in zip(figure.axes[1::2], maps, strict=True):
        np.testing.assert_array_equal(np.asarray(drawn(axes).get_array()), class_map.numpy())
        assert framed(axes) == [tuple((class_map == class_map.max()).nonzero()[0].tolist())]
        assert axes.get_xlabel().startswith("true: ")
        assert "\npredicted: " in axes.get_xlabel()


def test_a_prediction_leaves_out_maps_of_a_lone_cell() -> None:
    labels = torch.tensor([0, 1])
    plain = figures.prediction(pictures(2), labels, labels, torch.ones(2), NAMES)
    lone = figures.prediction(pictures(2), labels, labels, torch.ones(2), NAMES, maps=class_maps(2, 1)[:, 0], size=67)
    assert figures.to_png(lone) == figures.to_png(plain)


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
# Mistakes and trust


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


def calibrated() -> Calibration:
    sure = torch.tensor([0.5, 0.9, 0.9, 0.9, 0.88, 1.0])
    return calibration(torch.stack((sure, 1 - sure), dim=1), torch.tensor([0, 0, 1, 0, 0, 0]))


def test_reliability_has_a_point_and_its_interval_for_each_bin_that_is_not_empty() -> None:
    figure = figures.reliability(calibrated())
    upper, lower = figure.axes
    points = [line for line in upper.lines if line.get_marker() == "o"]
    found = [(float(x), float(y)) for line in points for x, y in np.asarray(line.get_xydata())]
    assert found == [pytest.approx(point) for point in [(0.5, 1), (0.895, 0.75), (1, 1)]]
    intervals = [line.get_ydata() for line in upper.lines if len(np.unique(np.asarray(line.get_xdata()))) == 1]
    (low, high) = np.asarray(intervals[2])  # of three in four
    assert (low, high) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))
    (diagonal,) = [line for line in upper.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(np.asarray(diagonal.get_xdata()), np.asarray(diagonal.get_ydata()))
    assert [text.get_text() for text in lower.texts] == ["1", "4", "1"]
    assert upper.get_title() == "expected calibration error 0.180"
    assert apart(figure)


# ---------------------------------------------------------------------------------------------------------------------
# Files


def all_figures() -> list[Figure]:
    labels = torch.tensor([0, 1, 2])
    return [
        figures.sample(pictures(3), labels, NAMES),
        figures.prediction(pictures(3), labels, labels.flip(0), torch.rand(3), NAMES),
        figures.loss([line(1), line(2, size=131)], 10, 0.1),
        figures.confusion(torch.arange(9).view(3, 3), NAMES),
        explanation(3, ["costs $7"]),
        figures.reliability(calibrated()),
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
    sample, prediction, _, confusion, explained, _ = all_figures()
    for figure in (sample, prediction, confusion, explained):
        root = ElementTree.fromstring(figures.to_svg(figure))  # noqa: S314 - we wrote it ourselves a line before
        written = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for name in NAMES:
            assert any(name in text for text in written)


def test_drawing_leaves_matplotlib_s_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    for figure in all_figures():
        figures.to_svg(figure)
    assert dict(matplotlib.rcParams) == before
