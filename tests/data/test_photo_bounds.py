"""Does no file hold up the machine, the process around or the next thread, whatever it holds?"""

import io
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nin.data.photos.garment import prepare_garment
from nin.data.photos.photo import MAX_BYTES, MAX_PIXELS, read_photo
from nin.errors import PhotoError

GREY = np.add.outer(np.arange(40) * 4, np.arange(60)).astype(np.uint8)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def complaint(path: Path) -> str:
    """Return what is said about a file that cannot be read: one line that starts with its name."""
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(path))
    return message


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def webp_claiming(side: int) -> bytes:
    content = bytearray(encoded(Image.new("RGB", (16, 16)), "WEBP", lossless=True))
    (bits,) = struct.unpack_from("<I", content, 21)
    struct.pack_into("<I", content, 21, bits & ~0xFFFFFFF | (side - 1) << 14 | (side - 1))
    return bytes(content)


def gif_claiming(width: int, height: int) -> bytes:
    content = bytearray(encoded(Image.new("L", (16, 16)), "GIF"))
    struct.pack_into("<HH", content, 6, width, height)
    return bytes(content)


def bmp_claiming(width: int, height: int) -> bytes:
    content = bytearray(encoded(Image.new("L", (16, 16)), "BMP"))
    struct.pack_into("<ii", content, 18, width, height)
    return bytes(content)


def tiff(**tags: int) -> bytes:
    """Return the start of a grey TIFF, one entry a tag: its number behind a "t", and its value."""
    known = {"t256": 7000, "t257": 7000, "t258": 8, "t259": 1, "t262": 1, "t273": 0, "t277": 1, "t278": 7000} | tags
    counts = {"t273": tags.get("strips", 1)}
    entries = [(int(tag[1:]), 4, counts.get(tag, 1), value) for tag, value in known.items() if tag != "strips"]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def jpeg_of_many_scans() -> bytes:
    content = encoded(Image.new("L", (7000, 7000), 100), "JPEG", progressive=True)
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x00\x00"  # refers to each pixel, and holds nothing
    return content[:-2] + scan * 500_000 + b"\xff\xd9"


def jpeg_of_many_segments(segment: bytes, times: int) -> bytes:
    content = encoded(Image.new("L", (16, 16), 100), "JPEG")
    return content[:2] + segment * times + content[2:]


def gif_of_many_comments() -> bytes:
    return gif_claiming(16, 16)[:13] + b"!\xfe\x01x\0" * 1_000_000


BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png_claiming(7072, 7072),
    "png, giant": lambda: png_claiming(2**31 - 1, 2**31 - 1),
    "png, thin": lambda: png_claiming(100_000, 501),
    "webp": lambda: webp_claiming(16_000),
    "gif": lambda: gif_claiming(65_535, 65_535),
    "bmp": lambda: bmp_claiming(10_000, 8_000),
    "bmp, negative": lambda: bmp_claiming(10_000, -(2**31)),
    "tiff": lambda: tiff(t256=60_000, t257=60_000),
    "tiff, strips": lambda: tiff(strips=10_000_000, t273=110, t278=1) + bytes(40_000_000),
    "tiff, tiles": lambda: (
        tiff(t256=100_000, t257=500, t258=1, t322=1, t323=400_000, t324=0, t325=8) + bytes(7_000_000)
    ),
    "tiff, compressed tiles": lambda: tiff(t256=100_000, t257=1, t259=8, t322=16, t323=400_000, t324=0, t325=8),
    "jpeg, scans": jpeg_of_many_scans,
    "jpeg, exif": lambda: jpeg_of_many_segments(b"\xff\xe1\x27\x10Exif\0\0" + bytes(9992), 4000),
    "jpeg, segments": lambda: jpeg_of_many_segments(b"\xff\xe5\x00\x02", 4_000_000),
    "gif, comments": gif_of_many_comments,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, name: str):
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    assert re.search("pixels|too many", complaint(path))  # decoded, some would take hours


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path):
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "50 MB" in complaint(path)


