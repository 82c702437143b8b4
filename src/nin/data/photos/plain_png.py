"""How is a small plain PNG read without detours? Grey or RGB of 8 bits, with no note that changes what is seen.

Data sets of small images are full of such files. `read_photo` reads these and all others, and says what is wrong with
any; for these alone it takes three times as long as decoding does.
"""

import struct
import zlib
from typing import Final

from PIL import Image

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = struct.Struct(">I4s")
_HEADER: Final = struct.Struct(">IIBBBBB")
_PLAIN: Final = frozenset((b"IHDR", b"IDAT", b"IEND", b"bKGD", b"cHRM", b"gAMA", b"pHYs", b"sBIT", b"sRGB", b"tIME"))
_MODES: Final = {0: "L", 2: "RGB"}
_MOST_PIXELS: Final = 1_000_000
_MOST_BYTES: Final = 2**16  # of pixels as they are stored: what Pillow takes at once


def read_plain_png(data: bytes) -> Image.Image | None:
    """Return the image in a PNG's bytes, of mode L or RGB, as `read_photo` does; None where that must be asked."""
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 8 + 25:
        return None
    view, pixels = memoryview(data), None
    at, kind = 8, b""
    while kind != b"IEND":
        if at + 12 > len(data):
            return None
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 8 + length
        if kind not in _PLAIN or zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4]):
            return None
        if kind == b"IDAT":
            if pixels is not None or length > _MOST_BYTES:
                return None
            pixels = data[at + 8 : end]
        at = end + 4
    width, height, bits, colours, *rest = _HEADER.unpack_from(data, 16)
    mode = _MODES.get(colours) if bits == 8 and not any(rest) else None
    if mode is None or not 0 < width * height <= _MOST_PIXELS:
        return None
    try:
        return Image.frombytes(mode, (width, height), pixels or b"", "zip", (mode, 0))
    except (ValueError, OSError, MemoryError):  # the pixels are damaged or cut off
        return None
