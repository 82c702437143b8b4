"""What is in a photo? Any file becomes RGB within bounds, or one line says why it does not."""

import contextlib
import hashlib
import io
import math
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from nin.data.photos.photo_bytes import PhotoBytes, jpeg_pixels, lacks_end, png_pixels, webp_pixels
from nin.data.photos.photo_colour import MAX_PIXELS, check_size, on_white, upright
from nin.data.photos.tiff import read_tiff
from nin.errors import PhotoError
from nin.text import printable

__all__ = ["MAX_BYTES", "MAX_PIXELS", "BinaryFile", "defects_of", "read_photo"]

MAX_BYTES: Final = 50_000_000

_FORMATS: Final = "PNG, JPEG, WebP, GIF, TIFF, BMP"  # no other decoder runs: EPS would call Ghostscript


@runtime_checkable
class BinaryFile(Protocol):
    """What is read of an open file: `open(path, "rb")`, `io.BytesIO` and any BinaryIO are such."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""
        ...

    def seekable(self) -> bool:
        """Tell whether it can be rewound."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to a position."""
        ...


def read_photo(source: Path | bytes | BinaryFile) -> Image.Image:
    """Read a PNG, JPEG, WebP, GIF, TIFF or BMP: its first frame, upright, RGB of 8 bits, on white.

    Args:
        source: the path of a file; or its bytes; or an open binary file, read from its start where it can be rewound.

    Raises:
        PhotoError: it is missing, unreadable, damaged, of another format or a kind of it that is not read, or larger
            than MAX_BYTES or MAX_PIXELS.

    """
    with defects_of(printable(str(source)) if isinstance(source, Path) else "the photo"):
        # Nested, so that each image is freed before the next is made: a decoder of WebP holds 400 MB for the largest.
        return _decode(_file_bytes(source) if isinstance(source, Path) else _given_bytes(source))


def _file_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file that is not too large; PhotoError else, and never wait for a pipe's writer."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            raise PhotoError("a link to something that is not there; name the file itself") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise PhotoError(f"it cannot be found ({reason}); check its name and folder") from None
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError("a folder, not a photo; name photos, or a folder that has some")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError("a pipe, socket or device; save the photo as a file and name that")
    try:
        with path.open("rb") as file:
            # No more than a bit over what it should hold: each time, `read` allocates all that it is asked for.
            most = 0 if status.st_size > MAX_BYTES else min(MAX_BYTES, max(status.st_size, 2**16)) + 1
            data = file.read(most)
            return _within_bounds(data if len(data) < most else data + file.read(MAX_BYTES + 1 - most), status.st_size)
    except OSError as error:
        raise PhotoError(f"it cannot be read ({error.strerror}); check its permissions") from None


def _given_bytes(source: bytes | BinaryFile) -> bytes:
    """Return bytes, or those of an open file, which are not too many; PhotoError else."""
    if isinstance(source, bytes):
        return _within_bounds(source, len(source))
    try:
        if source.seekable():
            source.seek(0)
        data = source.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise PhotoError(f"it cannot be read ({printable(str(error))}); open it again") from None
    if not isinstance(data, bytes):
        raise PhotoError(f"an open file gives {type(data).__name__}, not bytes; open it in binary mode, 'rb'")
    return _within_bounds(data, len(data))


def _within_bounds(data: bytes, size: int) -> bytes:
    if max(size, len(data)) > MAX_BYTES:
        raise PhotoError(f"more than {MAX_BYTES // 10**6} MB, the most that is read; shrink it first")
    if not data:
        raise PhotoError("an empty file; save or download it again")
    return data


def _decode(data: bytes) -> Image.Image:
    """Return the photo in the bytes of a file, RGB and upright. PhotoError where we know better, else Pillow's errors.

    Pillow's own `Image.open` would hide why a file is refused, and warn of what the bounds here settle.
    """
    if data[:4] in (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0"):
        image, orientation = read_tiff(data)
        return upright(on_white(image), orientation)
    opens: Callable[[_Patient], Image.Image]
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        opens, pixels = PngImageFile, png_pixels(data)
    elif data.startswith(b"\xff\xd8\xff"):
        opens, pixels = JpegImageFile, _with_end(jpeg_pixels(data))
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        opens, pixels = WebPImageFile, webp_pixels(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        opens, pixels = GifImageFile, PhotoBytes(data, 1)
    elif data.startswith(b"BM"):
        opens, pixels = BmpImageFile, PhotoBytes(data, 1)
    else:
        raise PhotoError(f"not a photo of a format that is read ({_FORMATS}); save it as PNG")
    del data
    return upright(on_white(_opened(pixels.data, opens)), pixels.orientation)


class _Patient(io.BytesIO):
    """A file that can be read so many times until it is open: Pillow keeps 400 bytes for each 4 of metadata."""

    left: float = 20_000

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual, or raise PhotoError."""
        self.left -= 1
        if self.left < 0:
            raise PhotoError("metadata in too many pieces; save it again")
        return super().read(size)


def _opened(data: bytes, opens: Callable[[_Patient], Image.Image]) -> Image.Image:
    """Open an image that is not decoded yet, and known not to take hours for that."""
    file = _Patient(data)
    image = opens(file)
    file.left = math.inf  # decoders may read in small pieces
    check_size(image.size)
    return image


def _with_end(jpeg: PhotoBytes) -> PhotoBytes:
    """Append the end marker to a JPEG that lacks only that, as cameras' streams do.

    One that was cut within its pixels stays as it is, and Pillow refuses it. The decoder makes up missing bits, so the
    bytes are whole if different ones appended to them change no pixel.
    """
    if not lacks_end(jpeg.data) or jpeg.data.count(b"\xff\xda") > 100:  # decoding many scans is slow enough once
        return jpeg
    body, end = jpeg.data.rstrip(b"\xff"), b"\xff\xd9"
    digests: set[bytes] = set()
    for more in (b"", b"\xee" * 64, b"\x55" * 64):
        image = _opened(body + more + end, JpegImageFile)
        digests.add(hashlib.blake2b(image.tobytes()).digest())
    return jpeg._replace(data=body + end) if len(digests) == 1 else jpeg


# --- What is said when something is wrong ---


@contextlib.contextmanager
def defects_of(shown: str) -> Iterator[None]:
    """Turn whatever reading or Pillow raises into a PhotoError of one line that starts with the name `shown`."""
    try:
        yield
    except PhotoError as error:
        raise PhotoError(f"{shown}: {error}") from error.__cause__
    except Image.DecompressionBombError:
        raise PhotoError(f"{shown}: more than {MAX_PIXELS:,} pixels, the most that is read; shrink it first") from None
    except MemoryError as error:
        raise PhotoError(f"{shown}: too little memory to decode it; shrink it first, or free some memory") from error
    except Exception as error:  # hostile content makes decoders raise anything
        raise PhotoError(
            f"{shown}: it cannot be decoded ({_reason(str(error))}); download it again, or save it as PNG"
        ) from error


def _reason(message: str) -> str:
    """Return Pillow's message where it tells a user something: most name its own insides ("decoder error -2")."""
    if "truncated" in message.lower():
        return "its end is missing"
    return printable(message)[:200] if "unsupported" in message.lower() else "it is damaged"
