"""Is GoogLeNet the textbook's and the paper's?"""

import pytest
import torch

from nin.networks.googlenet import GoogLeNet, Inception
from nin.networks.summary import layers, parameter_count


def test_the_parameter_count_is_that_of_its_publication():
    with torch.device("meta"):
        assert (
            parameter_count(GoogLeNet(3, 1000)) == 6_998_552
        )  # the authors' Caffe model without auxiliary classifiers
        # Two colours and 990 classes less: 64 kernels of 7x7 for each colour, 1,024 weights and a bias for each class.
        assert parameter_count(GoogLeNet()) == 6_998_552 - 2 * 64 * 49 - 990 * 1025 == 5_977_530


def test_an_inception_block_puts_four_branches_one_after_the_other():
    block = Inception(8, 4, (3, 5), (2, 6), 7)
    images = torch.randn(2, 8, 9, 9)
    found = block(images)
    assert found.shape == (2, 4 + 5 + 6 + 7, 9, 9)
    torch.testing.assert_close(found[:, :4], block.b1(images))
    torch.testing.assert_close(found[:, -7:], block.b4(images))


@pytest.mark.parametrize(("size", "side"), [(32, 1), (96, 3), (224, 7)])
def test_what_is_pooled_has_1024_channels_at_a_32nd_of_the_side(size: int, side: int):
    with torch.device("meta"):
        found = layers(GoogLeNet(), 1, size)
    (pool,) = [layer for layer in found if layer.kind == "AdaptiveAvgPool2d"]
    assert pool.input_shape == (1024, side, side)
