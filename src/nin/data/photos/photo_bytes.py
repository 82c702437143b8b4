"""Which bytes of a photo's file make its pixels? Only those reach a decoder, so that notes cannot spoil a photo.

Comments, colour profiles, thumbnails, EXIF and the like only describe the pixels. Of them the orientation is used; a
damaged one is dropped, as libpng and browsers do, and none is kept in memory.
"""

import contextlib
import re
import struct
import zlib
from typing import Final, NamedTuple

from nin.data.photos.tiff_tags import Directory
from nin.errors import PhotoError

_MOST_PIECES: Final = 1000  # of a JPEG: 11 bytes of a scan can take 5 ms to decode
_MOST_CHUNKS: Final = 20_000  # of a PNG or WebP: 50 MB in chunks of 2.5 kB
_MARKER: Final = re.compile(rb"\xff[^\x00\xff](?s:..)")
_XMP: Final = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")


class PhotoBytes(NamedTuple):
    """A file that holds the pixels only, and how they lie: an orientation of EXIF, 1 to 8, where 1 is upright."""

    data: bytes
    orientation: int


def _orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation that EXIF has, else the one in XMP, else 1."""
    found = ()
    if exif[:2] in (b"II", b"MM", b"Ex"):
        with contextlib.suppress(PhotoError):  # it is damaged, and the pixels are not
            found = Directory(exif.removeprefix(b"Exif\0\0")).values(274)
    if not found:
        found = tuple(int(match[1]) for match in [_XMP.search(xmp)] if match)
    return found[0] if found and found[0] in range(1, 9) else 1


# --- PNG ---


def png_pixels(data: bytes) -> PhotoBytes:
    """Drop the ancillary chunks of a PNG (third edition, section 5) but transparency that is whole.

    An animation ends with its default image. Raises PhotoError for too many chunks, or for a transparent colour of 16
    bits, which Pillow compares at 8.
    """
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:8]]
    exif = xmp = b""
    bits, colours = (data[24], data[25]) if len(data) > 25 else (0, 0)
    at, started = 8, False
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return PhotoBytes(b"".join(kept), _orientation(exif, xmp))
        length, kind = struct.unpack_from(">I4s", data, at)
        body, chunk = view[at + 8 : at + 8 + length], view[at : at + 12 + length]
        whole = len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        match kind:
            case b"tRNS" if whole and not started:
                kept.append(_transparency(bytes(body), bits, colours))
            case b"PLTE" if colours != 3:  # a suggestion for displays of few colours
                pass
            case b"eXIf" if whole:
                exif = bytes(body)
            case b"tEXt" | b"zTXt" if whole and bytes(body[:22]) == b"Raw profile type exif\0":
                exif = exif or _raw_profile(bytes(body[22:]), compressed=kind == b"zTXt")
            case b"iTXt" if whole and bytes(body[:17]) == b"XML:com.adobe.xmp":
                xmp = bytes(body)
            case _ if not kind[0] & 0x20:
                kept.append(chunk)
                started = started or kind == b"IDAT"
            case _:
                pass
        at += 12 + length
    raise PhotoError(f"a PNG in too many chunks, where {_MOST_CHUNKS:,} are read; save it again")


def _transparency(body: bytes, bits: int, colours: int) -> bytes:
    """Return the tRNS chunk that Pillow decodes right; nothing for one that does not fit the image."""
    if len(body) != {0: 2, 2: 6}.get(colours, len(body)) or colours not in (0, 2, 3):
        return b""
    if colours == 2 and bits == 16:
        raise PhotoError("a PNG of 16 bits with a transparent colour (tRNS) is not supported; save it with 8 bits")
    if colours == 0 and bits in (2, 4):  # Pillow compares it with grey that it has already scaled to 8 bits
        most = 2**bits - 1
        body = struct.pack(">H", (body[1] & most) * (255 // most))
    content = b"tRNS" + body
    return struct.pack(">I", len(body)) + content + struct.pack(">I", zlib.crc32(content))


def _raw_profile(body: bytes, compressed: bool) -> bytes:
    """Return EXIF as ImageMagick writes it: three lines that name it, then hexadecimal digits."""
    try:
        text = zlib.decompressobj().decompress(body[1:], 1_000_000) if compressed else body
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except (ValueError, zlib.error):
        return b""


# --- JPEG ---


def jpeg_pixels(data: bytes) -> PhotoBytes:
    """Drop the application segments and comments of a JPEG, but JFIF's and Adobe's, which tell its colours.

    Raises PhotoError for too many segments or scans.
    """
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:2]]
    exif = xmp = b""
    at = 2
    for _ in range(_MOST_PIECES):
        match = _MARKER.search(data, at)  # junk between segments is skipped, as decoders do
        if match is None:
            break
        at = match.start()
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:
            if data.count(b"\xff\xda", at) > _MOST_PIECES:
                raise PhotoError(f"a JPEG in too many scans, where {_MOST_PIECES:,} are read; save it again")
            kept.append(view[at:])
            break
        if marker in (0x01, *range(0xD0, 0xDA)):  # these have no length
            at += 2
            continue
        if marker == 0xE1 and data[at + 4 : at + 8] == b"Exif":
            exif = exif or data[at + 4 : at + 2 + length]
        elif marker == 0xE1:
            xmp = xmp or data[at + 4 : at + 2 + length]
        elif marker in (0xE0, 0xEE) or marker not in (*range(0xE0, 0xF0), 0xFE):
            kept.append(view[at : at + 2 + length])
        at += 2 + length
    else:
        raise PhotoError(f"a JPEG in too many segments, where {_MOST_PIECES:,} are read; save it again")
    return PhotoBytes(b"".join(kept), _orientation(exif, xmp))


def lacks_end(data: bytes) -> bool:
    """Tell whether a JPEG has no end marker after its first scan began: inside a scan, none occurs by chance."""
    start = data.find(b"\xff\xda")
    return start >= 0 and data.find(b"\xff\xd9", start) < 0


# --- WebP ---


def webp_pixels(data: bytes) -> PhotoBytes:
    """Drop what describes a WebP, and all of an animation but its first frame. PhotoError for too many chunks."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [b"WEBP"]
    exif = xmp = b""
    at, frames = 12, 0
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            riff = b"".join(kept)
            return PhotoBytes(b"RIFF" + struct.pack("<I", len(riff)) + riff, _orientation(exif, xmp))
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunk = view[at : at + 8 + length]
        match kind:
            case b"VP8X" if length:
                kept += [chunk[:8], _vp8x_flags(chunk[8]), chunk[9:]]
            case b"ANMF" if frames:
                pass
            case b"ANIM" | b"ANMF" | b"ALPH" | b"VP8 " | b"VP8L":
                kept += [chunk, bytes(length % 2) if len(chunk) == 8 + length else b""]
                frames += kind == b"ANMF"
            case b"EXIF":
                exif = bytes(chunk[8:])
            case b"XMP ":
                xmp = bytes(chunk[8:])
            case _:
                pass
        at += 8 + length + length % 2
    raise PhotoError(f"a WebP in too many chunks, where {_MOST_CHUNKS:,} are read; save it again")


def _vp8x_flags(flags: int) -> bytes:
    """Return the flags of a WebP without notes. An animation has alpha: what no frame covers is transparent."""
    animation, alpha = 0x02, 0x10
    return bytes([flags & (animation | alpha) | (alpha if flags & animation else 0)])
