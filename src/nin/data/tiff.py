"""How are a TIFF's samples laid out, and which shades and colours are they?

Pillow decodes most TIFFs right, some wrong without a word (16 bits in separate planes, signed, white at zero), and says
of others only that it does not know them. So a layout is read here first. Uncompressed samples of whole bytes are taken
from the file directly; what is compressed or packed goes through Pillow as plain numbers, with every tag left out that
it would get wrong; anything else is refused by name.
"""

import contextlib
import ctypes
import io
import math
from dataclasses import dataclass
from functools import cache
from typing import Final, NoReturn

import numpy as np
from PIL import Image, TiffImagePlugin

from nin.data.photo_colour import check_size, shades_of_floats, shades_of_integers
from nin.data.photo_tags import Directory
from nin.errors import PhotoError

_MOST_STRIPS: Final = 100_000  # Pillow keeps 300 bytes for each
_COMPRESSIONS: Final = {
    1: "uncompressed", 2: "CCITT RLE", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32771: "CCITT RLE/W", 32773: "PackBits", 32946: "Deflate", 34925: "LZMA", 50000: "Zstandard",
}  # fmt: skip
_BILEVEL: Final = (2, 3, 4, 32771)
_PHOTOMETRICS: Final = {
    0: ("grey with white at zero", 1), 1: ("grey", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4),
    6: ("YCbCr", 3), 8: ("CIELab", 3),
}  # fmt: skip
_FORMATS: Final = {1: "u", 2: "i", 3: "f"}
_KEPT: Final = frozenset((*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 317, 320, *range(322, 326), 332,
                          338, 339, 347, *range(512, 522), *range(529, 533)))  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """What the tags of a TIFF say about its samples, with TIFF's own numbers; checked by `_layout`."""

    width: int
    height: int
    bits: int
    samples: int
    format: int  # 1 unsigned, 2 signed, 3 float
    photometric: int
    extra: tuple[int, ...]  # 1 alpha that the colours were multiplied with, 2 alpha, others unknown
    separate: bool
    compression: int

    def __str__(self) -> str:
        numbers = {1: "bits", 2: "bits (signed)", 3: "bits (float)"}.get(self.format, f"bits (format {self.format})")
        colours = _PHOTOMETRICS.get(self.photometric, (f"photometric {self.photometric}", 0))[0]
        return (
            f"{self.samples} x {self.bits} {numbers}, {colours}"
            f"{', separate planes' if self.separate else ''}"
            f", {_COMPRESSIONS.get(self.compression, f'compression {self.compression}')}"
        )

    def refuse(self, why: str = "is not supported") -> NoReturn:
        raise PhotoError(f"a TIFF of {self} {why}; save it as PNG")


def read_tiff(data: bytes) -> tuple[Image.Image, int]:
    """Return the first image of a TIFF or BigTIFF as 8-bit RGB, RGBA or LAB, as it lies, and its orientation of EXIF.

    Raises:
        PhotoError: it has too many tags, strips or pixels, or a layout that is not read. Damaged ones raise anything.

    """
    tags = Directory(data)
    layout = _layout(tags)
    orientation = tags.values(274, (1,))[0]
    if layout.compression == 1 and layout.bits in (8, 16, 32, 64):
        return _colours(_samples(tags, layout), layout, tags), orientation
    image = _by_pillow(tags, layout)
    if layout.photometric in (6, 8):
        return image, orientation
    return _colours(_numbers(image, layout), layout, tags), orientation


