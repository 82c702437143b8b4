"""Is every TIFF read as the shades and colours that were written, or refused by what it is?"""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from nin.data.photos.photo import read_photo
from nin.errors import PhotoError

HEIGHT, WIDTH = 18, 21  # odd, so that rows of few bits are padded
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
GRADIENT = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


# ---------------------------------------------------------------------------------------------------------------------
# TIFFs written by hand
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What a TIFF can be, with the numbers that its tags have."""

    bits: int = 8
    format: int = 1  # unsigned, signed, float
    photometric: int = 1
    extra: tuple[int, ...] = ()
    samples: int = 0  # as many as colours and extra samples, unless given
    separate: bool = False
    compression: int = 1
    order: str = "<"
    fill: int = 1
    tile: tuple[int, int] | None = None  # height and width
    rows: int = HEIGHT  # of a strip
    large: bool = False

    @property
    def count(self) -> int:
        return self.samples or COLOURS[self.photometric] + len(self.extra)


def fractions(kind: Kind) -> np.ndarray:
    """Return (height, width, samples) from 0 to 1, all different, as the file's brightness, ink or index."""
    planes = [np.roll(GRADIENT[:: (-1) ** index], 7 * index) for index in range(kind.count)]
    if kind.photometric == 5:
        planes[3] = planes[3] / 2
    stacked = np.stack(planes, -1)
    steps = 2**kind.bits - 1
    return np.round(stacked * steps) / steps if kind.format < 3 else stacked


def expected(kind: Kind) -> np.ndarray:
    """Return (height, width, 3) of what `tiff(kind)` shows, 0 to 255."""
    found = fractions(kind)
    colours = found[..., : COLOURS[kind.photometric]]
    match kind.photometric:
        case 0 | 1:
            rgb = colours.repeat(3, -1)
        case 2:
            rgb = colours
        case 3:
            index = np.round(colours[..., 0] * (2**kind.bits - 1)).astype(int)
            rgb = (colour_map(kind.bits)[:, index] >> 8).transpose(1, 2, 0) / 255
        case 5:
            rgb = (1 - colours[..., :3]) * (1 - colours[..., 3:])
        case 6:
            y, blue, red = 255 * colours[..., 0], 255 * colours[..., 1] - 128, 255 * colours[..., 2] - 128
            rgb = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], -1) / 255
        case _:
            raise NotImplementedError
    alpha = alpha_of(kind)
    return 255 * np.clip(rgb if alpha is None else rgb * alpha + 1 - alpha, 0, 1)


def alpha_of(kind: Kind) -> np.ndarray | None:
    """Return (height, width, 1) of the first extra sample that is alpha."""
    extra = kind.extra or ((2,) if kind.photometric == 2 and kind.count == 4 else ())
    at = next((index for index, what in enumerate(extra) if what), None)
    return None if at is None else fractions(kind)[..., COLOURS[kind.photometric] + at, None]


def stored(kind: Kind) -> np.ndarray:
    """Return (height, width, samples) as the file has them."""
    found = fractions(kind)
    colours = COLOURS[kind.photometric]
    if kind.photometric == 0:
        found[..., 0] = 1 - found[..., 0]
    if 1 in kind.extra:
        found[..., :colours] *= found[..., colours + kind.extra.index(1), None]
    if kind.format == 3:
        return found.astype(f"{kind.order}f{kind.bits // 8}")
    numbers = np.round(found * (2**kind.bits - 1)).astype(np.int64)
    if kind.format == 2:
        numbers -= 2 ** (kind.bits - 1)
    return numbers


def colour_map(bits: int) -> np.ndarray:
    index = np.arange(2**bits) * 65535 // (2**bits - 1)
    return np.stack([index, index[::-1], np.full_like(index, 9000)])


def packed(block: np.ndarray, kind: Kind) -> bytes:
    """Return the bytes of (rows, width, samples)."""
    if kind.format == 3:
        raw = block.tobytes()
    elif kind.bits % 8:
        rows = block.reshape(len(block), -1)
        raw = np.packbits((rows[..., None] >> np.arange(kind.bits)[::-1] & 1).reshape(len(rows), -1), axis=1).tobytes()
    else:
        raw = block.astype(f"{kind.order}{'ui'[kind.format - 1]}{kind.bits // 8}").tobytes()
    raw = COMPRESS[kind.compression](raw)
    return raw.translate(REVERSED) if kind.fill == 2 else raw


