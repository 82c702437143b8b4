"""Do the first weights have the size that their scheme promises?"""

import pytest
import torch
from torch import nn

from nin.initialisation import initialise
from nin.network import NiN


@pytest.mark.parametrize(
    ("scheme", "variance"), [("default", 1 / 3 / 2400), ("xavier", 2 / (2400 + 6400)), ("he", 2 / 2400)]
)
def test_the_spread_of_the_weights(scheme: str, variance: float):
    network = NiN()
    initialise(network, scheme)
    weight = network.n2[0].weight  # 5x5 from 96 to 256 channels: 2400 values come into each sum, each goes into 6400
    assert weight.var().item() == pytest.approx(variance, rel=0.03)
    assert abs(weight.mean().item()) < 0.02 * variance**0.5


def test_he_sets_biases_to_zero_and_xavier_leaves_them():
    network = NiN()
    initialise(network, "he")
    assert not any(m.bias.any() for m in network.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)
    initialise(network, "xavier")
    assert all(m.bias.any() for m in network.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)


def test_same_seed_same_weights():
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        network = NiN()
        initialise(network, "he")
        drawn.append(network.n1[0].weight)
    assert torch.equal(*drawn)
