"""Does any photo become an image like Fashion-MNIST's?"""

import io
from pathlib import Path

import numpy as np
import pytest
from garments import GARMENTS, t_shirt
from PIL import Image, ImageDraw

from nin.data.photos.garment import prepare_garment
from nin.data.photos.photo import read_photo
from nin.errors import NinError, PhotoError


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def read(image: Image.Image, file_format: str = "PNG", **options: object) -> Image.Image:
    return read_photo(encoded(image, file_format, **options))


def prepared(image: Image.Image, **options: object) -> np.ndarray:
    """Prepare an image, and return (28, 28) of its first channel."""
    return prepare_garment(image, **options).image[0]


def on(
    background: int, garment: int, box: tuple[int, int, int, int], size: tuple[int, int] = (600, 400)
) -> Image.Image:
    image = Image.new("L", size, background)
    image.paste(garment, box)
    return image


def test_a_garment_off_the_middle_of_a_white_image_fills_the_square_light_on_black():
    shown = prepare_garment(on(255, 60, (30, 200, 130, 400)))
    pixels = shown.image[0]
    assert shown.inverted
    assert shown.image.dtype == np.uint8
    assert (pixels[:, 7:21] > 150).all()  # 100 x 200 became 14 x 28, in the middle
    assert not pixels[:, :7].any()
    assert not pixels[:, 21:].any()


def test_a_dark_background_stays_dark():
    shown = prepare_garment(on(10, 200, (30, 200, 130, 400)))
    assert not shown.inverted
    assert shown.image[0, 14, 14] == 200
    assert shown.image[0, 14, 2] == 10


@pytest.mark.parametrize(("invert", "garment"), [("yes", 155), ("no", 100)])
def test_who_says_whether_to_invert_is_obeyed(invert: str, garment: int):
    for background in (0, 255):
        shown = prepare_garment(on(background, 100, (100, 100, 300, 300)), invert=invert)
        assert shown.inverted == (invert == "yes")
        assert shown.image[0, 14, 14] == garment


def test_one_garment_shows_the_same_in_every_size_place_and_format():
    garment = t_shirt()
    alone = prepared(garment).astype(float)
    wall = Image.new("RGB", (2000, 1500), "white")
    wall.paste(garment.resize((800, 1000)), (1100, 300))
    for other in (wall, read(wall, "JPEG"), read(garment, "WEBP", quality=90)):
        assert np.abs(prepared(other) - alone).mean() < 4


def test_noise_within_5_percent_is_background_and_more_is_not():
    noisy = on(240, 60, (100, 100, 200, 300))
    noisy.putpixel((5, 5), 228)
    assert prepared(noisy)[:, 10].min() > 150
    noisy.putpixel((5, 5), 220)
    assert prepared(noisy)[0, 10] < 50


def test_a_garment_that_covers_a_corner_is_not_taken_for_the_background():
    pixels = prepared(on(255, 80, (0, 0, 200, 100)))
    assert (pixels[8:20] > 150).all()


def test_outlines_are_sharpened():
    image = on(255, 155, (100, 100, 300, 300))
    ImageDraw.Draw(image).rectangle((150, 100, 249, 299), fill=55)
    pixels = prepared(image).astype(int)
    assert pixels[14, 7] > 210 > pixels[14, 14] == 200  # the dark stripe is darkest at its edge, here light on black
    assert pixels[14, 6] < 90 < pixels[14, 2] == 100  # and what it lies on is lightest there


def test_fine_fabric_is_averaged_instead_of_becoming_noise():
    fabric = np.full((700, 700), 255, np.uint8)
    fabric[70:630, 70:630] = np.where(np.indices((560, 560)).sum(0) % 3 == 0, 255, 0)
    assert prepared(Image.fromarray(fabric))[3:25, 3:25].std() < 3


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_fashion_mnist_comes_out_as_it_is(mode: str):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[3:20, 0:23] = np.random.default_rng(0).integers(0, 256, (17, 23))  # neither in the middle nor to the edge
    shown = prepare_garment(read(Image.fromarray(pixels).convert(mode)))
    np.testing.assert_array_equal(shown.image[0], pixels)
    assert not shown.inverted
    negative = prepare_garment(read(Image.fromarray(255 - pixels)))
    np.testing.assert_array_equal(negative.image[0], pixels)
    assert negative.inverted