def packbits(raw: bytes) -> bytes:
    parts = [raw[start : start + 128] for start in range(0, len(raw), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def lzw(raw: bytes) -> bytes:
    """Compress without making anything shorter: codes of 9 bits, and the table emptied before it outgrows them."""
    codes = [code for start in range(0, len(raw), 200) for code in (256, *raw[start : start + 200])] + [257]
    return np.packbits((np.array(codes)[:, None] >> np.arange(9)[::-1] & 1).ravel().astype(np.uint8)).tobytes()


COMPRESS: dict[int, Callable[[bytes], bytes]] = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}


def blocks(kind: Kind, values: np.ndarray) -> Iterator[np.ndarray]:
    planes = np.split(values, kind.count, axis=2) if kind.separate else [values]
    for plane in planes:
        if kind.tile is None:
            yield from (plane[start : start + kind.rows] for start in range(0, HEIGHT, kind.rows))
            continue
        high, wide = kind.tile
        padded = np.pad(plane, ((0, -HEIGHT % high), (0, -WIDTH % wide), (0, 0)))
        for y, x in product(range(0, HEIGHT, high), range(0, WIDTH, wide)):
            yield padded[y : y + high, x : x + wide]


def tiff(kind: Kind, changes: dict[int, list[int] | None] | None = None, values: np.ndarray | None = None) -> bytes:
    """Return a file of the kind, with tags changed or left out."""
    data = [packed(block, kind) for block in blocks(kind, stored(kind) if values is None else values)]
    start = 16 if kind.large else 8
    offsets = [start + sum(map(len, data[:index])) for index in range(len(data))]
    tags: dict[int, list[int] | None] = {
        256: [WIDTH], 257: [HEIGHT], 258: [kind.bits] * kind.count, 259: [kind.compression], 262: [kind.photometric],
        266: [kind.fill], 277: [kind.count], 284: [2 if kind.separate else 1], 338: [*kind.extra] or None,
        339: [kind.format] * kind.count, 530: [1, 1] if kind.photometric == 6 else None,
        320: colour_map(kind.bits).ravel().tolist() if kind.photometric == 3 else None,
    }  # fmt: skip
    if kind.tile:
        tags |= {322: [kind.tile[1]], 323: [kind.tile[0]], 324: offsets, 325: [*map(len, data)]}
    else:
        tags |= {273: offsets, 278: [kind.rows], 279: [*map(len, data)]}
    entries = {tag: numbers for tag, numbers in sorted((tags | (changes or {})).items()) if numbers}
    body = b"".join(data)
    body += bytes(len(body) % 2)
    return with_directory(body, entries, kind.order, kind.large)


def with_directory(body: bytes, entries: dict[int, list[int]], order: str, large: bool) -> bytes:
    entry, count, room = ("HHQ", "Q", 8) if large else ("HHI", "H", 4)
    start = 16 if large else 8
    at = start + len(body)
    far = at + struct.calcsize("=" + count) + len(entries) * struct.calcsize("=" + entry) + (room * len(entries)) + room
    listed = more = b""
    for tag, numbers in entries.items():
        code, letter = ((16, "Q") if large else (4, "I")) if tag in (273, 279, 324, 325) else (3, "H")
        raw = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(raw) > room:
            raw, more = struct.pack(order + count.replace("H", "I"), far + len(more)), more + raw
        listed += struct.pack(order + entry, tag, code, len(numbers)) + raw.ljust(room, b"\0")
    name = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, at) if large else struct.pack(order + "HI", 42, at)
    return name + head + body + struct.pack(order + count, len(entries)) + listed + bytes(room) + more


# ---------------------------------------------------------------------------------------------------------------------
# Right, or refused by name
# ---------------------------------------------------------------------------------------------------------------------


def off(kind: Kind) -> float:
    """Return by how much a TIFF is read wrong; PhotoError where it is refused."""
    return float(np.abs(np.asarray(read_photo(tiff(kind))).astype(float) - expected(kind)).max())


def tolerance(kind: Kind) -> float:
    return 2.5 if kind.extra or kind.samples or kind.photometric in (5, 6) else 1


