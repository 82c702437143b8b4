"""Is `NiN` the textbook's NiN as listed, and does it say what it needs?"""

import pytest
import torch
from torch import nn

from nin.errors import NinError
from nin.networks.nin import NiN, mlpconv_block

LISTING = """\
Net(
  (n1): Sequential(
    (0): Conv2d(1, 96, kernel_size=(11, 11), stride=(4, 4))
    (1): ReLU()
    (2): Conv2d(96, 96, kernel_size=(1, 1), stride=(1, 1))
    (3): ReLU()
    (4): Conv2d(96, 96, kernel_size=(1, 1), stride=(1, 1))
    (5): ReLU()
  )
  (m1): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
  (n2): Sequential(
    (0): Conv2d(96, 256, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    (1): ReLU()
    (2): Conv2d(256, 256, kernel_size=(1, 1), stride=(1, 1))
    (3): ReLU()
    (4): Conv2d(256, 256, kernel_size=(1, 1), stride=(1, 1))
    (5): ReLU()
  )
  (m2): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
  (n3): Sequential(
    (0): Conv2d(256, 384, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (1): ReLU()
    (2): Conv2d(384, 384, kernel_size=(1, 1), stride=(1, 1))
    (3): ReLU()
    (4): Conv2d(384, 384, kernel_size=(1, 1), stride=(1, 1))
    (5): ReLU()
  )
  (m3): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
  (dropout1): Dropout2d(p=0.5, inplace=False)
  (n4): Sequential(
    (0): Conv2d(384, 10, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (1): ReLU()
    (2): Conv2d(10, 10, kernel_size=(1, 1), stride=(1, 1))
    (3): ReLU()
    (4): Conv2d(10, 10, kernel_size=(1, 1), stride=(1, 1))
    (5): ReLU()
  )
  (avg1): AdaptiveMaxPool2d(output_size=(1, 1))
  (flat): Flatten()
)"""


class Net(nn.Module):
    """Plain code written from the listing, as anyone's copy of it would be."""

    def __init__(self) -> None:
        super().__init__()
        self.n1 = nn.Sequential(
            nn.Conv2d(1, 96, 11, stride=4), nn.ReLU(), nn.Conv2d(96, 96, 1), nn.ReLU(), nn.Conv2d(96, 96, 1), nn.ReLU()
        )
        self.m1 = nn.MaxPool2d(3, 2)
        self.n2 = nn.Sequential(
            nn.Conv2d(96, 256, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(256, 256, 1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 1),
            nn.ReLU(),
        )
        self.m2 = nn.MaxPool2d(3, 2)
        self.n3 = nn.Sequential(
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 1),
            nn.ReLU(),
        )
        self.m3 = nn.MaxPool2d(3, 2)
        self.dropout1 = nn.Dropout2d(0.5)
        self.n4 = nn.Sequential(
            nn.Conv2d(384, 10, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(10, 10, 1),
            nn.ReLU(),
            nn.Conv2d(10, 10, 1),
            nn.ReLU(),
        )
        self.avg1 = nn.AdaptiveMaxPool2d((1, 1))
        self.flat = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def test_it_prints_as_listed():
    printed = repr(NiN()).replace("Flatten(start_dim=1, end_dim=-1)", "Flatten()").splitlines()
    assert printed[1:] == LISTING.splitlines()[1:]


def test_weights_of_anyones_copy_of_the_listing_load_and_give_the_same_logits():
    torch.manual_seed(0)  # one network in a thousand is dead from the start
    listed, ours = Net().eval(), NiN().eval()
    ours.load_state_dict(listed.state_dict(), strict=True)
    shapes = [[(k, v.shape) for k, v in network.state_dict().items()] for network in (ours, listed)]
    assert shapes[0] == shapes[1]
    images = torch.randn(3, 1, 99, 99)
    expected = listed(images)
    assert expected.any(), "all logits are zero, and the test would show nothing"
    assert torch.equal(ours(images), expected)


@pytest.mark.parametrize(
    ("channels", "classes", "parameters"), [(1, 10, 1_992_166), (3, 10, 2_015_398), (1, 2, 1_964_302)]
)
def test_parameter_count(channels: int, classes: int, parameters: int):
    # 3 channels: 2 * 96 * 11 * 11 weights more. 2 classes: a last block of 6,926 numbers where 10 classes have 34,790.
    assert sum(p.numel() for p in NiN(channels, classes).parameters()) == parameters


@pytest.mark.parametrize(("size", "side"), [(67, 1), (99, 2), (131, 3), (224, 5)])
@pytest.mark.parametrize("pool", ["max", "avg"])
def test_the_logit_is_the_pool_of_the_class_map(size: int, side: int, pool: str):
    network = NiN(num_classes=7, global_pool=pool, final_relu=False).eval()
    images = torch.randn(2, 1, size, size)
    maps = network.class_maps(images)
    assert maps.shape == (2, 7, side, side)
    pooled = maps.amax(dim=(2, 3)) if pool == "max" else maps.mean(dim=(2, 3))
    torch.testing.assert_close(network(images), pooled)


def test_without_the_final_relu_logits_may_be_negative_and_the_keys_stay():
    torch.manual_seed(0)
    network = NiN(final_relu=False).eval()
    assert network.state_dict().keys() == NiN().state_dict().keys()
    images = torch.randn(8, 1, 67, 67)
    logits = network(images)
    assert (logits < 0).any()
    plain = NiN().eval()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain(images), logits.relu())


def test_dropout_takes_whole_channels_of_what_the_last_block_sees():
    network = NiN(dropout=0.5).train()
    seen: list[torch.Tensor] = []
    network.n4.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.randn(4, 1, 131, 131))
    alive = seen[0].flatten(2).count_nonzero(dim=2)
    assert 0.3 < (alive == 0).float().mean() < 0.9


def test_a_1x1_convolution_is_a_dense_layer_at_every_pixel():
    convolution = nn.Conv2d(96, 256, kernel_size=1)
    dense = nn.Linear(96, 256)
    dense.load_state_dict({"weight": convolution.weight[:, :, 0, 0], "bias": convolution.bias})
    pixels = torch.randn(2, 96, 5, 7)
    by_pixel = dense(pixels.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(convolution(pixels), by_pixel)


def test_a_block_is_a_small_dense_network_slid_over_the_image():
    block = mlpconv_block(3, 8, kernel_size=5, stride=2)
    images = torch.randn(1, 3, 9, 9)
    patch = images[:, :, 2:7, 4:9].flatten(1)  # the window of the output's row 1, column 2
    for layer in block:
        patch = (
            nn.functional.linear(patch, layer.weight.flatten(1), layer.bias)
            if isinstance(layer, nn.Conv2d)
            else layer(patch)
        )
    torch.testing.assert_close(block(images)[:, :, 1, 2], patch)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(1, 1, 66, 67), "(1, 1, 66, 67)"),
        (torch.zeros(1, 67, 67), "(1, 67, 67)"),
        (torch.zeros(2, 3, 67, 67), "(2, 3, 67, 67)"),
        (torch.zeros(1, 1, 67, 67, dtype=torch.uint8), "uint8"),
    ],
)
def test_wrong_input_is_one_line_that_names_both_shapes(images: torch.Tensor, named: str):
    with pytest.raises(NinError) as error:
        NiN()(images)
    assert named in str(error.value)
    assert "(batch, 1, height, width)" in str(error.value)
    assert "at least 67" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"in_channels": 0}, {"num_classes": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_wrong_arguments_are_refused(options: dict[str, object]):
    with pytest.raises(NinError, match=str(next(iter(options.values())))):
        NiN(**options)