def test_three_channels_keep_their_colours():
    image = Image.new("RGB", (300, 300), "black")
    image.paste((200, 100, 50), (50, 50, 250, 250))
    assert prepare_garment(image, channels=3).image[:, 14, 14].tolist() == [200, 100, 50]
    assert prepare_garment(image, channels=3, side=64).image.shape == (3, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (28, 1), (3000, 1), (1, 3000), (100_000, 40), (29, 28)])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_an_image_of_one_colour_stays_that_colour_whatever_its_shape(size: tuple[int, int], grey: int):
    shown = prepare_garment(Image.new("L", size, grey))
    assert (shown.image == (255 - grey if grey >= 128 else grey)).all()


def test_a_thin_garment_keeps_one_pixel():
    assert (prepared(on(255, 0, (10, 200, 590, 201))).max(axis=1) > 100).sum() == 1


@pytest.mark.parametrize("name", GARMENTS)
def test_the_garments_of_the_documentation_are_ready_to_try(name: str):
    path = Path(__file__).parents[2] / f"docs/garments/{name}.jpg"
    shown = prepare_garment(read_photo(path))
    light = shown.image[0] > 60
    assert path.stat().st_size < 20_000
    assert shown.inverted
    assert max(light.any(0).sum(), light.any(1).sum()) == 28
    assert not shown.image[0, [0, 0, -1], [0, -1, 0]].any()  # the heel of the boot stands in the last corner


def test_preparing_leaves_the_image_given_as_it_was():
    image = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 30, 15))
    before = image.tobytes(), image.mode
    prepare_garment(image)
    assert (image.tobytes(), image.mode) == before


@pytest.mark.parametrize("options", [{"channels": 2}, {"channels": 0}, {"side": 0}, {"invert": "maybe"}])
def test_options_out_of_range_are_refused(options: dict[str, object]):
    function = getattr(prepare_garment, "__wrapped__", prepare_garment)  # without the types that tests check
    with pytest.raises(NinError, match=str(next(iter(options.values())))):
        function(Image.new("L", (5, 5)), **options)


# ---------------------------------------------------------------------------------------------------------------------
# What a program has opened itself
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode",
    "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B I;16L I;16N".split(" "),  # noqa: SIM905
)
def test_every_mode_becomes_an_image(mode: str):
    assert prepare_garment(Image.new(mode, (50, 40)), channels=3).image.shape == (3, 28, 28)


def test_an_image_given_by_a_program_has_the_same_bounds():
    with pytest.raises(PhotoError, match="100000 x 501 pixels"):
        prepare_garment(Image.new("1", (100_000, 501)))
    with pytest.raises(PhotoError, match="0 x 5 pixels"):
        prepare_garment(Image.new("L", (0, 5)))
    half = encoded(t_shirt(), "PNG")[:60]
    with pytest.raises(PhotoError, match="decoded"):
        prepare_garment(Image.open(io.BytesIO(half)))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_is_applied_once_whoever_opens_the_photo(file_format: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = on(255, 60, (30, 200, 130, 400))
    content = encoded(lying, file_format, exif=exif)
    upright = prepared(Image.fromarray(np.asarray(read_photo(content))))
    np.testing.assert_array_equal(prepared(read_photo(content)), upright)
    with Image.open(io.BytesIO(content)) as opened:
        np.testing.assert_array_equal(prepared(opened), upright)
    assert (upright != prepared(lying)).any()


def test_a_photo_of_16_bits_is_as_bright_whoever_opens_it():
    values = np.add.outer(np.arange(40) * 400, np.arange(60) * 9).astype(np.uint16)
    content = encoded(Image.fromarray(values), "PNG")
    with Image.open(io.BytesIO(content)) as opened:
        np.testing.assert_array_equal(prepared(opened), prepared(read_photo(content)))