def _layout(tags: Directory) -> _Layout:
    """Read and check the tags of a TIFF. PhotoError for more than is safe to read, or what no reader could know."""
    if max(tags.count(273), tags.count(324)) > _MOST_STRIPS:
        raise PhotoError(f"a TIFF in too many strips, where {_MOST_STRIPS:,} are read; save it again")
    width, height = tags.values(256)[:1], tags.values(257)[:1]
    if not width or not height:
        raise PhotoError("a TIFF without a width and height, damaged or cut off; download it again")
    check_size((width[0], height[0]))
    bits, formats = tags.values(258, (1,)), tags.values(339, (1,))
    compression = tags.values(259, (1,))[0]
    photometric = 6 if compression == 6 else tags.values(262, (0,))[0]
    samples = tags.values(277, (3 if compression == 6 else 1,))[0]
    colours = _PHOTOMETRICS.get(photometric, ("", samples))[1]
    extra = tags.values(338)
    if photometric == 2 and samples == 4 and not extra:
        extra = (2,)  # as Pillow and others take it
    layout = _Layout(
        width[0], height[0], max(bits), samples, 1 if formats[0] == 4 else formats[0], photometric, extra,
        tags.values(284, (1,))[0] == 2 and samples > 1, compression,
    )  # fmt: skip
    if compression not in _COMPRESSIONS or photometric not in _PHOTOMETRICS or layout.format not in _FORMATS:
        layout.refuse()
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        layout.refuse("whose samples differ in kind is not supported")
    if samples != colours + len(extra) or samples > 8:
        layout.refuse(f"that says of {len(extra)} samples beyond its colours what they are is not supported")
    if photometric == 5 and tags.values(332, (1,))[0] != 1:
        layout.refuse("whose inks are not CMYK is not supported")
    return layout


# --- Samples straight from the file ---


def _samples(tags: Directory, layout: _Layout) -> np.ndarray:
    """Return the (height, width, samples) of an uncompressed TIFF, in strips or tiles, side by side or in planes."""
    dtype_name = f"{tags.order}{_FORMATS[layout.format]}{layout.bits // 8}"
    if dtype_name[1:] in ("f1", "u8", "i8"):
        layout.refuse()
    dtype = np.dtype(dtype_name)
    planes, depth = (layout.samples, 1) if layout.separate else (1, layout.samples)
    if layout.width * layout.height * layout.samples * dtype.itemsize > len(tags.data):
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
        count = rows * wide * depth
        raw = tags.data[offset : offset + count * dtype.itemsize]
        raw = raw.translate(_REVERSED) if reversed_bits else raw
        block = np.frombuffer(raw, dtype, count).reshape(rows, wide, depth)
        found[y : y + high, x : x + wide, plane : plane + depth] = block[: layout.height - y, : layout.width - x]
    return found


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # the first bit is the lowest


# --- Samples through Pillow ---


def _by_pillow(tags: Directory, layout: _Layout) -> Image.Image:
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
    fits = fits and (bits == 1 or layout.compression not in _BILEVEL)
    fits = fits and (photometric != 6 or layout.compression != 1)
    fits = fits and (len(layout.extra) < 2 or (not any(layout.extra[1:]) and not layout.separate))
    if not fits:
        layout.refuse()
    changes: dict[int, int | None] = {}
    if one:
        changes |= {284: None, 277: 1}
    if photometric == 0:
        changes[262] = 1
    if bits <= 16:
        changes[339] = None
    if layout.extra == (1,):
        changes[338] = 2  # else Pillow divides by it, which cannot be undone
    quiet_libtiff()
    file = io.BytesIO(tags.rewritten(_KEPT, changes))
    try:
        image = TiffImagePlugin.TiffImageFile(file)
    except (SyntaxError, KeyError):
        layout.refuse()
    try:
        image.load()
    except OSError as error:
        layout.refuse(f"cannot be decoded: it is damaged, or its kind is not supported ({type(error).__name__})")
    return image


def _numbers(image: Image.Image, layout: _Layout) -> np.ndarray:
    """Return the (height, width, samples) that Pillow decoded: of 8 bits, or, for one sample, of the file's type."""
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    values = values.reshape(layout.height, layout.width, -1)
    if layout.samples == 1 and layout.bits == 12:
        return values << 4 | values >> 8
    if layout.samples == 1 and layout.bits >= 8:
        return values.view(f"{values.dtype.byteorder}{_FORMATS[layout.format]}{layout.bits // 8}")
    return values


@cache
def quiet_libtiff() -> None:
    """Keep libtiff, where Pillow brings its own, from writing lines of its own to stderr beside our message."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


# --- Samples to colours ---


def _colours(samples: np.ndarray, layout: _Layout, tags: Directory) -> Image.Image:
    """Make an RGB, RGBA or LAB image of the (height, width, samples) of a file."""
    size = (layout.width, layout.height)
    first = _PHOTOMETRICS[layout.photometric][1]
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


def _palette(tags: Directory, layout: _Layout) -> np.ndarray:
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
