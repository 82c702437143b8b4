"""Is VGG-11 the textbook's, at any size that a recipe wants?"""

import pytest
import torch
from torch import nn

from nin.errors import NinError
from nin.networks.summary import parameter_count
from nin.networks.vgg import VGG


def test_the_parameter_count_is_the_textbooks():
    with torch.device("meta"):
        assert parameter_count(VGG()) == 128_806_154


@pytest.mark.parametrize("size", [32, 67, 96])
def test_it_gives_logits_of_images_of_its_size(size: int):
    logits = VGG(3, 7, size=size)(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def test_a_size_too_small_is_refused():
    with pytest.raises(NinError, match="at least 32x32, not 31x31"):
        VGG(size=31)


def test_dropout_is_the_one_asked_for():
    with torch.device("meta"):
        network = VGG(size=96, dropout=0.25)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.25, 0.25]
