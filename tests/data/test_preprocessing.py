"""Does the one preparation do what it says, and the same for one picture as for many?"""

import pytest
import torch

from nin.preprocessing import channel_statistics, prepare


def test_statistics_are_those_of_all_pixels_as_floats():
    images = torch.randint(0, 256, (50, 3, 9, 7), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    floats = images.double() / 255
    assert mean == pytest.approx(floats.mean(dim=(0, 2, 3)).tolist())
    assert std == pytest.approx(floats.std(dim=(0, 2, 3), correction=0).tolist())


def test_prepared_with_their_own_statistics_pictures_have_mean_0_and_spread_1():
    images = torch.randint(0, 256, (50, 3, 28, 28), dtype=torch.uint8)
    prepared = prepare(images, 28, *channel_statistics(images))
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.std(dim=(0, 2, 3), correction=0), torch.ones(3))


def test_without_normalisation_pixels_are_0_to_1():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    assert prepare(images, 2, (0.0,), (1.0,)).flatten().tolist() == [0, 1, 0, 1]


def test_resizing_keeps_a_picture_upright_and_in_its_range():
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    images[:, :, :14] = 255  # light above, dark below
    prepared = prepare(images, 67, (0.0,), (1.0,))
    assert prepared.shape == (1, 1, 67, 67)
    assert prepared[:, :, :30].min() == 1
    assert prepared[:, :, 37:].max() == 0
    assert 0 <= prepared.min() <= prepared.max() <= 1


def test_shrinking_averages_instead_of_skipping_pixels():
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    images[..., ::2] = 255
    assert prepare(images, 8, (0.0,), (1.0,)).sub(0.5).abs().max() < 0.1


def test_a_picture_is_prepared_alike_alone_and_in_a_batch():
    images = torch.randint(0, 256, (9, 1, 28, 28), dtype=torch.uint8)
    together = prepare(images, 67, (0.3,), (0.4,))
    torch.testing.assert_close(prepare(images[4:5], 67, (0.3,), (0.4,)), together[4:5])


def test_a_channel_without_contrast_stays_finite():
    images = torch.full((2, 1, 28, 28), 7, dtype=torch.uint8)
    assert not prepare(images, 67, *channel_statistics(images)).any()
