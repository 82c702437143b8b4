"""Does any photo become an image whole, in its colours, as the fit says and as the network's images are resized?"""

import io
import subprocess
import sys
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from nin.choices import Fit
from nin.data.photos.garment import prepare_garment
from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, has_colour, prepare
from nin.data.preprocessing import Preprocessing
from nin.errors import NinError, OptionError, PhotoError

RED, GREEN, BLUE = (200, 30, 20), (20, 190, 40), (10, 20, 210)
FITS = get_args(Fit)


def prepared(photo: Image.Image, fit: Fit = "pad", channels: int = 3, side: int = 60, **options: object) -> np.ndarray:
    """Prepare a photo, and return it as people look at it, (side, side, channels)."""
    image = prepare(photo, Preparation("photo", fit), channels, side, **options).image
    assert image.dtype == np.uint8
    assert image.shape == (channels, side, side)
    return image.transpose(1, 2, 0)


def thirds(width: int = 300, height: int = 100) -> Image.Image:
    """Return three upright stripes, red, green and blue."""
    photo = Image.new("RGB", (width, height), RED)
    photo.paste(GREEN, (width // 3, 0, width, height))
    photo.paste(BLUE, (2 * width // 3, 0, width, height))
    return photo


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return a photo whose neighbouring pixels are alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(photo: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    photo.save(file, file_format, **options)
    return file.getvalue()


# --- The three ways to become square ---


def test_padding_keeps_the_photo_whole_and_fills_up_with_the_mean_colour_of_its_border():
    photo = Image.new("RGB", (300, 100), (100, 100, 100))
    photo.paste((240, 200, 0), (0, 0, 300, 50))  # half of the border
    photo.paste(BLUE, (50, 20, 250, 80))
    shown = prepared(photo)
    assert (shown[25:35, 12:48] == BLUE).all()
    assert (shown[:20] == (170, 150, 50)).all()
    assert (shown[40:] == (170, 150, 50)).all()
    assert (shown[21, 1:59] == (240, 200, 0)).all()
    assert (prepared(photo.transpose(Image.Transpose.ROTATE_90))[:, :20] == (170, 150, 50)).all()


def test_cropping_keeps_the_middle_and_stretching_keeps_all():
    assert (prepared(thirds(), "crop")[:, 1:-1] == GREEN).all()
    stretched = prepared(thirds(), "stretch")
    for column, colour in ((5, RED), (30, GREEN), (55, BLUE)):
        assert (stretched[:, column] == colour).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_photo_of_the_networks_size_comes_out_pixel_for_pixel(fit: Fit, channels: int):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, channels), np.uint8)
    photo = read_photo(encoded(Image.fromarray(pixels.squeeze())))
    np.testing.assert_array_equal(prepared(photo, fit, channels, 32), pixels)


def test_what_fits_one_edge_already_is_only_padded_or_cut_and_not_resampled():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8)
    photo = Image.fromarray(pixels)
    np.testing.assert_array_equal(prepared(photo, "pad", side=33)[6:26], pixels)
    np.testing.assert_array_equal(prepared(photo, "crop", side=20), pixels[:, 6:26])


@pytest.mark.parametrize("size", [(32, 32), (48, 48), (200, 150), (1200, 900)])
def test_photos_are_resized_by_the_filter_that_resizes_images_for_the_network(size: tuple[int, int]):
    photo = smooth(*size)
    images = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None]
    expected = 255 * Preprocessing(67, (0.0,) * 3, (1.0,) * 3)(images)[0].permute(1, 2, 0).numpy()
    assert np.abs(prepared(photo, "stretch", side=67) - expected).max() < 1.5  # of 255


def test_fine_fabric_is_averaged_instead_of_becoming_noise():
    fabric = np.where(np.indices((1400, 1400)).sum(0) % 3 == 0, 255, 0).astype(np.uint8)
    assert prepared(Image.fromarray(fabric), "stretch").std() < 2


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (100_000, 40), (61, 60)])
def test_any_shape_becomes_a_square_and_one_colour_stays_that_colour(fit: Fit, size: tuple[int, int]):
    assert (prepared(Image.new("RGB", size, RED), fit) == RED).all()
    assert (prepared(Image.new("L", size, 90), fit, channels=1, side=5) == 90).all()


@pytest.mark.parametrize("fit", FITS)
def test_a_line_of_pixels_as_long_as_a_photo_may_be_takes_no_memory_of_a_square(fit: Fit):
    line = Image.new("L", (1, 10_000_000), 90)  # 67 wide before it is shortened, it would be 670 million pixels
    assert (prepared(line, fit, side=67) == 90).all()


# --- Which colours ---


def test_one_channel_is_the_brightness_and_grey_stays_what_it_was():
    assert prepared(Image.new("RGB", (80, 80), RED), channels=1)[0, 0, 0] == round(
        0.299 * 200 + 0.587 * 30 + 0.114 * 20
    )
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert prepared(ramp, channels=1, side=16).ravel().tolist() == list(range(256))


@pytest.mark.parametrize("fit", FITS)
def test_the_channels_of_a_grey_photo_are_each_what_one_channel_would_be(fit: Fit):
    photo = smooth(130, 90).convert("L")
    np.testing.assert_array_equal(prepared(photo, fit), prepared(photo, fit, channels=1).repeat(3, axis=2))


