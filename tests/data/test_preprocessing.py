"""Does preprocessing do what it says, and the same for one image as for many?"""

import pytest
import torch
import torch.nn.functional as F
from program_around import SETTINGS, program_around

from nin.data.images import LabelledImages
from nin.data.preprocessing import Preprocessing, channel_statistics, preprocessing_for
from nin.errors import OptionError


def test_statistics_are_those_of_all_pixels_as_floats():
    images = torch.randint(0, 256, (50, 3, 9, 7), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    floats = images.double() / 255
    assert mean == pytest.approx(floats.mean(dim=(0, 2, 3)).tolist())
    assert std == pytest.approx(floats.std(dim=(0, 2, 3), correction=0).tolist())


def test_with_their_own_statistics_images_have_mean_0_and_standard_deviation_1():
    images = torch.randint(0, 256, (50, 3, 28, 28), dtype=torch.uint8)
    data = LabelledImages(images, torch.zeros(50, dtype=torch.int64), ("all",))
    preprocessing = preprocessing_for(data, 28)
    assert (preprocessing.size, preprocessing.channels) == (28, 3)
    floats = preprocessing(images)
    torch.testing.assert_close(floats.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(floats.std(dim=(0, 2, 3), correction=0), torch.ones(3))


def test_without_normalisation_pixels_are_0_to_1():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    data = LabelledImages(images, torch.zeros(1, dtype=torch.int64), ("all",))
    assert preprocessing_for(data, 2, normalise=False)(images).flatten().tolist() == [0, 1, 0, 1]


def test_resizing_keeps_an_image_upright_and_in_its_range():
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    images[:, :, :14] = 255  # light above, dark below
    resized = Preprocessing(67, (0.0,), (1.0,))(images)
    assert resized.shape == (1, 1, 67, 67)
    assert resized[:, :, :30].min() == 1
    assert resized[:, :, 37:].max() == 0
    assert 0 <= resized.min() <= resized.max() <= 1


def test_shrinking_averages_instead_of_skipping_pixels():
    noise = 255 * torch.randint(2, (1, 1, 128, 128), dtype=torch.uint8)
    shrunk = Preprocessing(8, (0.0,), (1.0,))(noise)
    # Each pixel is a mean of 256 or more, of standard deviation 0.03 or less; of a mean of four it would be 0.25.
    assert shrunk.sub(0.5).abs().max() < 0.15
    assert shrunk.std() < 0.06


def test_an_image_is_preprocessed_alike_alone_and_in_a_batch():
    preprocessing = Preprocessing(67, (0.3,), (0.4,))
    images = torch.randint(0, 256, (9, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(preprocessing(images[4:5]), preprocessing(images)[4:5])


def test_a_channel_without_contrast_becomes_zero():
    images = torch.full((2, 1, 28, 28), 7, dtype=torch.uint8)
    assert not Preprocessing(67, *channel_statistics(images))(images).any()


@pytest.mark.parametrize(
    ("size", "mean", "std", "said"),
    [
        (0, (0.0,), (1.0,), "at least 1 pixel, not 0"),
        (67, (), (), "a value for each channel"),
        (67, (0.0, 0.0), (1.0,), "a value for each channel"),
        (67, (float("nan"),), (1.0,), "mean must be finite"),
        (67, (0.0,), (float("inf"),), "std must be finite and not negative"),
        (67, (0.0,), (-1.0,), "std must be finite and not negative"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(
    size: int, mean: tuple[float, ...], std: tuple[float, ...], said: str
):
    with pytest.raises(OptionError, match=said):
        Preprocessing(size, mean, std)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_program_around_change_nothing(setting: str):
    images = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    floats = images.float() / 255
    expected = F.interpolate((floats - floats.mean()) / floats.std(correction=0), size=(40, 40), mode="bilinear")
    preprocessing = Preprocessing(40, *channel_statistics(images))
    with program_around(setting):
        assert Preprocessing(40, *channel_statistics(images)) == preprocessing
        inside = preprocessing(images)
    for found in (inside, preprocessing(images)):  # nothing that is kept between calls is of those settings either
        assert (found.dtype, found.device.type) == (torch.float32, "cpu")
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
