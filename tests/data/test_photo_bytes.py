"""Are the pixels of every kind of PNG, JPEG, WebP, GIF and BMP shown as they are, whatever else the file holds?"""

import io
import struct
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from nin.data.photos.photo import read_photo
from nin.errors import PhotoError

HEIGHT, WIDTH = 18, 21
GRADIENT = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def shown(content: bytes) -> np.ndarray:
    """Return (height, width, 3) of a photo."""
    return np.asarray(read_photo(content)).astype(int)


def colours(count: int, bits: int) -> np.ndarray:
    """Return (height, width, count) of numbers of so many bits."""
    planes = [np.roll(GRADIENT[:: (-1) ** index], 7 * index) for index in range(count)]
    return np.round(np.stack(planes, -1) * (2**bits - 1)).astype(np.int64)


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


# ---------------------------------------------------------------------------------------------------------------------
# PNG
# ---------------------------------------------------------------------------------------------------------------------

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values: np.ndarray, bits: int, kind: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a PNG of (height, width, channels), with chunks before and after its pixels."""
    height, width, _ = values.shape
    if bits < 8:
        rows = np.packbits((values >> np.arange(bits)[::-1] & 1).reshape(height, -1).astype(np.uint8), axis=1)
    else:
        rows = np.frombuffer(values.astype(f">u{bits // 8}").tobytes(), np.uint8).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


GREY = colours(1, 8)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [*product([0], [1, 2, 4, 8, 16]), *product([2, 4, 6], [8, 16]), *product([3], [1, 2, 4, 8])],
)
def test_each_kind_of_png_has_its_colours(kind: int, bits: int):
    values = colours(CHANNELS[kind], bits)
    content = png(values, bits, kind, chunk(b"PLTE", PALETTE[: 2**bits].tobytes()) if kind in (2, 3) else b"")
    part = values / (2**bits - 1)
    if kind == 3:
        expected = PALETTE[values[..., 0]]
    elif kind in (4, 6):
        expected = 255 * (part[..., :-1] * part[..., -1:] + 1 - part[..., -1:])
    else:
        expected = 255 * part
    assert np.abs(shown(content) - expected).max() <= (2.5 if kind in (4, 6) else 1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_a_png_is_white_and_no_other(bits: int):
    values = colours(1, bits)
    clear = int(values[5, 5, 0])
    expected = np.where(values == clear, 255, 255 * values / (2**bits - 1))
    content = png(values, bits, 0, chunk(b"tRNS", struct.pack(">H", clear)))
    assert np.abs(shown(content) - expected).max() <= 1


def test_a_transparent_colour_of_a_png_is_white():
    values = colours(3, 8)
    content = png(values, 8, 2, chunk(b"tRNS", struct.pack(">3H", *map(int, values[5, 5]))))
    np.testing.assert_array_equal(shown(content)[5, 5], 255)
    rest = (values != values[5, 5]).any(-1)
    np.testing.assert_array_equal(shown(content)[rest], values[rest])
    with pytest.raises(PhotoError, match="16 bits with a transparent colour"):
        shown(png(colours(3, 16), 16, 2, chunk(b"tRNS", bytes(6))))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_entries_of_a_palette_are_white(bits: int):
    values = colours(1, bits)
    clear = bytes([0, 128])
    content = png(values, bits, 3, chunk(b"PLTE", PALETTE[: 2**bits].tobytes()) + chunk(b"tRNS", clear))
    alpha = np.array([*clear, *[255] * 254])[values] / 255
    assert np.abs(shown(content) - (PALETTE[values[..., 0]] * alpha + 255 * (1 - alpha))).max() <= 1


LONG = zlib.compress(bytes(2_000_000))
NOTES = {
    "gAMA": b"\0\1", "pHYs": b"\0", "sRGB": b"", "cHRM": b"\0" * 8, "iCCP": b"x", "tIME": b"\0", "sBIT": b"",
    "bKGD": b"", "hIST": b"\1", "sPLT": b"\0", "cICP": b"", "eXIf": b"II*\0\xff", "tEXt": b"", "zTXt": b"c\0\0" + LONG,
    "iTXt": b"k\0\1\0\0\0" + LONG, "acTL": b"\0", "fcTL": b"\0", "teSt": b"?" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_notes_never_spoil_a_png(name: str):
    kind, content = name.encode(), NOTES[name]
    whole = chunk(kind, content)
    broken = whole[:-1] + bytes([whole[-1] ^ 1])  # its checksum is wrong
    for note in (whole, broken, whole * 3):
        for before, after in ((note, b""), (b"", note)):
            np.testing.assert_array_equal(shown(png(GREY, 8, 0, before, after)), GREY.repeat(3, -1))
    np.testing.assert_array_equal(shown(png(GREY, 8, 0, b"", whole)[: -12 - len(whole) // 2]), GREY.repeat(3, -1))


@pytest.mark.parametrize(("kind", "bits", "content"), [(0, 8, b""), (0, 8, b"\0"), (2, 8, b"\0\1"), (6, 8, b"\0\1")])
def test_transparency_that_does_not_fit_a_png_is_ignored(kind: int, bits: int, content: bytes):
    values = colours(CHANNELS[kind], bits)
    np.testing.assert_array_equal(
        shown(png(values, bits, kind, chunk(b"tRNS", content))), shown(png(values, bits, kind))
    )
    damaged = bytearray(chunk(b"tRNS", bytes(2)))
    damaged[-1] ^= 1
    np.testing.assert_array_equal(shown(png(GREY, 8, 0, bytes(damaged))), GREY.repeat(3, -1))


def test_a_suggested_palette_of_a_png_may_be_damaged():
    values = colours(3, 8)
    damaged = bytearray(chunk(b"PLTE", bytes(6)))
    damaged[-1] ^= 1
    np.testing.assert_array_equal(shown(png(values, 8, 2, bytes(damaged))), values)
    with pytest.raises(PhotoError, match="decoded"):
        shown(png(GREY, 8, 3, bytes(damaged)))


def test_pixels_of_a_png_that_are_cut_off_or_damaged_are_refused():
    content = png(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)), 8, 2)
    for damaged in (content[:-100], content[:60] + bytes(20) + content[80:]):
        with pytest.raises(PhotoError, match="decoded"):
            shown(damaged)
    np.testing.assert_array_equal(shown(content[:-12]), shown(content))  # only the last chunk is missing


def test_an_animated_png_shows_its_default_image():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    for default in (False, True):
        content = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=default)
        assert (shown(content) == [255, 0, 0]).all()


def test_a_png_in_too_many_chunks_is_refused():
    assert shown(png(GREY, 8, 0, chunk(b"tEXt", b"k\0v") * 10_000)).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(PhotoError, match="too many chunks"):
        shown(png(GREY, 8, 0, chunk(b"tEXt", b"k\0v") * 20_000))


# ---------------------------------------------------------------------------------------------------------------------
# Orientation
# ---------------------------------------------------------------------------------------------------------------------

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def profile(exif: bytes) -> bytes:
    """Return EXIF in the text of a PNG, as ImageMagick writes it."""
    digits = exif.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return b"\nexif\n" + f"{len(exif):8}\n".encode() + "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("place", ["eXIf before", "eXIf after", "tEXt", "zTXt", "XMP", "damaged zTXt"])
def test_a_png_is_turned_as_any_of_its_notes_says(place: str):
    exif = sideways().tobytes().removeprefix(b"Exif\0\0")
    raw = profile(b"Exif\0\0" + exif)
    before, after = {
        "eXIf before": (chunk(b"eXIf", exif), b""),
        "eXIf after": (b"", chunk(b"eXIf", exif)),
        "tEXt": (chunk(b"tEXt", b"Raw profile type exif\0" + raw), b""),
        "zTXt": (chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)), b""),
        "XMP": (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), b""),
        "damaged zTXt": (chunk(b"zTXt", b"Raw profile type exif\0\0?"), chunk(b"eXIf", exif)),
    }[place]
    expected = np.rot90(GREY.repeat(3, -1), -1)
    np.testing.assert_array_equal(shown(png(GREY, 8, 0, before, after)), expected)


def test_xmp_turns_a_jpeg_and_a_webp_where_exif_does_not():
    image = Image.fromarray(GREY[..., 0].astype(np.uint8))
    for file_format in ("JPEG", "WEBP"):
        assert shown(encoded(image, file_format, xmp=XMP)).shape == (WIDTH, HEIGHT, 3)
        upright = Image.Exif()
        upright[0x0112] = 1
        assert shown(encoded(image, file_format, xmp=XMP, exif=upright)).shape == (HEIGHT, WIDTH, 3)


def test_an_orientation_that_does_not_exist_changes_nothing():
    for number in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = number
        assert shown(encoded(Image.new("L", (20, 10)), "JPEG", exif=exif)).shape == (10, 20, 3)


# ---------------------------------------------------------------------------------------------------------------------
# JPEG
# ---------------------------------------------------------------------------------------------------------------------

JPEGS = {
    "plain": {"quality": 75},
    "best": {"quality": 98, "subsampling": 0},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_blocks": 4},
}


def photograph() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 80, (61, 83, 3))
    return Image.fromarray((noise + np.indices((61, 83)).sum(0)[..., None]).astype(np.uint8))


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lacks_only_its_end_is_read(name: str, mode: str):
    whole = encoded(photograph().convert(mode), "JPEG", **JPEGS[name])
    for content in (whole[:-2], whole[:-1], whole[:-2] + b"\xff\xff"):
        np.testing.assert_array_equal(shown(content), shown(whole))


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_pixels_is_refused(name: str, mode: str):
    whole = encoded(photograph().convert(mode), "JPEG", **JPEGS[name])
    for missing in (8, 20, 100, 300, len(whole) // 2, len(whole) * 3 // 4):
        with pytest.raises(PhotoError, match="end is missing"):
            shown(whole[:-missing])
    for missing in range(3, 8):  # a few bits may be none that show
        try:
            found = shown(whole[:-missing])
        except PhotoError:
            continue
        assert np.abs(found - shown(whole)).max() <= 16


def test_what_follows_a_jpeg_is_no_part_of_it():
    whole = encoded(photograph(), "JPEG")
    for more in (b"more", whole, whole[: len(whole) // 2], bytes(1000)):
        np.testing.assert_array_equal(shown(whole + more), shown(whole))


def test_notes_never_spoil_a_jpeg():
    whole = encoded(photograph(), "JPEG")
    for marker in (0xE1, 0xE2, 0xED, 0xEF, 0xFE):
        for note in (
            b"",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"MPF\0MM\0*\0\0\0\x08\xff\xff",
            b"ICC_PROFILE\0\1\1?",
            b"8BIM" * 9,
        ):
            segment = bytes([0xFF, marker]) + struct.pack(">H", len(note) + 2) + note
            np.testing.assert_array_equal(shown(whole[:2] + segment + whole[2:]), shown(whole))


def test_a_jpeg_of_rgb_is_told_by_its_adobe_segment():
    image = photograph()
    whole = encoded(image, "JPEG", quality=98, subsampling=0)
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # its three components are RGB, it says, and not YCbCr
    as_rgb = shown(whole[:2] + adobe + whole[20:])
    assert np.abs(as_rgb - np.asarray(image.convert("YCbCr"))).max() <= 6


# ---------------------------------------------------------------------------------------------------------------------
# WebP, GIF, BMP
# ---------------------------------------------------------------------------------------------------------------------


def frame(left: int, top: int, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (64, 64))
    image.paste((*colour, 255), (left, top, left + 24, top + 32))
    return image


@pytest.mark.parametrize("lossless", [False, True])
def test_what_no_frame_of_an_animated_webp_covers_is_white(lossless: bool):
    one, two = frame(20, 16, (200, 30, 30)), frame(4, 2, (0, 160, 0))
    still = shown(encoded(one, "WEBP", lossless=lossless))
    moving = shown(encoded(one, "WEBP", lossless=lossless, save_all=True, append_images=[two]))
    assert (still[0, 0] == 255).all()
    assert np.abs(moving[[0, 32, 63], [0, 32, 63]] - still[[0, 32, 63], [0, 32, 63]]).max() <= 3


def test_a_later_frame_of_a_webp_may_be_damaged():
    one, two = frame(20, 16, (200, 30, 30)), photograph().resize((64, 64))
    content = encoded(one, "WEBP", lossless=True, save_all=True, append_images=[two])
    np.testing.assert_array_equal(shown(content[: len(content) // 2]), shown(encoded(one, "WEBP", lossless=True)))


def test_notes_never_spoil_a_webp():
    image = photograph()
    whole = encoded(image, "WEBP", lossless=True, exif=b"Exif\0\0II*\0?", xmp=b"?", icc_profile=b"?" * 300)
    np.testing.assert_array_equal(shown(whole), np.asarray(image))
    np.testing.assert_array_equal(shown(whole[:-2]), np.asarray(image))  # within its last note
    np.testing.assert_array_equal(shown(whole + b"more"), np.asarray(image))
    np.testing.assert_array_equal(shown(whole[:4] + bytes(4) + whole[8:]), np.asarray(image))  # its length
    with pytest.raises(PhotoError):
        shown(encoded(image, "WEBP", lossless=True)[:-100])


def test_what_the_first_frame_of_a_gif_does_not_cover_is_white():
    content = bytearray(encoded(Image.new("P", (16, 12), 1), "GIF"))
    small = shown(bytes(content))
    struct.pack_into("<HH", content, 6, 40, 30)  # the screen
    at = content.index(b"\x2c\0\0\0\0\x10\0\x0c\0")
    struct.pack_into("<HH", content, at + 1, 10, 8)
    found = shown(bytes(content))
    assert found.shape == (30, 40, 3)
    np.testing.assert_array_equal(found[8:20, 10:26], small)
    found[8:20, 10:26] = 255
    assert (found == 255).all()


def bmp(values: np.ndarray, bits: int, header: int = 40, masks: tuple[int, ...] = (), palette: bytes = b"") -> bytes:
    """Return a BMP whose rows of numbers of so many bits lie upside down."""
    height, width = values.shape
    if bits < 8:
        split = np.packbits(
            (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(height, -1).astype(np.uint8), axis=1
        )
        rows = [row.tobytes() for row in split]
    elif bits == 24:
        rows = [row.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes() for row in values]
    else:
        rows = [row.astype(f"<u{bits // 8}").tobytes() for row in values]
    data = b"".join(row + bytes(-len(row) % 4) for row in rows[::-1])
    info = struct.pack(
        "<IiiHHIIiiII", header, width, height, 1, bits, 3 if masks else 0, len(data), 0, 0, len(palette) // 4, 0
    )
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_bmp_of_a_palette_has_its_colours(bits: int):
    values = colours(1, bits)[..., 0]
    palette = PALETTE[: 2**bits]
    content = bmp(values, bits, palette=np.pad(palette[:, ::-1], ((0, 0), (0, 1))).tobytes())
    np.testing.assert_array_equal(shown(content), palette[values])


@pytest.mark.parametrize(
    ("bits", "sizes", "masks"),
    [
        (16, (5, 5, 5), ()),
        (16, (5, 5, 5), (0x7C00, 0x3E0, 0x1F)),
        (16, (5, 6, 5), (0xF800, 0x7E0, 0x1F)),
        (24, (8, 8, 8), ()),
        (32, (8, 8, 8), ()),
        (32, (8, 8, 8), (0xFF0000, 0xFF00, 0xFF)),
    ],
)
def test_a_bmp_of_colours_has_them(bits: int, sizes: tuple[int, int, int], masks: tuple[int, ...]):
    red, green, blue = (colours(3, size)[..., index] for index, size in enumerate(sizes))
    values = red << sizes[1] + sizes[2] | green << sizes[2] | blue
    parts = [part / (2**size - 1) for part, size in zip((red, green, blue), sizes, strict=True)]
    assert np.abs(shown(bmp(values, bits, masks=masks)) - 255 * np.stack(parts, -1)).max() <= 8


@pytest.mark.parametrize("header", [56, 108, 124])
def test_the_alpha_of_a_bmp_counts_where_it_is_not_zero_everywhere(header: int):
    red, green, blue, alpha = colours(4, 8).transpose(2, 0, 1)
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    rgb = np.stack([red, green, blue], -1)
    values = red << 16 | green << 8 | blue
    np.testing.assert_array_equal(shown(bmp(values, 32, header, masks)), rgb)
    part = alpha[..., None] / 255
    found = shown(bmp(values | alpha << 24, 32, header, masks))
    assert np.abs(found - (rgb * part + 255 * (1 - part))).max() <= 1


def test_an_alpha_of_zero_everywhere_is_blank_where_the_format_defines_it():
    blank = Image.new("RGBA", (20, 10), (10, 20, 30, 0))
    for file_format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert (shown(encoded(blank, file_format, **options)) == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_no_words_of_a_decoder_reach_the_user(file_format: str):
    content = encoded(photograph(), file_format)
    for damaged in (
        content[:100],
        content[: len(content) // 2],
        content[:40] + bytes(60) + content[100:],
        content[:13],
    ):
        try:
            shown(damaged)
        except PhotoError as error:
            message = str(error)
            assert message.startswith("the photo: ")
            for word in ("decoder", "raw mode", "ssize_t", "driver", "cannot load", "Error", "struct", "buffer"):
                assert word not in message
