"""How does an image of any mode become RGB of 8 bits on white, and any number a shade?"""

import contextlib
from typing import Final

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from nin.errors import PhotoError

MAX_PIXELS: Final = 50_000_000  # what a phone takes; decoding one needs up to 850 MB

_UPRIGHT: Final = {  # how to undo an orientation of EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def check_size(size: tuple[int, int]) -> None:
    """Raise PhotoError for a (width, height) without pixels or with more than MAX_PIXELS."""
    width, height = size
    if width < 1 or height < 1:
        raise PhotoError(f"{width} x {height} pixels, where 1 to {MAX_PIXELS:,} are read; save it again")
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{width} x {height} pixels, where 1 to {MAX_PIXELS:,} are read; shrink it first")


def on_white(image: Image.Image) -> Image.Image:
    """Return an image of any mode and size as RGB of 8 bits, on white where it is transparent, as shops photograph.

    One that is plain RGB already is returned as it is.

    Raises:
        PhotoError: it has no pixels, or more than MAX_PIXELS, or floats that are not finite. Pillow may raise anything.

    """
    check_size(image.size)
    if type(image) is Image.Image and image.mode == "RGB" and not image.info:
        return image
    covered = image.tile[0][1] if isinstance(image, GifImageFile) and image.tile else None
    image.load()
    if image.mode[0] in "IF":
        return Image.fromarray(_grey(image)).convert("RGB")
    if not image.has_transparency_data or _alpha_is_unused(image):
        rgb = image.convert("RGB")
    else:
        rgba = image.convert("LA") if image.mode == "La" else image  # Pillow has no direct way from that one
        rgba = rgba if rgba.mode == "RGBA" else rgba.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba)
    if covered is not None and covered != (0, 0, *image.size):  # Pillow fills the rest with some colour
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(rgb.crop(covered), covered)
        rgb = canvas
    rgb.info = {}
    return rgb


def _alpha_is_unused(image: Image.Image) -> bool:
    """Tell whether every pixel of a BMP is transparent: painting programs leave its fourth byte at 0.

    What BMP's alpha means is custom. In PNG, WebP, TIFF and GIF it is defined, and such an image is blank.
    """
    return image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def _grey(image: Image.Image) -> np.ndarray:
    """Return (height, width) shades of an image with one number a pixel: 16 bits, 32 bits or floats."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or image.format == "PNG":
        shades = shades_of_integers(values.astype(np.uint16))
        if isinstance(clear := image.info.get("transparency"), int):
            shades[values == clear] = 255
        return shades
    return shades_of_floats(values.astype(np.float32))


def shades_of_integers(values: np.ndarray) -> np.ndarray:
    """Return the 8 high bits of integers: black is the least that their type holds, and white the largest.

    Raises:
        PhotoError: 32 bits that would all become about one shade, for they were never meant to fill their range.

    """
    if values.dtype == np.uint8:
        return values
    bits = 8 * values.dtype.itemsize
    if bits == 32 and 0 < (span := int(values.max()) - int(values.min())) < 2**24:
        raise PhotoError(
            f"32-bit integers from {values.min():,} to {values.max():,}, which differ by {span:,}: less than a shade "
            "of their range; save it with 8 or 16 bits"
        )
    unsigned = values.astype(f"u{bits // 8}") if values.dtype.kind == "i" else values
    if values.dtype.kind == "i":
        unsigned ^= unsigned.dtype.type(1 << (bits - 1))
    return (unsigned >> (bits - 8)).astype(np.uint8)


def shades_of_floats(values: np.ndarray) -> np.ndarray:
    """Return floats as shades, 0 to 255; nothing says what their white is, so it is guessed.

    White is the full scale of the fewest bits that hold the brightest pixel, 1 at least; black is 0, or the darkest
    pixel where that is negative. Raises PhotoError for numbers that are not finite.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise PhotoError("its pixels are not all finite numbers; save it as PNG")
    black = min(low, 0.0)
    white = next((full for bits in (1, 8, 10, 12, 14, 16) if high <= (full := 2**bits - 1)), high)
    white = high if 1 < high < 2 else white  # floats that overshoot 1 a little, and no 8 bits of blackness
    scaled = values - black
    scaled *= 255 / (white - black)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def orientation_of(image: Image.Image) -> int:
    """Return the orientation that an image from a program has in its EXIF, 1 to 8; 1 where that is damaged."""
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(0x0112, 1)
        return orientation if orientation in _UPRIGHT else 1
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an image as its camera was held, an `orientation` of EXIF."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
