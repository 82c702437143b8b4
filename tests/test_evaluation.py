"""Are accuracy, interval, loss and confusion those of a hand count?"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nin.evaluation import evaluate, evaluating, scores, wilson_interval
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
