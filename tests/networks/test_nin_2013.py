"""Is `NiN2013` the network of the paper for CIFAR-10, and does it say what it needs?"""

import pytest
import torch
from torch import nn

from nin.errors import NinError
from nin.networks.batch_norm import fold, with_batch_norm
from nin.networks.nin_2013 import NiN2013
from nin.networks.summary import layers, parameter_count


class Net(nn.Module):
    """Plain code written from the paper's figure 2 and section 4.2, with the widths of the authors' definition."""

    def __init__(self) -> None:
        super().__init__()
        self.n1 = nn.Sequential(
            nn.Conv2d(3, 192, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(192, 160, 1),
            nn.ReLU(),
            nn.Conv2d(160, 96, 1),
            nn.ReLU(),
        )
        self.n2 = nn.Sequential(
            nn.Conv2d(96, 192, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(192, 192, 1),
            nn.ReLU(),
            nn.Conv2d(192, 192, 1),
            nn.ReLU(),
        )
        self.n3 = nn.Sequential(
            nn.Conv2d(192, 192, 3, padding=1), nn.ReLU(), nn.Conv2d(192, 192, 1), nn.ReLU(), nn.Conv2d(192, 10, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.n1(x), 3, stride=2, padding=1)
        x = nn.functional.dropout(x, 0.5, self.training)
        x = nn.functional.avg_pool2d(self.n2(x), 3, stride=2, padding=1)
        x = nn.functional.dropout(x, 0.5, self.training)
        return self.n3(x).mean(dim=(2, 3))


def test_weights_of_a_plain_copy_load_both_ways_and_give_the_same_logits():
    plain, ours = Net().eval(), NiN2013().eval()
    ours.load_state_dict(plain.state_dict(), strict=True)
    images = torch.randn(3, 3, 32, 32)
    expected = plain(images)
    assert expected.std() > 1e-3, "all logits are alike, and the test would show nothing"
    torch.testing.assert_close(ours(images), expected)
    other = NiN2013().eval()
    plain.load_state_dict(other.state_dict(), strict=True)
    torch.testing.assert_close(plain(images), other(images))
    assert not torch.allclose(other(images), expected)


@pytest.mark.parametrize(("channels", "classes", "parameters"), [(3, 10, 966_986), (1, 10, 957_386), (3, 100, 984_356)])
def test_parameter_count(channels: int, classes: int, parameters: int):
    # 1 channel: 2 * 192 * 5 * 5 weights fewer. 100 classes: 90 maps of 192 weights and a bias more.
    assert parameter_count(NiN2013(channels, classes)) == parameters


def test_multiply_adds_at_the_papers_size():
    by_hand = 32**2 * (75 * 192 + 192 * 160 + 160 * 96) + 16**2 * (2400 * 192 + 2 * 192**2)
    by_hand += 8**2 * (1728 * 192 + 192**2 + 192 * 10)
    assert sum(layer.multiply_adds for layer in layers(NiN2013(), 3, 32)) == by_hand == 222_486_528


@pytest.mark.parametrize(("size", "side"), [(8, 2), (28, 7), (32, 8), (33, 9)])
def test_the_logit_is_the_mean_of_the_class_map(size: int, side: int):
    network = NiN2013(1, num_classes=7).eval()
    images = torch.randn(2, 1, size, size)
    maps = network.class_maps(images)
    assert maps.shape == (2, 7, side, side)
    torch.testing.assert_close(network(images), maps.mean(dim=(2, 3)))


def test_class_maps_and_logits_may_be_negative():
    network = NiN2013(1).eval()
    nn.init.constant_(network.n3[-1].bias, -1.0)
    images = torch.randn(4, 1, 28, 28)
    assert (network.class_maps(images) < 0).any()
    assert (network(images) < 0).any()


def test_dropout_takes_single_values_after_each_of_the_two_pools():
    network = NiN2013(dropout=0.5).train()
    nn.init.constant_(network.n1[4].bias, 1.0)  # so that no value is zero but by dropout
    nn.init.constant_(network.n2[4].bias, 1.0)
    seen: list[torch.Tensor] = []
    for block in (network.n2, network.n3):
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.zeros(4, 3, 32, 32))
    assert [values.shape[1:] for values in seen] == [(96, 16, 16), (192, 8, 8)]
    for values in seen:
        assert 0.45 < (values == 0).float().mean() < 0.6
        assert values.flatten(2).any(dim=2).all(), "a whole channel is zero"


def test_the_folded_variant_gives_what_the_variant_gave():
    torch.manual_seed(0)
    variant = with_batch_norm(NiN2013(dropout=0.0))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in variant.modules()) == 9
    images = torch.randn(16, 3, 16, 16)
    for _ in range(3):
        variant.train()(images)
    nn.init.normal_(variant.n3[-1][1].bias)
    variant.eval()
    folded = fold(variant)
    assert repr(folded) == repr(NiN2013(dropout=0.0))
    maps = variant.class_maps(images)
    assert (maps < 0).any()
    torch.testing.assert_close(folded.class_maps(images), maps, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(folded(images), variant(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(1, 3, 7, 32), "(1, 3, 7, 32)"),
        (torch.zeros(3, 32, 32), "(3, 32, 32)"),
        (torch.zeros(2, 1, 32, 32), "(2, 1, 32, 32)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "uint8"),
    ],
)
def test_wrong_input_is_one_line_that_names_both_shapes(images: torch.Tensor, named: str):
    with pytest.raises(NinError) as error:
        NiN2013()(images)
    assert named in str(error.value)
    assert "(batch, 3, height, width)" in str(error.value)
    assert "at least 8" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"in_channels": 0}, {"num_classes": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_wrong_arguments_are_refused(options: dict[str, object]):
    with pytest.raises(NinError, match=str(next(iter(options.values())))):
        NiN2013(**options)