KINDS = {
    "grey": Kind(),
    "white at zero": Kind(photometric=0),
    "RGB": Kind(photometric=2),
    "RGBA": Kind(photometric=2, extra=(2,)),
    "RGBA without a word": Kind(photometric=2, samples=4),
    "RGBA multiplied": Kind(photometric=2, extra=(1,)),
    "RGBX": Kind(photometric=2, extra=(0,)),
    "grey and alpha": Kind(extra=(2,)),
    "white at zero and alpha": Kind(photometric=0, extra=(2,)),
    "grey multiplied": Kind(extra=(1,)),
    "CMYK": Kind(photometric=5),
    "CMYK and alpha": Kind(photometric=5, extra=(2,)),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bits_format", [(8, 1), (8, 2), (16, 1), (16, 2), (16, 3), (32, 1), (32, 2), (32, 3), (64, 3)])
def test_uncompressed_samples_of_whole_bytes_are_read_whatever_they_are(name: str, bits_format: tuple[int, int]):
    bits, number = bits_format
    for order, separate in product("<>", (False, True)):
        kind = replace(KINDS[name], bits=bits, format=number, order=order, separate=separate)
        assert off(kind) <= tolerance(kind), kind


@pytest.mark.parametrize("compression", [5, 8, 32773])
def test_compressed_ones_are_read_right_or_refused_by_name(compression: int):
    numbers = ((8, 1), (8, 2), (16, 1), (16, 2), (16, 3), (32, 1), (32, 2), (32, 3))
    read: set[tuple[str, int, int]] = set()
    for name, (bits, number), order, separate in product(KINDS, numbers, "<>", (False, True)):
        kind = replace(
            KINDS[name], bits=bits, format=number, order=order, separate=separate, compression=compression, rows=5
        )
        try:
            assert off(kind) <= tolerance(kind), kind
        except PhotoError as error:
            assert f"TIFF of {kind.count} x {bits} bits" in str(error)  # noqa: PT017
            assert "PNG" in str(error)  # noqa: PT017
        else:
            read.add((name, bits, number))
    assert {("grey", bits, number) for bits, number in numbers} <= read
    assert {("white at zero", bits, number) for bits, number in numbers} <= read
    colours = ("RGB", "RGBA", "RGBA multiplied", "RGBX", "CMYK")
    assert {(name, bits, 1) for name in colours for bits in (8, 16)} <= read


@pytest.mark.parametrize("compression", [1, 8])
def test_what_pillow_opens_is_read_right_or_refused_by_name(compression: int):
    """Go through the table by which Pillow decodes TIFFs, of which it decodes some wrong."""
    refused: list[Kind] = []
    for (prefix, photometric, formats, fill, bits, extra), separate in product(
        TiffImagePlugin.OPEN_INFO, (False, True)
    ):
        if photometric == 8:
            continue
        kind = Kind(
            bits[0], formats[0], photometric, extra, len(bits), separate, compression,
            order="<" if prefix == b"II" else ">", fill=fill,
        )  # fmt: skip
        if kind.count < COLOURS[photometric]:
            continue  # one sample of YCbCr is no colour
        try:
            assert off(kind) <= tolerance(kind), kind
        except PhotoError as error:
            assert "TIFF of" in str(error)  # noqa: PT017
            refused.append(kind)
    odd = [kind for kind in refused if not kind.separate and kind.fill == 1 and 999 not in kind.extra]
    assert not odd if compression == 1 else len(odd) < 12, odd
    assert len(refused) < 40


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_few_bits_are_read_in_both_orders(bits: int, photometric: int, compression: int):
    for order, fill, separate in product("<>", (1, 2), (False, True)):
        kind = Kind(bits, 1, photometric, (), 0, separate, compression, order, fill)
        assert off(kind) <= 1, kind


def test_12_bits_are_a_range_of_4095():
    for order, compression in (("<", 1), (">", 1), ("<", 8)):
        assert off(Kind(12, order=order, compression=compression)) <= 1
    with pytest.raises(PhotoError, match="12 bits"):
        off(Kind(12, order=">", compression=8))


@pytest.mark.parametrize("kind", [Kind(), Kind(16, photometric=2), Kind(16, photometric=2, separate=True), Kind(4)])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("large", [False, True])
def test_strips_and_tiles_of_any_size_are_put_together(kind: Kind, compression: int, large: bool):
    for order in "<>":
        one = replace(kind, compression=compression, large=large, order=order)
        for rows in (1, 5, 18):
            assert off(replace(one, rows=rows)) <= 1
        for tile in ((16, 16), (16, 32), (32, 16), (32, 32)):
            assert off(replace(one, tile=tile)) <= 1, tile


@pytest.mark.parametrize("compression", [1, 5])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_colour_map_of_8_bits_is_read_as_one_of_16(bits: int, compression: int):
    kind = Kind(bits, photometric=3, compression=compression)
    old = (colour_map(bits) >> 8).ravel().tolist()
    np.testing.assert_array_equal(np.asarray(read_photo(tiff(kind, {320: old}))), np.asarray(read_photo(tiff(kind))))
    dark = np.asarray(read_photo(tiff(kind, {320: [*[0] * (2**bits - 1), 256] * 3})))
    assert dark.max() == 1  # one number beyond 8 bits tells that all have 16


def test_a_colour_map_of_another_length_is_refused():
    with pytest.raises(PhotoError, match="colour map"):
        read_photo(tiff(Kind(photometric=3), {320: [1, 2, 3]}))


def test_a_dark_image_stays_dark():
    values = np.full((HEIGHT, WIDTH, 1), 12)
    for bits, shade in ((8, 12), (16, 0)):
        assert np.asarray(read_photo(tiff(Kind(bits), values=values))).max() == shade


def test_32_bit_integers_that_were_never_meant_to_fill_their_range_are_refused():
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1)
    for number, compression in product((1, 2), (1, 8)):
        with pytest.raises(PhotoError, match=r"32-bit integers from 0 to 377.*8 or 16 bits"):
            read_photo(tiff(Kind(32, number, compression=compression), values=values))
    assert np.asarray(read_photo(tiff(Kind(32), values=values * 0))).max() == 0


