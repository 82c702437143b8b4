"""Does the summary tell what really happens in each layer?"""

import torch

from nin.baselines import AlexNet
from nin.network import NiN
from nin.summary import layers, parameter_count


def test_shapes_are_those_of_a_real_picture():
    network = NiN().eval()
    met: list[tuple[int, ...]] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    for module in leaves:
        module.register_forward_hook(lambda _, inputs, output: met.append(tuple(output.shape[1:])))
    network(torch.randn(1, 1, 131, 131))
    assert [layer.output_shape for layer in layers(NiN(), 1, 131)] == met


def test_parameters_and_multiply_adds_add_up():
    found = layers(NiN(), 1, 67)
    assert sum(layer.parameters for layer in found) == parameter_count(NiN())
    assert round(sum(layer.multiply_adds for layer in found) / 1e6) == 54
    assert round(sum(layer.multiply_adds for layer in layers(NiN(), 1, 224)) / 1e6) == 762


def test_a_layer_by_hand():
    first = layers(NiN(), 1, 224)[0]
    assert (first.name, first.kind, first.kernel, first.stride, first.padding) == ("n1.0", "Conv2d", 11, 4, 0)
    assert first.output_shape == (96, 54, 54)
    assert first.parameters == 96 * (11 * 11 + 1)
    assert first.multiply_adds == 96 * 54 * 54 * 11 * 11


def test_a_dense_layer_costs_a_multiply_add_for_each_weight():
    dense = [layer for layer in layers(AlexNet(), 1, 224) if layer.kind == "Linear"]
    assert [layer.multiply_adds for layer in dense] == [6400 * 4096, 4096 * 4096, 4096 * 10]


def test_the_network_is_left_as_it_was():
    network = NiN().train()
    layers(network, 1, 67)
    assert network.training
    assert network.n1[0].weight.device.type == "cpu"
    assert not network.n1[0]._forward_hooks
