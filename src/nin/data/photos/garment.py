"""How does a photo become an image like Fashion-MNIST's? Trimmed, resized, sharpened, centred, inverted."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from nin.choices import Invert
from nin.data.photos.photo import defects_of
from nin.data.photos.photo_colour import on_white, orientation_of, upright
from nin.errors import OptionError


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as the network's training images were.

    Attributes:
        image: uint8, (channels, side, side).
        inverted: whether light and dark were swapped for that.

    """

    image: np.ndarray  # without jaxtyping: importing it takes half as long as all that decodes photos
    inverted: bool


def prepare_garment(photo: Image.Image, channels: int = 1, side: int = 28, invert: Invert = "auto") -> Prepared:
    """Prepare a photo as Fashion-MNIST's authors prepared theirs (Xiao et al. 2017, arXiv 1708.07747, section 2).

    In their order: trim borders of the corners' colour, resize the longest edge to `side`, sharpen, centre in a square,
    swap light and dark, convert to greyscale (1 channel; 3 stay RGB). `invert` says whether to swap: "auto" does where
    the photo's border is bright, because the garments are light on black. A photo of `side` x `side` is taken to be
    prepared already, and is only swapped and converted: an image of Fashion-MNIST comes out as it went in.

    Raises:
        PhotoError: a photo without pixels, with more than MAX_PIXELS, or one that cannot be decoded.
        OptionError: channels other than 1 or 3, a side below 1, or another `invert`.

    """
    check_options(channels, side, invert)
    with defects_of("the photo"):
        rgb = on_white(photo)
        rgb = upright(rgb, orientation_of(photo))
        rgb = rgb.reduce(max(1, max(rgb.size) // (16 * side)))  # what follows then costs little, whatever the size
        # The mean brightness of the border is below 105 for all 60,000 of Fashion-MNIST.
        inverted = invert == "yes" or (invert == "auto" and float(border(rgb.convert("L")).mean()) >= 128)
        if rgb.size != (side, side):
            rgb = _fit(rgb, side)
        return as_prepared(rgb, channels, inverted)


def check_options(channels: int, side: int, invert: str) -> None:
    """Raise OptionError for channels other than 1 or 3, a side below 1, or an `invert` that is none."""
    if channels not in (1, 3) or side < 1 or invert not in get_args(Invert):
        raise OptionError(
            f"channels must be 1 or 3, side at least 1, and invert one of {', '.join(get_args(Invert))}, "
            f"not {channels}, {side} and {invert!r}"
        )


def as_prepared(photo: Image.Image, channels: int, inverted: bool) -> Prepared:
    """Return a square photo, RGB or "L", as an image of so many channels, its light and dark swapped if `inverted`."""
    photo = ImageOps.invert(photo) if inverted else photo
    pixels = np.asarray(photo if channels == 3 else photo.convert("L"))
    return Prepared(pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1).copy(), inverted)


def border(photo: Image.Image) -> np.ndarray:
    """Return the outermost pixels of a photo: uint8, (pixels, channels)."""
    pixels = np.asarray(photo)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _fit(rgb: Image.Image, side: int) -> Image.Image:
    """Trim, resize, sharpen and centre a photo, on the colour of its corners.

    Resized by a filter that averages, where the paper skips rows and columns: that was fair to its thumbnails of
    51 x 73, but of a photograph it would pick a few pixels by chance, and turn fabric into noise (aliasing).
    """
    pixels = np.asarray(rgb).astype(np.int16)
    background = np.median(pixels[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)  # one corner may be covered
    garment = (np.abs(pixels - background.astype(np.int16)) > 0.05 * 255).any(axis=2)
    if garment.any():  # else there is one colour only, and the photo stays whole
        rows, columns = garment.any(axis=1).nonzero()[0], garment.any(axis=0).nonzero()[0]
        rgb = rgb.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    width, height = (max(1, round(length * side / max(rgb.size))) for length in rgb.size)
    rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
    # A Gaussian of radius and deviation 1.0; 80 % weigh the middle pixel as the usual 3x3 operator does, with 1.66.
    rgb = rgb.filter(ImageFilter.UnsharpMask(radius=1, percent=80, threshold=0))
    canvas = Image.new("RGB", (side, side), tuple(int(value) for value in background))
    canvas.paste(rgb, ((side - width) // 2, (side - height) // 2))
    return canvas
