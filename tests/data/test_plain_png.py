"""Does the short way of reading a PNG give what the long one does, and leave to it all that is not plain?"""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nin.data.photos.photo import read_photo
from nin.data.photos.plain_png import read_plain_png


def png(mode: str = "RGB", size: tuple[int, int] = (7, 5), **options: object) -> bytes:
    """Return a PNG of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def changed_header(data: bytes, place: int, value: int) -> bytes:
    """Return a PNG with another byte in its header."""
    header = bytearray(data[16:29])
    header[place - 16] = value
    return data[:8] + chunk(b"IHDR", bytes(header)) + data[33:]


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Insert a chunk after the header."""
    return data[:33] + chunk(kind, body) + data[33:]


def in_pieces(data: bytes) -> bytes:
    """Return a PNG of one IDAT with its pixels in chunks of 9 bytes."""
    body = data[41 : 41 + int.from_bytes(data[33:37])]
    pieces = b"".join(chunk(b"IDAT", body[at : at + 9]) for at in range(0, len(body), 9))
    return data[:33] + pieces + chunk(b"IEND", b"")


PLAIN = {
    "grey": png("L"),
    "colour": png(),
    "one pixel": png(size=(1, 1)),
    "stored": png(compress_level=0),
    "with a gamma": with_chunk(png(), b"gAMA", struct.pack(">I", 45455)),
    "and more": png() + b"more",
}
OTHER = {
    "bits": png("1"),
    "16 bits": changed_header(png(), 24, 16),
    "palette": png("P"),
    "alpha": png("RGBA"),
    "grey with alpha": png("LA"),
    "a transparent colour": with_chunk(png(), b"tRNS", bytes(6)),
    "turned": with_chunk(png(), b"eXIf", b"MM\0*\0\0\0\x08\0\0"),
    "text": with_chunk(png(), b"tEXt", b"Comment\0hello"),
    "animated": with_chunk(png(), b"acTL", struct.pack(">II", 1, 0)),
    "interlaced": changed_header(png(), 28, 1),
    "cut off": png()[:-20],
    "no end": png()[:-12],
    "in pieces": in_pieces(png()),
    "no header": png()[:8] + png()[33:],
    "an end only": png()[:8] + chunk(b"IEND", b""),
    "half a header": png()[:20],
    "no pixels": png()[:33] + chunk(b"IEND", b""),
    "many bytes": png(size=(200, 200)),
    "large": png("L", (2000, 501)),
    "no size": changed_header(png(size=(1, 1)), 19, 0),
    "a JPEG": b"\xff\xd8\xff" + bytes(100),
    "nothing": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_png_is_read_as_the_long_way_does(name: str):
    found = read_plain_png(PLAIN[name])
    assert found is not None
    assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(read_photo(PLAIN[name])))


@pytest.mark.parametrize("name", OTHER)
def test_what_is_not_plain_is_left_to_the_long_way(name: str):
    assert read_plain_png(OTHER[name]) is None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PLAIN)), st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_no_damage_lets_the_short_way_read_what_the_long_one_does_not(name: str, place: int, value: int, mend: bool):
    data = bytearray(PLAIN[name])
    data[place % len(data)] = value
    if mend and len(data) > 57:  # the checksums of header and pixels, so that what is in them counts
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        length = int.from_bytes(data[33:37])
        data[41 + length : 45 + length] = struct.pack(">I", zlib.crc32(data[37 : 41 + length]))
    found = read_plain_png(bytes(data))
    if found is not None:
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(read_photo(bytes(data))))
