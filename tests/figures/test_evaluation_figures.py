"""Do the confusion matrix and the reliability diagram show the numbers of the evaluation?"""

import numpy as np
import pytest
import torch
from figures.reading import NAMES, ODD_NAMES, texts_are_apart, visible_texts, written
from matplotlib.figure import Figure

from nin.figures.evaluation import MOST_NAMES, MOST_NUMBERS, PIXELS, confusion, reliability
from nin.metrics import calibration


def test_the_confusion_matrix_is_written_out_with_the_recall_of_each_class() -> None:
    matrix = ((90, 7, 3), (0, 0, 0), (1, 1, 6))
    figure = confusion(matrix, NAMES)
    (axes,) = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert tuple(tuple(int(cells[column, row]) for column in range(3)) for row in range(3)) == matrix
    assert [text.get_text() for text in axes.texts][9:] == ["90.0 %", "–", "75.0 %", "recall"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)
    boxes = [text.get_window_extent() for text in visible_texts(figure) if text.get_rotation() == 0]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_only_mistakes_are_coloured() -> None:
    (axes,) = confusion(((90, 7), (3, 80)), NAMES[:2]).axes
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0, 7], [3, 0]]
    assert [patch.get_xy() for patch in axes.patches] == [(-0.5, -0.5), (0.5, 0.5)], "the diagonal"


def test_a_matrix_without_mistakes_can_be_drawn() -> None:
    assert "100.0 %" in written(confusion(((1, 0, 0), (0, 1, 0), (0, 0, 1)), NAMES))


@pytest.mark.parametrize("classes", [MOST_NUMBERS + 1, MOST_NAMES + 1, 3 * PIXELS - 1])
def test_a_matrix_of_many_classes_is_shaded_beside_its_most_frequent_mistakes(classes: int) -> None:
    matrix = 50 * np.eye(classes, dtype=np.int64)
    matrix[2, classes - 1], matrix[7, 3], matrix[classes - 1, 0] = 9, 4, 1
    names = [f"class number {index}" for index in range(classes)]
    figure = confusion(matrix.tolist(), names)
    left, right = figure.axes[:2]
    *_, shades = left.images
    drawn = np.ma.filled(np.ma.masked_array(shades.get_array()), 0)
    cells = -(-classes // PIXELS)
    assert len(drawn) == -(-classes // cells) <= PIXELS
    found = {(int(row) // cells, int(column) // cells): count for row, column, count in mistakes_of(matrix)}
    assert {(row, column): int(drawn[row, column]) for row, column in np.argwhere(drawn).tolist()} == found
    assert [text.get_text() for text in right.texts] == [
        f"class number 2 → class number {classes - 1}", "9", "class number 7 → class number 3", "4",
        f"class number {classes - 1} → class number 0", "1",
    ]  # fmt: skip
    named = [label.get_text() for label in left.get_yticklabels()] == names
    assert named == (classes <= MOST_NAMES)
    boxes = [text.get_window_extent() for text in visible_texts(figure) if text.get_rotation() == 0]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def mistakes_of(matrix: np.ndarray) -> list[tuple[int, int, int]]:
    places = np.argwhere(matrix * (1 - np.eye(len(matrix), dtype=np.int64))).tolist()
    return [(row, column, int(matrix[row, column])) for row, column in places]


def test_many_classes_without_a_mistake_can_be_drawn() -> None:
    classes = MOST_NAMES + 1
    assert "no mistakes" in written(confusion(np.eye(classes, dtype=np.int64).tolist(), ["name"] * classes))


def test_the_mistakes_beside_a_matrix_keep_apart_whatever_their_names() -> None:
    classes = MOST_NAMES + 1
    names = [f"{ODD_NAMES[index % 3]} {index}" for index in range(classes)]
    assert texts_are_apart_on_the_right(confusion(np.ones((classes, classes), dtype=np.int64).tolist(), names))


def texts_are_apart_on_the_right(figure: Figure) -> bool:
    texts = [text for text in visible_texts(figure) if text.axes is figure.axes[1]]
    boxes = [text.get_window_extent() for text in texts]
    return bool(boxes) and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_reliability_has_a_point_and_its_interval_for_each_bin_that_is_not_empty() -> None:
    confidence = torch.tensor([0.5, 0.9, 0.9, 0.9, 0.88, 1.0])
    probabilities, targets = torch.stack((confidence, 1 - confidence), dim=1), torch.tensor([0, 0, 1, 0, 0, 0])
    figure = reliability(calibration(probabilities, targets))
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
    sides = {text.get_text(): text.get_position() for text in upper.texts}
    assert sides["underconfident"][1] > 0.9, "above the diagonal accuracy exceeds confidence"
    assert sides["overconfident"][1] < 0.1
    assert texts_are_apart(figure)
