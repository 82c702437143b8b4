"""What do pictures from life show the network? Files of any kind, read within bounds, made like Fashion-MNIST's own."""

import contextlib
import io
import math
import os
import stat
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from torch import Tensor

from nin.errors import OptionError, PictureError, printable

Invert = Literal["auto", "yes", "no"]
MAX_BYTES: Final = 50_000_000
MAX_PIXELS: Final = 50_000_000  # what a phone takes; decoding one needs up to 850 MB

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")  # no other decoder runs: EPS would call Ghostscript
_SHRINK: Final = "shrink it first"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as the network's training pictures were, and whether light and dark were swapped for that."""

    image: UInt8[Tensor, "channels side side"]
    inverted: bool


# --- Finding and reading files ---


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """List the files to read, in the order given: for a folder those in it and below, sorted, without hidden ones.

    Nothing is left out for its name, and nothing raises: what is missing, unreadable or an empty folder stays in the
    list, so that `read_picture` says so for it alone. Links to folders are not followed: they may go in circles.
    """
    return [picture for path in paths for picture in _below(path)]


def _below(path: Path) -> list[Path]:
    """List what `find_pictures` lists for one path: what is no folder has nothing below it, and stands for itself."""
    found: list[Path] = []

    def keep(error: OSError) -> None:
        found.append(Path(error.filename))

    for folder, folders, files in os.walk(path, onerror=keep):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in files if not name.startswith(".")]
    return sorted(found) or [path]


def read_picture(path: Path) -> Image.Image:
    """Read a PNG, JPEG, WebP, GIF, TIFF or BMP file: its first frame, upright, RGB of 8 bits, on white.

    Raises:
        PictureError: the file is missing, unreadable, damaged, of another format, or larger than the bounds above.

    """
    shown = printable(str(path))
    data = _read(path, shown)
    with _defects_of(shown):
        # Nested, so that each picture is freed before the next is made: a decoder of WebP holds 400 MB for the largest.
        return _upright(_on_white(_open(data), shown))


def _read(path: Path, shown: str) -> bytes:
    """Give the bytes of a regular file that is not too large; PictureError else, and never wait for a pipe's writer."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise PictureError(f"{shown}: a link to something that is not there; name the file itself") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise PictureError(f"{shown}: it cannot be found ({reason}); check its name and folder") from None
    if stat.S_ISDIR(status.st_mode):
        raise PictureError(f"{shown}: a folder, not a picture; name pictures, or a folder that has some")
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(f"{shown}: a pipe, socket or device; save the picture as a file and name that")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1) if status.st_size <= MAX_BYTES else b""
    except OSError as error:
        raise PictureError(f"{shown}: it cannot be read ({error.strerror}); check its permissions") from None
    if max(status.st_size, len(data)) > MAX_BYTES:
        raise PictureError(f"{shown}: more than {MAX_BYTES // 10**6} MB, the most that is read; {_SHRINK}")
    if not data:
        raise PictureError(f"{shown}: an empty file; save or download it again")
    return data


def _open(data: bytes) -> Image.Image:
    """Open a picture without decoding it yet, where that and decoding are known not to take hours; raises anything."""
    scans, notes = b"\xff\xda", b"\xff\xe1"  # 11 bytes of a scan take 5 ms; notes (EXIF) are joined in quadratic time
    if data[:2] == b"\xff\xd8" and max(data.count(scans), data.count(notes)) > 1000:
        raise OSError("a JPEG in too many parts")
    if data[:2] in (b"II", b"MM") and _strips(data) > 100_000:
        raise OSError("a TIFF in too many strips")
    file = _Patient(data)
    opened = Image.open(file, formats=_FORMATS)
    file.left = math.inf  # decoders may read in small pieces
    return opened


class _Patient(io.BytesIO):
    """A file that can be read so many times until it is open: Pillow keeps 400 bytes for each 4 of metadata."""

    left: float = 20_000

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual, or raise OSError."""
        self.left -= 1
        if self.left < 0:
            raise OSError("its metadata are in too many pieces")
        return super().read(size)


