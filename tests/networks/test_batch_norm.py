"""Does the folded network give what its batch-norm variant gave?"""

import pytest
import torch
from torch import nn

from nin.networks.batch_norm import fold, with_batch_norm
from nin.networks.initialisation import initialise
from nin.networks.nin import NiN
from nin.networks.registry import NETWORKS, build_network


def trained_variant(network: nn.Module, size: int) -> nn.Module:
    """Return a variant whose norms have averages and weights as far from their first as training makes them."""
    variant = with_batch_norm(network)
    for module in variant.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    for _ in range(3):
        variant.train()(torch.randn(16, 1, size, size))
    return variant


@pytest.mark.parametrize("name", NETWORKS)
def test_fold_gives_the_variants_logits_in_the_plain_networks_keys(name: str):
    size = NETWORKS[name].smallest_size
    network = build_network(name, 1, 10, size, final_relu=False, dropout=0.0)
    initialise(network, "he")
    variant = trained_variant(network, size).eval()
    folded = fold(variant)
    assert list(folded.state_dict()) == list(network.state_dict())
    assert repr(folded) == repr(network)
    images = torch.randn(8, 1, size, size)
    logits = variant(images)
    assert logits.std() > 0.01
    torch.testing.assert_close(folded(images), logits, rtol=1e-3, atol=1e-3)


def test_the_variant_starts_with_the_networks_logits_biases_included():
    network = NiN().eval()
    nn.init.normal_(network.n4[4].bias)
    images = torch.randn(4, 1, 67, 67)
    torch.testing.assert_close(with_batch_norm(network).eval()(images), network(images), rtol=1e-3, atol=1e-3)


def test_every_convolution_gets_a_norm_and_the_network_is_not_touched():
    network = NiN()
    before = repr(network)
    variant = with_batch_norm(network)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in variant.modules()) == 12
    assert repr(network) == before


def test_fold_leaves_the_variant_in_training_and_a_plain_network_as_it_is():
    variant = with_batch_norm(NiN()).train()
    fold(variant)
    assert variant.training
    plain = NiN()
    copy = fold(plain)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), copy.parameters(), strict=True))


def test_a_convolution_without_a_bias_gets_one_from_its_norm():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU())
    variant = trained_variant(network, 9).eval()
    images = torch.randn(8, 1, 9, 9)
    torch.testing.assert_close(fold(variant)(images), variant(images))


def test_the_variant_has_the_networks_dtype_and_device():
    doubled = with_batch_norm(NiN().double())
    assert {tensor.dtype for tensor in doubled.state_dict().values()} <= {torch.float64, torch.int64}
    with torch.device("meta"):
        network = NiN()
    assert {tensor.device.type for tensor in with_batch_norm(network).state_dict().values()} == {"meta"}