@pytest.mark.parametrize(
    ("white", "scale"), [(1, 1), (255, 1), (1023, 1), (4095, 1), (65535, 1), (1.5, 1), (65535, 0.5), (10**6, 1)]
)
def test_floats_do_not_say_what_white_is_so_it_is_guessed(white: float, scale: float):
    values = (GRADIENT[..., None] * white * scale).astype("<f4")
    shown = np.asarray(read_photo(tiff(Kind(32, 3), values=values)))[..., 0]
    np.testing.assert_allclose(shown, 255 * GRADIENT * scale, atol=1)
    inverse = np.asarray(read_photo(tiff(Kind(32, 3, photometric=0), values=values)))[..., 0]
    np.testing.assert_array_equal(inverse, 255 - shown)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_pixels_that_are_no_numbers_are_refused(number: float):
    values = np.full((HEIGHT, WIDTH, 1), number, "<f4")
    for compression in (1, 8):
        with pytest.raises(PhotoError, match="finite"):
            read_photo(tiff(Kind(32, 3, compression=compression), values=values))


def test_ycbcr_is_colour_and_what_is_not_simple_of_it_is_refused():
    kind = Kind(photometric=6)
    assert off(kind) <= 2
    for changes in ({530: None}, {530: [2, 2]}, {530: [2, 1]}, {532: [16, 235, 128, 240, 128, 240]}):
        with pytest.raises(PhotoError, match="YCbCr"):
            read_photo(tiff(kind, changes))
    for compression in ("jpeg", "tiff_lzw"):
        red = Image.new("YCbCr", (16, 16), (76, 85, 255))
        shown = np.asarray(read_photo(encoded(red, compression))).astype(int)
        assert np.abs(shown - [254, 0, 0]).max() <= 3


def encoded(image: Image.Image, compression: str | None) -> bytes:
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    return file.getvalue()


def test_lab_has_its_colours():
    def shown(*lab: int, compression: str | None = None) -> np.ndarray:
        return np.asarray(read_photo(encoded(Image.new("LAB", (8, 8), lab), compression)))[4, 4].astype(int)

    for compression in (None, "tiff_lzw", "tiff_deflate"):
        assert np.abs(shown(136, 128, 128, compression=compression) - [127, 127, 127]).max() <= 3  # L* of 53.3
        assert np.abs(shown(139, 208, 198, compression=compression) - [252, 12, 4]).max() <= 8  # L* 54, a* 80, b* 70
    separate = {284: [2], 258: [8, 8, 8], 262: [8]}
    with pytest.raises(PhotoError, match="CIELab"):
        read_photo(tiff(Kind(photometric=2, compression=8, separate=True), separate))


