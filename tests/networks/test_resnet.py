"""Is ResNet-18 the textbook's and the paper's?"""

import pytest
import torch
from torch import nn

from nin.networks.batch_norm import with_batch_norm
from nin.networks.resnet import Residual, ResNet18
from nin.networks.summary import layers, parameter_count


def test_the_parameter_count_of_the_variant_is_that_of_its_publication():
    with torch.device("meta"):
        assert parameter_count(with_batch_norm(ResNet18(3, 1000))) == 11_689_512  # torchvision's, of ImageNet
        # Two colours and 990 classes less: 64 kernels of 7x7 for each colour, 512 weights and a bias for each class.
        assert parameter_count(with_batch_norm(ResNet18())) == 11_689_512 - 2 * 64 * 49 - 990 * 513 == 11_175_370


def test_it_has_18_layers_with_weights_besides_the_1x1_convolutions():
    kernels = [module.kernel_size for module in ResNet18().modules() if isinstance(module, nn.Conv2d)]
    assert len([kernel for kernel in kernels if kernel != (1, 1)]) + 1 == 18
    assert kernels.count((1, 1)) == 3


@pytest.mark.parametrize(("out_channels", "stride"), [(8, 1), (8, 2), (16, 1)])
def test_a_residual_block_without_its_convolutions_is_its_input(out_channels: int, stride: int):
    block = Residual(8, out_channels, stride)
    nn.init.zeros_(block.convolutions[2].weight)
    nn.init.zeros_(block.convolutions[2].bias)
    images = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(block(images), block.skip(images).relu())
    assert isinstance(block.skip, nn.Identity) == (out_channels == 8 and stride == 1)


@pytest.mark.parametrize(("size", "side"), [(32, 1), (96, 3), (224, 7)])
def test_what_is_pooled_has_512_channels_at_a_32nd_of_the_side(size: int, side: int):
    with torch.device("meta"):
        found = layers(ResNet18(), 1, size)
    (pool,) = [layer for layer in found if layer.kind == "AdaptiveAvgPool2d"]
    assert pool.input_shape == (512, side, side)
