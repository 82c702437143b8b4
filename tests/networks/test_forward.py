"""Are the logits of many images the network's own, whatever mode it is in and however many come at once?"""

import pytest
import torch
from program_around import SETTINGS, program_around
from torch import nn

from nin.data.preprocessing import Preprocessing
from nin.networks.forward import channels_last, compute_logits, evaluating, images_per_batch, regular_batches
from nin.networks.nin import NiN

PREPROCESSING = Preprocessing(67, (0.3,), (0.4,))


def test_logits_are_the_networks_own_in_eval_mode_whatever_the_batch():
    network = NiN(final_relu=False).train()
    images = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    many = images.repeat(80, 1, 1, 1)
    assert len(many) > images_per_batch(67), "one batch, and the test would show less"
    found = compute_logits(network, many, PREPROCESSING)
    assert network.training, "the mode is left as it was"
    with evaluating(network):
        expected = network(PREPROCESSING(images))
    assert found.shape == (560, 10)
    assert expected.any()
    torch.testing.assert_close(found[-7:], expected, rtol=1e-4, atol=1e-5)


def test_logits_are_float32_whatever_the_precision():
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    network = NiN(final_relu=False)
    exact = compute_logits(network, images, PREPROCESSING)
    rounded = compute_logits(network, images, PREPROCESSING, "bfloat16")
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.02)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back_after_an_error(training: bool):
    network = nn.Dropout().train(training)

    def fail() -> None:
        with evaluating(network):
            assert not network.training
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert network.training is training


def test_as_many_images_at_once_as_the_memory_is_meant_for():
    assert images_per_batch(1) == images_per_batch(67) == 500
    assert 1 < images_per_batch(224) < 50
    assert images_per_batch(1_000_000) == 1


def test_channels_last_changes_the_layout_and_no_logit():
    network = NiN(final_relu=False).eval()
    images = PREPROCESSING(torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8))
    before = network(images.contiguous())
    assert channels_last(network) is network
    assert network.n2[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(images), before)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_program_around_change_nothing(setting: str):
    network = NiN(final_relu=False)
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    expected = compute_logits(network, images, PREPROCESSING)
    with program_around(setting):
        found = compute_logits(network, images, PREPROCESSING)
    assert torch.equal(found, expected)


def test_batches_of_any_number_have_few_sizes():
    sizes: set[int] = set()
    for count in range(300):
        batches = list(regular_batches(range(count)))
        assert [item for batch in batches for item in batch] == list(range(count))
        sizes |= {len(batch) for batch in batches}
    assert sizes == {1, 2, 4, 8, 16, 32, 64}