@pytest.mark.parametrize(
    "compression", ["jpeg", "group3", "group4", "tiff_ccitt", "tiff_lzw", "packbits", "lzma", "zstd"]
)
def test_each_compression_is_read(compression: str):
    bilevel = compression in ("group3", "group4", "tiff_ccitt")
    image = Image.fromarray((255 * GRADIENT).astype(np.uint8))
    image = image.convert("1") if bilevel else image.convert("RGB")
    shown = np.asarray(read_photo(encoded(image, compression))).astype(int)
    assert np.abs(shown - np.asarray(image.convert("RGB"))).max() <= (8 if compression == "jpeg" else 0)
    white_at_zero = encoded(image.convert("1" if bilevel else "L"), compression)
    patched = white_at_zero.replace(struct.pack("<HHIH", 262, 3, 1, 1), struct.pack("<HHIH", 262, 3, 1, 0))
    assert patched != white_at_zero
    expected = 255 - np.asarray(image.convert("L"))
    assert np.abs(np.asarray(read_photo(patched))[..., 0] - expected.astype(int)).max() <= (
        8 if compression == "jpeg" else 0
    )


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        (Kind(), {259: [50001]}, "WebP"),
        (Kind(), {259: [34712]}, "JPEG 2000"),
        (Kind(), {259: [4711]}, "compression 4711"),
        (Kind(), {259: [4]}, "1 x 8 bits, grey, CCITT G4"),
        (Kind(4), {259: [3]}, "1 x 4 bits, grey, CCITT G3"),
        (Kind(photometric=2), {259: [2]}, "3 x 8 bits, RGB, CCITT RLE"),
        (Kind(), {262: [32803]}, "photometric 32803"),
        (Kind(photometric=2), {258: [5, 6, 5]}, "differ"),
        (Kind(photometric=2), {339: [1, 2, 1]}, "differ"),
        (Kind(), {339: [5]}, "format 5"),
        (Kind(), {258: [24]}, "24 bits"),
        (Kind(), {258: [64]}, "64 bits"),
        (Kind(8), {339: [3]}, "8 bits \\(float\\)"),
        (Kind(samples=2), {}, "beyond its colours"),
        (Kind(photometric=2), {277: [2]}, "2 x 8 bits"),
        (Kind(photometric=5), {332: [2]}, "inks"),
        (Kind(32, 3, photometric=2, compression=8), {}, r"3 x 32 bits \(float\), RGB, Deflate"),
        (Kind(16, extra=(2,), compression=5), {}, "2 x 16 bits, grey, LZW"),
        (Kind(32, order=">", compression=8), {}, "1 x 32 bits"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_by_what_it_is(kind: Kind, changes: dict[int, list[int] | None], named: str):
    with pytest.raises(PhotoError, match=named) as caught:
        read_photo(tiff(kind, changes))
    assert "PNG" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_a_damaged_one_is_one_line_and_libtiff_adds_none(compression: int, capfd: pytest.CaptureFixture[str]):
    whole = tiff(Kind(photometric=2, compression=compression, rows=4), {273: None, 278: None})
    with pytest.raises(PhotoError):
        read_photo(whole)
    content = bytearray(tiff(Kind(photometric=2, compression=compression)))
    content[12:400] = bytes(388)
    with contextlib.suppress(PhotoError):
        read_photo(bytes(content))
    with pytest.raises(PhotoError):
        read_photo(tiff(Kind(photometric=2, compression=compression), {273: [10**6]}))
    assert capfd.readouterr().err == ""


def test_unknown_bits_of_a_damaged_directory_are_no_traceback():
    content = tiff(Kind(16, photometric=2))
    for position in range(8 + 6 * HEIGHT * WIDTH, len(content)):
        for value in (0, 255):
            changed = bytearray(content)
            changed[position] = value
            with contextlib.suppress(PhotoError):
                read_photo(bytes(changed))
