"""Is LeNet the textbook's, at any size that a recipe wants?"""

import pytest
import torch

from nin.errors import NinError
from nin.networks.lenet import LeNet
from nin.networks.summary import parameter_count


def test_the_parameter_count_is_the_papers_arithmetic():
    # 6 kernels of 5x5 and their biases, 16 of 6x5x5, and dense layers of 400 -> 120 -> 84 -> 10.
    assert parameter_count(LeNet()) == 6 * 26 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85 == 61_706


@pytest.mark.parametrize("size", [12, 13, 28, 32, 67])
def test_it_gives_logits_of_images_of_its_size(size: int):
    logits = LeNet(3, 7, size=size)(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def test_a_size_too_small_is_refused():
    with pytest.raises(NinError, match="at least 12x12, not 11x11"):
        LeNet(size=11)
