"""How are a TIFF's samples laid out, and which shades and colours are they?

Pillow decodes most TIFFs right, some wrong without a word (16 bits in separate planes, signed, white at zero), and says
of others only that it does not know them. So a layout is read here first. Uncompressed samples are taken from the file
directly; compressed ones go through Pillow as plain numbers, with every tag left out that it would get wrong; anything
else is refused by name.
"""

import contextlib
import ctypes
import io
import math
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, TiffImagePlugin

from nin.data.photos.photo_colour import shades_of_floats, shades_of_integers
from nin.data.photos.tiff_layout import PHOTOMETRICS, SAMPLE_FORMATS, Layout, layout_of
from nin.data.photos.tiff_tags import Directory

_KEPT: Final = frozenset((*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 317, 320, *range(322, 326), 332,
                          338, 339, 347, *range(512, 522), *range(529, 533)))  # fmt: skip


def read_tiff(data: bytes) -> tuple[Image.Image, int]:
    """Return the first image of a TIFF or BigTIFF as 8-bit RGB, RGBA or LAB, as it lies, and its orientation of EXIF.

    Raises:
        PhotoError: it has too many tags, strips or pixels, or a layout that is not read. Damaged ones raise anything.

    """
    tags = Directory(data)
    layout = layout_of(tags)
    orientation = tags.values(274, (1,))[0]
    if layout.compression == 1:
        return _colours(_samples(tags, layout), layout, tags), orientation
    if layout.photometric in (6, 8):
        return _by_pillow(tags, layout), orientation
    return _colours(_numbers(_by_pillow(tags, layout), layout), layout, tags), orientation  # nested: each is freed


# --- Samples straight from the file ---


def _samples(tags: Directory, layout: Layout) -> np.ndarray:
    """Return the (height, width, samples) of an uncompressed TIFF, in strips or tiles, side by side or in planes."""
    dtype = _dtype(tags, layout)
    planes, depth = (layout.samples, 1) if layout.separate else (1, layout.samples)
    if layout.width * layout.height * layout.samples * layout.bits // 8 > len(tags.data):
        raise EOFError("truncated")
    tiled = tags.count(324) > 0
    wide = tags.values(322)[0] if tiled else layout.width
    high = tags.values(323)[0] if tiled else min(tags.values(278, (layout.height,))[0], layout.height)
    across, down = math.ceil(layout.width / wide), math.ceil(layout.height / high)
    offsets = tags.values(324 if tiled else 273)
    if len(offsets) < across * down * planes:
        raise EOFError("truncated")
    reversed_bits = tags.values(266, (1,))[0] == 2
    found = np.empty((layout.height, layout.width, layout.samples), dtype)
    for index, offset in enumerate(offsets[: across * down * planes]):
        plane, (row, column) = index // (across * down), divmod(index % (across * down), across)
        y, x = row * high, column * wide
        rows = high if tiled else min(high, layout.height - y)
        row_bytes = (wide * depth * layout.bits + 7) // 8
        raw = tags.data[offset : offset + rows * row_bytes]
        raw = raw.translate(_REVERSED) if reversed_bits else raw
        if layout.bits % 8:
            block = _unpacked(np.frombuffer(raw, np.uint8).reshape(rows, row_bytes), wide * depth, layout)
        else:
            block = np.frombuffer(raw, dtype)
        block = block.reshape(rows, wide, depth)
        found[y : y + high, x : x + wide, plane : plane + depth] = block[: layout.height - y, : layout.width - x]
    return found


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # the first bit is the lowest


def _dtype(tags: Directory, layout: Layout) -> np.dtype:
    """Return NumPy's type for samples: the file's own, or for packed bits the least unsigned one that holds them."""
    bits, number = layout.bits, layout.format
    if bits == 8 and number < 3:
        return np.dtype("iu"[number % 2] + "1")
    if number == layout.samples == 1 and bits < 16:
        return np.dtype(np.uint8 if bits < 8 else np.uint16)
    if bits not in ((16, 32, 64) if number == 3 else (16, 32)):
        layout.refuse()
    return np.dtype(f"{tags.order}{SAMPLE_FORMATS[number]}{bits // 8}")


def _unpacked(rows: np.ndarray, count: int, layout: Layout) -> np.ndarray:
    """Return `count` numbers of a few bits from each row of bytes, scaled to fill 8 or 16 bits, but for a palette's."""
    bits = layout.bits
    split = np.unpackbits(rows, axis=1)[:, : count * bits].reshape(len(rows), count, bits)
    padded = np.packbits(split, axis=2)  # to whole bytes, on the right
    numbers = padded.view(">u2" if bits > 8 else np.uint8)[..., 0] >> (-bits % 8)
    if layout.photometric == 3:
        return numbers
    if bits > 8:
        return numbers.astype(np.uint32) * 65535 // (2**bits - 1)
    return numbers.astype(np.uint16) * 255 // (2**bits - 1)


# --- Samples through Pillow ---


