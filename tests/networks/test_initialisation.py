"""Do the weights that training starts from have the size that their scheme promises?"""

from typing import get_args

import pytest
import torch
from torch import nn

from nin.choices import Initialisation
from nin.errors import OptionError
from nin.networks.initialisation import initialise
from nin.networks.nin import NiN


@pytest.mark.parametrize(
    ("scheme", "variance"), [("default", 1 / 3 / 2400), ("xavier", 2 / (2400 + 6400)), ("he", 2 / 2400)]
)
def test_the_variance_of_the_weights_is_that_of_the_scheme(scheme: str, variance: float):
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


def test_the_same_seed_gives_the_same_weights():
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        network = NiN()
        initialise(network, "he")
        drawn.append(network.n1[0].weight)
    assert torch.equal(*drawn)


def test_identity_starts_square_1x1_convolutions_as_the_identity_and_the_rest_as_he():
    network = NiN()
    initialise(network, "identity")
    values = torch.randn(2, 96, 5, 5)
    assert torch.equal(network.n1[2](values), values)
    assert network.n2[0].weight.var().item() == pytest.approx(2 / 2400, rel=0.03)


@pytest.mark.parametrize("scheme", get_args(Initialisation))
def test_dense_layers_are_initialised_too_and_a_bias_may_be_missing(scheme: str):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(400, 300))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 99.0)
    initialise(network, scheme)
    assert all(parameter.abs().max() < 9 for parameter in network.parameters())


def test_frozen_layers_keep_their_weights():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 2).requires_grad_(False))
    before = [layer.weight.clone() for layer in network]
    initialise(network, "he")
    assert [torch.equal(one, layer.weight) for one, layer in zip(before, network, strict=True)] == [False, True]


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="default, xavier, he, identity, not 'glorot'"):
        initialise(NiN(), "glorot")
