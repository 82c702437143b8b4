"""Do the confusion matrix and the reliability diagram show the numbers of the evaluation?"""

import numpy as np
import pytest
import torch
from figures.reading import NAMES, texts_are_apart, visible_texts, written

from nin.figures.evaluation import confusion, reliability
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
