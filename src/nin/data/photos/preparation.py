"""How does a photo become an image? The two preparations, one of which every model keeps in its config.json.

Nothing here, nor what it imports, needs torch: the processes that decode photos start in a tenth of a second.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec
import numpy as np
from PIL import Image

from nin.choices import Fit, Invert, check_choice
from nin.data.photos.garment import Prepared, as_prepared, border, check_options, prepare_garment
from nin.data.photos.photo import defects_of
from nin.data.photos.photo_colour import on_white, orientation_of, upright

Kind = Literal["garment", "photo"]

_NOISE: Final = 8  # grey with noise of 2 in each channel differs by 7 at most, saved as JPEG or WebP of any quality


class Preparation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How photos become images.

    Attributes:
        kind: "garment", as Fashion-MNIST's authors prepared theirs (`nin.data.photos.garment`); or "photo", turned
            upright and made square as `fit` says.
        fit: how a photo that is not square becomes so, with the kind "photo": "pad" with the border's mean colour,
            "crop" to the middle, or "stretch".

    Raises:
        OptionError: another kind or fit.

    """

    kind: Kind = "garment"
    fit: Fit = "pad"

    def __post_init__(self) -> None:
        """Check the names."""
        check_choice("kind", self.kind, Kind)
        check_choice("fit", self.fit, Fit)


def prepare(
    photo: Image.Image, preparation: Preparation, channels: int, side: int, invert: Invert = "auto"
) -> Prepared:
    """Prepare a photo as an image of `side` x `side`, uint8.

    Of the kind "garment" as `prepare_garment` does. Of the kind "photo" it is turned upright, put on white where it is
    transparent, made grey for 1 channel (ITU-R 601), and resized as the `fit` says. A photo of `side` x `side` comes
    out pixel for pixel as it went in.

    Args:
        photo: of any mode and size, as `read_photo` or a program has opened it; it stays as it is.
        preparation: which.
        channels: 1 or 3.
        side: in pixels.
        invert: whether to swap light and dark. "auto" does for a garment on a bright ground, and never for a "photo".

    Raises:
        PhotoError: a photo without pixels, with more than MAX_PIXELS, or one that cannot be decoded.
        OptionError: channels other than 1 or 3, a side below 1, or another `invert`.

    """
    if preparation.kind == "garment":
        return prepare_garment(photo, channels, side, invert)
    check_options(channels, side, invert)
    with defects_of("the photo"):
        shown = upright(on_white(photo), orientation_of(photo))
        shown = shown if channels == 3 else shown.convert("L")
        return as_prepared(_FITS[preparation.fit](shown, side), channels, inverted=invert == "yes")


def has_colour(image: np.ndarray) -> bool:
    """Tell whether a pixel's red, green and blue differ by more than the noise of a grey photo that was saved as RGB.

    Args:
        image: uint8, (3, height, width), as in `Prepared`.

    """
    return bool((image.max(axis=0) - image.min(axis=0)).max() > _NOISE)


# --- How a photo that is not square becomes so: RGB or "L" of any size in, `side` x `side` out ---


def _pad(photo: Image.Image, side: int) -> Image.Image:
    """Resize a photo whole, its longest edge to `side`, and centre it on the mean colour of its border.

    The border is the outermost pixels at the new size, so that the fill goes on as the photo ends: those of a large
    photo may be a hairline that a scanner left.
    """
    width, height = (max(1, round(length * side / max(photo.size))) for length in photo.size)
    resized = _resize(photo, (width, height))
    if width == height:
        return resized
    mean = border(resized).mean(axis=0)
    canvas = Image.new(photo.mode, (side, side), tuple(map(round, mean.tolist())))
    canvas.paste(resized, ((side - width) // 2, (side - height) // 2))
    return canvas


def _crop(photo: Image.Image, side: int) -> Image.Image:
    """Resize the square in the middle of a photo."""
    width, height = photo.size
    edge = min(width, height)
    left, upper = (width - edge) // 2, (height - edge) // 2
    return _resize(photo, (side, side), (left, upper, left + edge, upper + edge))


def _stretch(photo: Image.Image, side: int) -> Image.Image:
    """Resize both edges of a photo to `side`."""
    return _resize(photo, (side, side))


_FITS: Final[Mapping[Fit, Callable[[Image.Image, int], Image.Image]]] = {
    "pad": _pad,
    "crop": _crop,
    "stretch": _stretch,
}


def _resize(photo: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """Resize a photo, or the (left, upper, right, lower) of it, to (width, height), antialiased.

    Bilinear, as `nin.data.preprocessing` and torchvision's `Resize` do: a network then sees one filter whichever of
    the two resizes, and no halos at edges, which sharper filters draw. An edge that is over six times too long is
    first averaged over whole pixels: a photo of 12 megapixels then takes a fifth of the time, and a line of 50,000,000
    pixels is not as wide as the result before it is as short.
    """
    return photo.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=3.0)
