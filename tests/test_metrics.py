"""Are accuracy, interval, loss, confusion and calibration those of a hand count, and the temperature the best one?"""

import json
import math
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nin.evaluation import (
    calibration,
    class_precision,
    class_recall,
    evaluate,
    evaluating,
    fit_temperature,
    most_confident_mistakes,
    scores,
    wilson_interval,
)
from nin.network import NiN
from nin.preprocessing import prepare


def test_a_hand_count():
    found = torch.tensor([[2.0, 1, 0], [0, 3, 1], [0, 3, 1], [1, 0, 0]])
    evaluation = evaluate(found, torch.tensor([0, 1, 2, 0]))
    assert evaluation.accuracy == 0.75
    assert evaluation.confusion.tolist() == [[2, 0, 0], [0, 1, 0], [0, 1, 0]]
    losses = [
        math.log(sum(math.exp(v) for v in row)) - row[label]
        for row, label in zip(found.tolist(), [0, 1, 2, 0], strict=True)
    ]
    assert evaluation.loss == pytest.approx(sum(losses) / 4)


def test_wilson_interval_against_published_figures():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(counts: tuple[int, int]):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


def test_scores_are_the_networks_own_in_eval_mode_whatever_the_batch():
    network = NiN().train()
    images = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    found = scores(network, images.repeat(100, 1, 1, 1), 67, (0.3,), (0.4,))
    assert network.training, "the mode is left as it was"
    with evaluating(network):
        expected = network(prepare(images, 67, (0.3,), (0.4,)))
    assert found.shape == (700, 10)
    assert expected.any()
    torch.testing.assert_close(found[-7:], expected, rtol=1e-4, atol=1e-5)


def test_recall_and_precision_by_hand():
    confusion = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    assert class_recall(confusion) == (6 / 8, 3 / 4, None)  # the third class has no pictures
    assert class_precision(confusion) == (6 / 7, 3 / 5, None)  # and was never predicted


def test_the_mistakes_come_most_confident_first_and_only_mistakes_do():
    probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.2, 0.8]])
    labels = torch.tensor([0, 1, 0, 1, 0])
    assert most_confident_mistakes(probabilities, labels, 3).tolist() == [2, 4, 3]
    assert most_confident_mistakes(probabilities, labels, 9).tolist() == [2, 4, 3, 1]
    assert most_confident_mistakes(probabilities, torch.tensor([0, 0, 1, 0, 1]), 9).tolist() == []


# ---------------------------------------------------------------------------------------------------------------------
# Calibration


def drawn(temperature: float, images: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw scores, and labels as often as softmax(scores / temperature) says."""
    generator = torch.Generator().manual_seed(0)
    found = temperature * 2 * torch.randn(images, 10, generator=generator)
    return found, torch.multinomial((found / temperature).softmax(dim=1), 1, generator=generator).flatten()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.5, 9.0])
def test_a_known_temperature_is_found_and_mends_the_confidence(temperature: float):
    found, labels = drawn(temperature)
    fitted = fit_temperature(found, labels)
    assert fitted == pytest.approx(temperature, rel=0.03)
    least = F.cross_entropy(found / fitted, labels)
    assert least < F.cross_entropy(found / (1.01 * fitted), labels)
    assert least < F.cross_entropy(found / (0.99 * fitted), labels)
    assert calibration((found / fitted).softmax(dim=1), labels).error < 0.02
    if temperature != 1:
        assert calibration(found.softmax(dim=1), labels).error > 0.1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_scores_without_a_mistake_get_the_lowest_temperature_and_with_nothing_else_the_highest(scale: float):
    found, _ = drawn(scale, 100)
    assert fit_temperature(found, found.argmax(dim=1)) == pytest.approx(1 / 20)
    assert fit_temperature(found, found.argmin(dim=1)) == pytest.approx(20)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, math.nan, math.inf])
def test_scores_that_tell_nothing_keep_their_temperature(value: float):
    assert fit_temperature(torch.full((5, 3), value), torch.tensor([0, 1, 2, 0, 1])) == 1


def test_a_calibration_by_hand():
    sure = torch.tensor([0.9, 0.88, 0.6, 1.0])
    result = calibration(torch.stack((sure, 1 - sure), dim=1), torch.tensor([0, 1, 0, 0]))
    # Of fifteenths: 0.6 is 9 and belongs below, 0.88 and 0.9 are between 13 and 14, and 1 is 15.
    assert result.counts == (0,) * 8 + (1,) + (0,) * 4 + (2, 1)
    assert result.confidence[:8] == result.accuracy[:8] == (None,) * 8
    assert (result.accuracy[8], *result.accuracy[13:]) == (1, 0.5, 1)
    assert (result.confidence[8], *result.confidence[13:]) == pytest.approx((0.6, 0.89, 1))
    assert result.error == pytest.approx((1 * 0.4 + 2 * 0.39 + 1 * 0) / 4)
    assert json.loads(json.dumps(asdict(result), allow_nan=False))["accuracy"][0] is None
