"""Are the baselines the textbook's, at any size that a recipe wants?"""

import pytest
import torch

from nin.baselines import VGG, AlexNet
from nin.errors import NinError
from nin.summary import parameter_count


def test_parameter_counts_are_the_textbooks():
    with torch.device("meta"):
        assert parameter_count(AlexNet()) == 46_764_746
        assert parameter_count(VGG()) == 128_806_154


@pytest.mark.parametrize("size", [65, 67, 96, 131])
def test_alexnet_scores_pictures_of_its_size(size: int):
    assert AlexNet(3, 7, size=size)(torch.randn(2, 3, size, size)).shape == (2, 7)


@pytest.mark.parametrize("size", [32, 67, 96])
def test_vgg_scores_pictures_of_its_size(size: int):
    assert VGG(3, 7, size=size)(torch.randn(2, 3, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("network", "size"), [(AlexNet, 64), (VGG, 31)])
def test_a_size_too_small_is_refused(network: type[AlexNet | VGG], size: int):
    with pytest.raises(NinError, match=f"{size}x{size}"):
        network(size=size)
