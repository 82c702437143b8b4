"""Does the folded network give what its training twin gave?"""

import pytest
import torch
from torch import nn

from nin.baselines import AlexNet
from nin.folding import fold, lift, with_batch_norm
from nin.network import NiN


def trained_twin(network: nn.Module, size: int) -> nn.Module:
    """Give a twin whose norms have averages and weights as far from their first as training makes them."""
    twin = with_batch_norm(network)
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    for _ in range(3):
        twin.train()(torch.randn(16, 1, size, size))
    return twin


@pytest.mark.parametrize(("network", "size"), [(NiN(), 99), (AlexNet(size=67), 67)])
def test_fold_gives_the_twins_scores_in_the_plain_networks_keys(network: nn.Module, size: int):
    twin = trained_twin(network, size).eval()
    folded = fold(twin)
    assert list(folded.state_dict()) == list(network.state_dict())
    assert repr(folded) == repr(network)
    images = torch.randn(8, 1, size, size)
    scores = twin(images)
    assert scores.std() > 0.01
    torch.testing.assert_close(folded(images), scores, rtol=1e-3, atol=1e-3)


def test_the_twin_starts_with_the_networks_scores_biases_included():
    network = NiN().eval()
    nn.init.normal_(network.n4[4].bias)
    images = torch.randn(4, 1, 67, 67)
    torch.testing.assert_close(with_batch_norm(network).eval()(images), network(images), rtol=1e-3, atol=1e-3)


def test_every_convolution_gets_a_norm_and_the_network_is_not_touched():
    network = NiN()
    before = repr(network)
    twin = with_batch_norm(network)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in twin.modules()) == 12
    assert repr(network) == before


def test_fold_leaves_the_twin_in_training_and_a_plain_network_as_it_is():
    twin = with_batch_norm(NiN()).train()
    fold(twin)
    assert twin.training
    plain = NiN()
    copy = fold(plain)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), copy.parameters(), strict=True))


def test_lift_puts_the_last_relu_on_and_keeps_the_probabilities():
    network = NiN(final_relu=False, dropout=0.0).eval()
    nn.init.normal_(network.n4[4].bias)
    images = torch.randn(16, 1, 131, 131)
    scores = network(images)
    assert scores.min() < -0.5, "a ReLU would cut here, and the test would show nothing"
    lifted = lift(network, scores.min().item())
    assert repr(lifted) == repr(NiN())
    torch.testing.assert_close(lifted(images).softmax(dim=1), scores.softmax(dim=1))


def test_lift_by_nothing_changes_no_weight():
    network = NiN()
    for lowest in (0.0, 3.0):
        lifted = lift(network, lowest)
        assert all(torch.equal(tensor, lifted.state_dict()[name]) for name, tensor in network.state_dict().items())