def _by_pillow(tags: Directory, layout: Layout) -> Image.Image:
    """Decode a TIFF as plain unsigned numbers with black at zero; PhotoError for what Pillow does not read, or wrong.

    It swaps no bytes of more than 16 bits, and takes planes for colours in RGB and CMYK only.
    """
    one, photometric, bits = layout.samples == 1, layout.photometric, layout.bits
    if one and photometric in (0, 1):
        fits = bits in (1, 2, 4, 8, 16) or (bits in (12, 32) and tags.order == "<")
        fits = fits and (layout.format == 1 or (layout.format == 2 and bits >= 8) or bits in (16, 32))
    elif photometric in (2, 5):
        fits = layout.format == 1 and bits in (8, 16)
    else:
        fits = layout.format == 1 and (bits == 8 or (one and bits < 8)) and not layout.separate
    fits = fits and (
        len(layout.extra) < 2 or (layout.extra[0] != 1 and not any(layout.extra[1:]) and not layout.separate)
    )
    if not fits:
        layout.refuse()
    changes: dict[int, int | None] = {}
    if photometric == 0:
        changes[262] = 1
    if bits <= 16:
        changes[339] = None
    if layout.extra in ((1,), (2,)):
        changes[338] = 2  # multiplied colours would be divided, which cannot be undone
    _quiet_libtiff()
    file = io.BytesIO(tags.rewritten(_KEPT, changes))
    try:
        image = TiffImagePlugin.TiffImageFile(file)
    except (SyntaxError, KeyError):
        layout.refuse()
    try:
        image.load()
    except OSError as error:
        layout.refuse("cannot be decoded: it is damaged, or of a kind that is not supported", error)
    return image


def _numbers(image: Image.Image, layout: Layout) -> np.ndarray:
    """Return the (height, width, samples) that Pillow decoded: of 8 bits, or, for one sample, of the file's type."""
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    values = values.reshape(layout.height, layout.width, -1)
    if layout.samples == 1 and layout.bits == 12:
        return values << 4 | values >> 8
    if layout.samples == 1 and layout.bits >= 8:
        return values.view(f"{values.dtype.byteorder}{SAMPLE_FORMATS[layout.format]}{layout.bits // 8}")
    return values


@cache
def _quiet_libtiff() -> None:
    """Keep libtiff, where Pillow brings its own, from writing lines of its own to stderr beside our message."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


# --- Samples to colours ---


def _colours(samples: np.ndarray, layout: Layout, tags: Directory) -> Image.Image:
    """Make an RGB, RGBA or LAB image of the (height, width, samples) of a file."""
    size = (layout.width, layout.height)
    first = PHOTOMETRICS[layout.photometric][1]
    alpha_at = next((first + index for index, kind in enumerate(layout.extra) if kind in (1, 2, 999)), None)
    values = _shades(samples[..., :first])
    match layout.photometric:
        case 0 | 1:
            values = 255 - values if layout.photometric == 0 else values
            rgb = Image.fromarray(values[..., 0]).convert("RGB")
        case 2:
            rgb = Image.fromarray(values)
        case 3:
            rgb = Image.fromarray(_palette(tags, layout)[values[..., 0]])
        case 5:
            rgb = Image.frombytes("CMYK", size, values.tobytes()).convert("RGB")
        case 6 if layout.bits == 8 and tags.values(530, (2, 2)) == (1, 1) and _full_range(tags):
            rgb = Image.frombytes("YCbCr", size, values.tobytes()).convert("RGB")
        case 8 if layout.bits == 8 and layout.format == 1 and alpha_at is None:
            return Image.frombytes("LAB", size, values.tobytes(), "raw", "LAB")
        case _:
            layout.refuse()
    if alpha_at is None:
        return rgb
    alpha = _shades(samples[..., alpha_at])
    if layout.extra[alpha_at - first] == 1:  # the colours were multiplied with it: white makes up for the rest
        if layout.photometric not in (1, 2):
            layout.refuse("with colours multiplied by alpha is not supported")
        alpha = alpha[..., None]
        return Image.fromarray(np.minimum(np.asarray(rgb), alpha) + (255 - alpha))
    rgb.putalpha(Image.fromarray(alpha))
    return rgb


def _shades(values: np.ndarray) -> np.ndarray:
    return shades_of_floats(values) if values.dtype.kind == "f" else shades_of_integers(values)


def _palette(tags: Directory, layout: Layout) -> np.ndarray:
    """Return the (entries, 3) shades of a colour map: 16 bits a number, or 8 as old writers have it."""
    numbers = tags.values(320)
    if layout.bits > 8 or layout.format != 1 or len(numbers) != 3 << layout.bits:
        layout.refuse(f"with {len(numbers):,} numbers in its colour map is not supported")
    table = np.array(numbers, np.uint16).reshape(3, -1).T
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)


def _full_range(tags: Directory) -> bool:
    """Tell whether YCbCr has the range that JPEG has: ReferenceBlackWhite is 0 255 128 255 128 255, or left out."""
    numbers = tags.values(532)
    return not numbers or numbers == (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