def test_what_is_transparent_is_white():
    photo = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    photo.paste((*BLUE, 255), (0, 0, 30, 60))
    for given in (photo, read_photo(encoded(photo)), read_photo(encoded(photo, "WEBP", lossless=True))):
        shown = prepared(given)
        assert (shown[:, :30] == BLUE).all()
        assert (shown[:, 30:] == 255).all()


@pytest.mark.parametrize(
    "mode",
    "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B I;16L I;16N".split(" "),  # noqa: SIM905
)
def test_every_mode_becomes_an_image(mode: str):
    for channels in (1, 3):
        prepared(Image.new(mode, (50, 40)), channels=channels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_is_applied_once_whoever_opens_the_photo(file_format: str):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise makes it upright
    content = encoded(thirds(), file_format, exif=exif)
    read = prepared(read_photo(content))
    with Image.open(io.BytesIO(content)) as opened:
        np.testing.assert_array_equal(prepared(opened), read)
    for row, colour in ((5, RED), (30, GREEN), (55, BLUE)):  # from top to bottom, where they lay from left to right
        assert np.abs(read[row, 25:35] - np.int16(colour)).max() < 12


def test_light_and_dark_are_swapped_only_when_asked():
    photo = Image.new("RGB", (60, 60), (250, 240, 230))
    for invert in ("auto", "no"):
        shown = prepare(photo, Preparation("photo"), 3, 60, invert)
        assert not shown.inverted
        assert shown.image[:, 0, 0].tolist() == [250, 240, 230]
    shown = prepare(photo, Preparation("photo"), 3, 60, "yes")
    assert shown.inverted
    assert shown.image[:, 0, 0].tolist() == [5, 15, 25]
    assert prepare(photo, Preparation("photo"), 1, 60, "yes").image[0, 0, 0] == 255 - 242


def test_a_garment_is_prepared_as_one():
    photo = Image.new("L", (60, 90), 250)
    photo.paste(30, (20, 20, 40, 70))
    shown = prepare(photo, Preparation("garment"), 1, 28)
    expected = prepare_garment(photo)
    np.testing.assert_array_equal(shown.image, expected.image)
    assert shown.inverted is expected.inverted is True
    assert not prepare(photo, Preparation("garment"), 1, 28, "no").inverted


def test_preparing_leaves_the_photo_given_as_it_was_and_gives_an_image_of_ones_own():
    photo = smooth(40, 40)
    before = photo.tobytes()
    for invert in ("no", "yes"):
        image = prepare(photo, Preparation("photo"), 3, 40, invert).image
        image[:] = 7  # writable, as torch.from_numpy wants it
        assert image.flags.c_contiguous
    assert photo.tobytes() == before


# --- Whether a photo has colour ---


def grey(seed: int = 0) -> np.ndarray:
    """Return a grey photo with all shades: int, (80, 80, 1)."""
    return np.asarray(smooth(80, 80, seed).convert("L")).astype(int)[..., None]


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("noise", [0, 2])
def test_a_grey_photo_saved_in_colour_has_none(file_format: str, noise: int):
    rng = np.random.default_rng(0)
    for quality in (30, 75, 95, 100):
        pixels = np.clip(grey() + rng.integers(-noise, noise + 1, (80, 80, 3)), 0, 255).astype(np.uint8)
        photo = read_photo(encoded(Image.fromarray(pixels), file_format, quality=quality))
        assert not has_colour(prepare(photo, Preparation("photo"), 3, 80).image)


def test_one_pixel_of_a_faint_colour_is_colour():
    image = prepare(Image.fromarray(grey()[..., 0].astype(np.uint8)), Preparation("photo"), 3, 80).image
    assert not has_colour(image)
    for channel in range(3):
        tinted = image.copy()
        tinted[channel, 40, 40] = 200 if image[channel, 40, 40] < 128 else 50
        assert has_colour(tinted)
    cream = prepare(Image.new("RGB", (9, 9), (255, 250, 240)), Preparation("photo"), 3, 9)
    assert has_colour(cream.image)


# --- What is wrong ---


@pytest.mark.parametrize("options", [{"channels": 2}, {"side": 0}, {"invert": "maybe"}])
def test_options_out_of_range_are_refused(options: dict[str, object]):
    given = {"channels": 1, "side": 28} | options
    function = getattr(prepare, "__wrapped__", prepare)  # without the types that tests check
    with pytest.raises(NinError, match=str(next(iter(options.values())))):
        function(Image.new("L", (5, 5)), Preparation("photo"), **given)


def test_a_kind_or_fit_that_is_none_is_one_line():
    with pytest.raises(OptionError, match=r"^fit must be one of pad, crop, stretch, not 'padd'$"):
        Preparation("photo", "padd")
    with pytest.raises(OptionError, match=r"^kind must be one of garment, photo, not 'shirt'$"):
        Preparation("shirt")
    for wrong in ({"kind": "shirt"}, {"fit": "padd"}, {"side": 3}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Preparation)


def test_a_photo_given_by_a_program_has_the_bounds_of_a_file():
    with pytest.raises(PhotoError, match="100000 x 501 pixels"):
        prepared(Image.new("1", (100_000, 501)))
    with pytest.raises(PhotoError, match="0 x 5 pixels"):
        prepared(Image.new("L", (0, 5)))
    with pytest.raises(PhotoError, match="decoded"):
        prepared(Image.open(io.BytesIO(encoded(smooth(50, 50))[:60])))


def test_processes_that_decode_photos_need_no_torch():
    program = "import sys, nin.data.photos.preparation; print(sorted({'torch', 'jaxtyping'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
