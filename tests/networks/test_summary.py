"""Does the summary tell what really happens in each layer?"""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import nn

from nin.errors import NinError
from nin.networks.alexnet import AlexNet
from nin.networks.googlenet import GoogLeNet
from nin.networks.nin import NiN
from nin.networks.resnet import ResNet18
from nin.networks.summary import layers, output_shape, parameter_count


def test_shapes_are_those_of_a_real_image() -> None:
    network = NiN().eval()
    seen: list[tuple[int, ...]] = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape[1:])))
    network(torch.randn(1, 1, 131, 131))
    assert [layer.output_shape for layer in layers(NiN(), 1, 131)] == seen


def test_parameters_and_multiply_adds_add_up() -> None:
    found = layers(NiN(), 1, 67)
    assert sum(layer.parameters for layer in found) == parameter_count(NiN())
    assert round(sum(layer.multiply_adds for layer in found) / 1e6) == 54
    assert round(sum(layer.multiply_adds for layer in layers(NiN(), 1, 224)) / 1e6) == 762


def test_a_layer_by_hand() -> None:
    first = layers(NiN(), 1, 224)[0]
    assert (first.name, first.kind, first.kernel, first.stride, first.padding) == ("n1.0", "Conv2d", 11, 4, 0)
    assert first.output_shape == (96, 54, 54)
    assert first.parameters == 96 * (11 * 11 + 1)
    assert first.multiply_adds == 96 * 54 * 54 * 11 * 11


def test_a_dense_layer_costs_a_multiply_add_for_each_weight() -> None:
    with torch.device("meta"):
        network = AlexNet()
    dense = [layer for layer in layers(network, 1, 224) if layer.kind == "Linear"]
    assert [layer.multiply_adds for layer in dense] == [6400 * 4096, 4096 * 4096, 4096 * 10]


def test_a_grouped_convolution_costs_as_if_each_group_were_alone() -> None:
    (layer,) = layers(nn.Sequential(nn.Conv2d(4, 8, kernel_size=3, padding=1, groups=2)), 4, 10)
    assert (layer.name, layer.parameters, layer.multiply_adds) == ("0", 8 * (2 * 9 + 1), 8 * 100 * 2 * 9)


def test_a_size_that_the_network_cannot_take_is_an_error() -> None:
    with pytest.raises(NinError, match="at least 67"):
        layers(NiN(), 1, 66)


def test_the_network_is_left_as_it_was() -> None:
    network = NiN().double().train()
    layers(network, 1, 67)
    assert network.training
    assert network.n1[0].weight.device.type == "cpu"
    assert network.n1[0].weight.dtype == torch.float64
    assert not network.n1[0]._forward_hooks


@pytest.fixture
def odd_defaults() -> Iterator[None]:
    """Set defaults for dtype and device as the program around us might, and put them back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)
    torch.set_default_dtype(before)


def test_the_program_s_default_dtype_and_device_do_not_matter(odd_defaults: None) -> None:
    expected = [layer.output_shape for layer in layers(NiN(), 1, 67)]
    for device, dtype in (("cpu", torch.float32), ("cpu", torch.float64), ("meta", torch.bfloat16)):
        network = NiN().to_empty(device=device).to(dtype)
        assert [layer.output_shape for layer in layers(network, 1, 67)] == expected


def test_the_branches_of_a_block_are_told_apart() -> None:
    found = [layer for layer in layers(GoogLeNet(), 1, 64) if layer.block == "b3.0" and layer.kind != "ReLU"]
    assert {layer.block_kind for layer in found} == {"Inception"}
    assert [(layer.kind, layer.kernel, layer.branch) for layer in found] == [
        ("Conv2d", 1, 0),
        ("Conv2d", 1, 1),
        ("Conv2d", 3, 1),
        ("Conv2d", 1, 2),
        ("Conv2d", 5, 2),
        ("MaxPool2d", 3, 3),
        ("Conv2d", 1, 3),
    ]


@pytest.mark.parametrize(("block", "skip"), [("b2.0", "Identity"), ("b3.0", "Conv2d")])
def test_a_layer_after_a_sum_belongs_to_no_branch(block: str, skip: str) -> None:
    found = [layer for layer in layers(ResNet18(), 1, 64) if layer.block == block]
    assert [(layer.kind, layer.branch) for layer in found] == [
        ("Conv2d", 0),
        ("ReLU", 0),
        ("Conv2d", 0),
        (skip, 1),
        ("ReLU", None),
    ]


def test_layers_of_a_network_without_blocks_are_in_a_single_line() -> None:
    found = layers(NiN(), 1, 67)
    assert {(layer.block, layer.block_kind, layer.branch) for layer in found} == {("", "", 0)}
    for before, after in pairwise(found):
        assert after.input_shape == before.output_shape


def test_the_output_shape_is_that_of_a_real_image() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = NiN(num_classes=4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.network(images)] * 2, dim=1)

    assert output_shape(Doubled(), 1, 67) == tuple(Doubled().eval()(torch.zeros(1, 1, 67, 67)).shape[1:]) == (8,)