MEASURE = """
import re, sys
from pathlib import Path
from nin.data.photos.garment import prepare_garment
from nin.data.photos.photo import read_photo
def peak(): return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
prepare_garment(read_photo(Path(sys.argv[1])))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much memory was used")
@pytest.mark.slow
def test_the_largest_image_needs_less_than_a_gigabyte(tmp_path: Path):
    size = (7000, MAX_PIXELS // 7000)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.webp"  # the decoder that needs the most
    Image.new("RGBA", size, (10, 20, 30, 40)).save(path, lossless=True, quality=0, method=0, exif=exif)
    measured = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, check=True)
    assert 2 * 10**8 < int(measured.stdout) < 10**9


# ---------------------------------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------------------------------


def test_eight_threads_leave_the_programs_warnings_alone_and_get_the_right_images():
    rng = np.random.default_rng(0)
    contents: list[bytes] = []
    for index in range(20):
        pixels = np.full((150, 100, 3), 255, np.uint8)
        pixels[20 + index : 100, 25:75] = rng.integers(0, 200, 3)
        contents.append(encoded(Image.fromarray(pixels), ("PNG", "JPEG", "TIFF", "WEBP", "GIF")[index % 5]))

    def answer(index: int) -> np.ndarray:
        return prepare_garment(read_photo(contents[index % 20])).image

    expected = [answer(index) for index in range(20)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, range(400)))
    assert list(warnings.filters) == before
    assert all(np.array_equal(image, expected[index % 20]) for index, image in enumerate(found))
    with pytest.warns(UserWarning, match="its own"):
        warnings.warn("its own", UserWarning, stacklevel=1)


def test_a_program_that_turns_warnings_into_errors_still_reads_damaged_exif():
    for file_format in ("JPEG", "PNG", "WEBP"):
        for exif in (b"Exif\0\0MM\0*\0\0\0\x08\0\x09", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"):
            content = encoded(Image.fromarray(GREY), file_format, exif=exif)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert read_photo(content).size == (60, 40)


# ---------------------------------------------------------------------------------------------------------------------
# Whatever a file holds
# ---------------------------------------------------------------------------------------------------------------------


@cache
def samples() -> tuple[bytes, ...]:
    """Return a file of each format, of each mode that it holds, small enough to be damaged everywhere."""
    colours = Image.merge("RGB", [Image.fromarray(np.roll(GREY, shift)) for shift in (0, 300, 900)])
    exif = Image.Exif()
    exif[0x0112] = 8
    found: list[bytes] = []
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "F"):
        image = Image.fromarray(GREY.astype(np.uint16)) if mode == "I;16" else colours.convert(mode)
        for file_format, options in {
            "PNG": {"exif": exif},
            "JPEG": {"exif": exif, "progressive": mode == "RGB"},
            "WEBP": {"lossless": mode == "L"},
            "GIF": {"save_all": True, "append_images": [image]},
            "TIFF": {},
            "BMP": {},
        }.items():
            try:
                found.append(encoded(image, file_format, **options))
            except (OSError, ValueError):  # a format without this mode
                continue
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group4"):
        image = colours.convert("1") if compression == "group4" else colours
        found.append(encoded(image, "TIFF", compression=compression))
    return tuple(found)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a real file in which bytes were changed, taken out, doubled or cut off: most often near its start."""
    content = bytearray(draw(st.sampled_from(samples())))
    for _ in range(draw(st.integers(1, 4))):
        near = draw(st.sampled_from((60, 200, len(content))))
        position = draw(st.integers(8, max(8, min(near, len(content)) - 1)))  # not where the format is told
        match draw(st.sampled_from(("change", "number", "cut", "take out", "double", "insert"))):
            case "change":
                content[position : position + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":  # a size, count or offset that is extreme
                number = draw(st.sampled_from((0, 1, 0x7FFF, 0xFFFF, 10**7, 2**31 - 1, 2**32 - 1)))
                content[position : position + 4] = struct.pack(draw(st.sampled_from(("<I", ">I"))), number)
            case "cut":
                del content[position:]
            case "take out":
                del content[position : position + draw(st.integers(1, 30))]
            case "double":
                content[position:position] = content[position : position + draw(st.integers(1, 300))]
            case _:
                content[position:position] = draw(st.binary(max_size=20))
    return bytes(content)


MAGIC = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8L", b"GIF89a", b"BM",
    b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", b"%!PS-Adobe", b"P6 9 9 255 ", b"",
)  # fmt: skip


@st.composite
def odd(draw: st.DrawFn) -> bytes:
    """Draw a good file of odd shape and mode."""
    size = draw(st.sampled_from(((1, 1), (1, 3000), (3000, 1), (2, 7), (28, 28), (29, 2), (300, 200))))
    mode = draw(st.sampled_from(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")))
    seed = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode).convert(mode)
    return encoded(image, draw(st.sampled_from(("PNG", "TIFF"))))


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a path to write to again and again."""
    return tmp_path_factory.mktemp("any") / "file"


@settings(max_examples=400, deadline=None)
@given(
    content=st.one_of(
        damaged(), damaged(), odd(), st.builds(bytes.__add__, st.sampled_from(MAGIC), st.binary(max_size=300))
    ),
    channels=st.sampled_from((1, 3)),
)
def test_whatever_a_file_holds_it_becomes_an_image_or_one_line(anywhere: Path, content: bytes, channels: int):
    anywhere.write_bytes(content)
    try:
        shown = prepare_garment(read_photo(anywhere), channels)
    except PhotoError as error:
        message = str(error)
    else:
        assert shown.image.shape == (channels, 28, 28)
        assert shown.image.dtype == np.uint8
        return
    assert message.isprintable()
    assert message.startswith(str(anywhere))
