"""Do the figures of a comparison show where its trainings end?"""

import pytest

from nin.figures.comparison import Curve, accuracy_against_time


def curve(*accuracies: float) -> Curve:
    losses = [1.0 for _ in accuracies]
    return Curve([10.0 * (number + 1) for number in range(len(accuracies))], losses, losses, accuracies)


@pytest.mark.parametrize(
    ("curves", "lowest"),
    [
        ({"a": [curve(0.1, 0.85, 0.9)], "b": [curve(0.3, 0.93), curve(0.2, 0.94)]}, 0.8),  # the beginnings are cut off
        ({"a": [curve(0.1, 0.85, 0.9)], "b": [curve(0.12, 0.15)]}, 0.05),  # one that has learned nothing is not
    ],
)
def test_accuracies_at_the_end_fill_the_figure(curves: dict[str, list[Curve]], lowest: float):
    [axes] = accuracy_against_time(curves).axes
    bottom, top = axes.get_ylim()
    assert bottom == pytest.approx(lowest, abs=0.02)
    assert 0 < top - max(one.accuracy[-1] for each in curves.values() for one in each) < 0.05


def test_a_comparison_with_one_validation_or_none_is_drawn():
    accuracy_against_time({"a": [curve(0.5)]})
    accuracy_against_time({"a": [curve()]})
    accuracy_against_time({})
