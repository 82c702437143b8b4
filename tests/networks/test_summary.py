"""Does the summary tell what really happens in each layer?"""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from nin.errors import NinError
from nin.networks.alexnet import AlexNet
from nin.networks.nin import NiN
from nin.networks.summary import layers, parameter_count


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