def _strips(data: bytes) -> int:
    """Count the strips or tiles (tags 273, 324) that a TIFF claims to be in: Pillow keeps 300 bytes for each."""
    order, large = "<" if data[:1] == b"I" else ">", b"+" in data[2:4]
    try:
        (start,) = struct.unpack_from(order + ("Q" if large else "I"), data, 8 if large else 4)
        (entries,) = struct.unpack_from(order + ("Q" if large else "H"), data, start)
    except struct.error:
        return 0  # it is damaged, which Pillow will say
    entry = struct.Struct(order + ("HHQ8x" if large else "HHI4x"))
    first = start + (8 if large else 2)
    directory = data[first : first + entries * entry.size]
    directory = directory[: len(directory) // entry.size * entry.size]
    return max((count for tag, _, count in entry.iter_unpack(directory) if tag in (273, 324)), default=0)


# --- Any mode to RGB ---


def _on_white(picture: Image.Image, shown: str) -> Image.Image:
    """Decode to a new RGB picture of 8 bits, transparency on white as shops photograph; PictureError if out of bounds.

    What the file said about its orientation stays in `info`.
    """
    width, height = picture.size
    if not 0 < width * height <= MAX_PIXELS:
        advice = "save it again" if width * height == 0 else _SHRINK
        raise PictureError(f"{shown}: {width} x {height} pixels, where 1 to {MAX_PIXELS:,} are read; {advice}")
    picture.load()
    if picture.mode[0] in "IF":
        rgb = _in_8_bits(picture).convert("RGB")
    elif picture.has_transparency_data:
        rgba = picture.convert("LA") if picture.mode == "La" else picture  # Pillow has no direct way from that one
        rgba = rgba if rgba.mode == "RGBA" else rgba.convert("RGBA")
        rgb = Image.new("RGB", picture.size, "white")
        rgb.paste(rgba, mask=rgba)
    else:
        rgb = picture.convert("RGB")
    rgb.info = {key: picture.info[key] for key in picture.info if key != "transparency"}
    return rgb


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Scale more than 8 bits a pixel, or floats, to grey of 8 bits, where Pillow would cut off what is brighter.

    Files do not say what their white is: it is the full scale of the fewest bits that hold the brightest pixel, 1 for
    floats. Black is 0, or the darkest pixel where that is negative.
    """
    floats = picture.convert("F")
    low, high = cast("tuple[float, float]", floats.getextrema())
    if not math.isfinite(low + high):
        raise OSError("its pixels are no finite numbers")
    black = min(low, 0)
    white = next((full for bits in (1, 8, 10, 12, 14, 16) if high <= (full := 2**bits - 1)), high)
    white = high if 1 < high < 2 else white  # floats that overshoot 1 a little, and no 8 bits of blackness
    scale = 255 / (white - black)
    offset = 0.5 - black * scale  # 0.5, for the conversion rounds down
    return floats.point(lambda value: value * scale + offset).convert("L")


def _upright(rgb: Image.Image) -> Image.Image:
    """Turn a picture as its camera was held, in place."""
    with contextlib.suppress(Exception):  # damaged notes about a picture are no reason to refuse the picture
        ImageOps.exif_transpose(rgb, in_place=True)
    rgb.info = {}
    return rgb


# --- As Fashion-MNIST's pictures were made ---


def prepare_picture(picture: Image.Image, channels: int = 1, side: int = 28, invert: Invert = "auto") -> Prepared:
    """Make of any picture what Xiao, Rasul, Vollgraf 2017 (arXiv 1708.07747, section 2) made of theirs, in their order.

    Trim edges of the corners' colour, resize the longest edge to `side`, sharpen, put in the middle of a square, swap
    light and dark, take the grey (of 1 channel; 3 stay RGB). `invert` says whether to swap: "auto" does where the
    picture's border is bright, for the garments are light on black. A picture of `side` x `side` has been through all
    this, and is only swapped and made grey: one of Fashion-MNIST comes out as it went in.

    Raises:
        PictureError: a picture without pixels, with more than MAX_PIXELS, or one that cannot be decoded.
        OptionError: channels other than 1 or 3, a side below 1, or another `invert`.

    """
    if channels not in (1, 3) or side < 1 or invert not in get_args(Invert):
        raise OptionError(
            f"channels are 1 or 3, side is at least 1, invert is one of {', '.join(get_args(Invert))}; "
            f"not {channels}, {side}, {invert}"
        )
    with _defects_of("the picture"):
        rgb = _upright(_on_white(picture, "the picture"))
        rgb = rgb.reduce(max(1, max(rgb.size) // (16 * side)))  # what follows then costs little, whatever the size
        inverted = invert == "yes" or (invert == "auto" and _border(rgb) >= 128)
        if rgb.size != (side, side):
            rgb = _fit(rgb, side)
        if inverted:
            rgb = ImageOps.invert(rgb)
        pixels = np.array(rgb if channels == 3 else rgb.convert("L"))
    return Prepared(torch.from_numpy(pixels).view(side, side, channels).permute(2, 0, 1).contiguous(), inverted)


def _border(rgb: Image.Image) -> float:
    """Give the mean brightness of the outermost pixels, 0 to 255: below 105 for all 60,000 of Fashion-MNIST."""
    grey = np.asarray(rgb.convert("L"))
    return float(np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]]).mean())


def _fit(rgb: Image.Image, side: int) -> Image.Image:
    """Trim, resize, sharpen and centre a picture, on the colour of its corners.

    Resized by a filter that averages, where the paper skips rows and columns: that was fair to its thumbnails of
    51 x 73, but of a photograph it would pick a few pixels by chance, and turn fabric into noise (aliasing).
    """
    pixels = np.asarray(rgb).astype(np.int16)
    background = np.median(pixels[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)  # one corner may be covered
    garment = (np.abs(pixels - background.astype(np.int16)) > 0.05 * 255).any(axis=2)
    if garment.any():  # else there is one colour only, and the picture stays whole
        rows, columns = garment.any(axis=1).nonzero()[0], garment.any(axis=0).nonzero()[0]
        rgb = rgb.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    width, height = (max(1, round(length * side / max(rgb.size))) for length in rgb.size)
    rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
    # A Gaussian of radius and deviation 1.0; 80 % weigh the middle pixel as the usual 3x3 operator does, with 1.66.
    rgb = rgb.filter(ImageFilter.UnsharpMask(radius=1, percent=80, threshold=0))
    canvas = Image.new("RGB", (side, side), tuple(int(value) for value in background))
    canvas.paste(rgb, ((side - width) // 2, (side - height) // 2))
    return canvas


# --- What is said when something is wrong ---


@contextlib.contextmanager
def _defects_of(shown: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a PictureError of one line, and silence its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PictureError:
            raise
        except UnidentifiedImageError:
            formats = "PNG, JPEG, WebP, GIF, TIFF, BMP"
            raise PictureError(f"{shown}: not a picture of a format that is read ({formats}); save it as PNG") from None
        except Image.DecompressionBombError:
            raise PictureError(f"{shown}: more than {MAX_PIXELS:,} pixels, the most that is read; {_SHRINK}") from None
        except Exception as error:  # hostile content makes decoders raise anything
            reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
            raise PictureError(
                f"{shown}: it cannot be decoded ({reason}); download it again, or save it as PNG"
            ) from error
