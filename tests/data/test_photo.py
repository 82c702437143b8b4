"""Does any file from life become a picture like Fashion-MNIST's, or else one line that says why not?"""

import io
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from garments import GARMENTS, t_shirt
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nin.errors import NinError
from nin.pictures import MAX_BYTES, MAX_PIXELS, PictureError, find_pictures, prepare_picture, read_picture

GREY = np.add.outer(np.arange(40) * 4, np.arange(60)).astype(np.uint8)  # 0 at the top left, 215 at the bottom right


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Image.Image]:
    """Save a picture in a format and read it again, or read such bytes."""

    def through_a_file(content: Image.Image | bytes, file_format: str = "PNG", **options: object) -> Image.Image:
        path = tmp_path / "picture"
        path.write_bytes(content if isinstance(content, bytes) else encoded(content, file_format, **options))
        picture = read_picture(path)
        assert picture.mode == "RGB"
        return picture

    return through_a_file


def complaint(path: Path) -> str:
    """Give what is said about a file that cannot be read: one line that starts with its name."""
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(ascii(str(path))[1:-1])
    return message


def prepared(picture: Image.Image, **options: object) -> np.ndarray:
    """Prepare a picture, and give (28, 28) of its first channel."""
    return prepare_picture(picture, **options).image[0].numpy()


# ---------------------------------------------------------------------------------------------------------------------
# What is in a file
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_each_format_is_read(read: Callable[..., Image.Image], file_format: str):
    picture = read(Image.fromarray(GREY), file_format)
    np.testing.assert_allclose(np.asarray(picture)[..., 1], GREY, atol=12)


@pytest.mark.parametrize(
    ("pixels", "file_format"),
    [
        (GREY.astype(np.uint16) * 257, "PNG"),
        (GREY.astype(np.uint16) * 257, "TIFF"),
        (GREY.astype(np.int32) * 257, "TIFF"),
        (GREY.astype(np.uint16) * 16, "PNG"),  # 12 bits
        (GREY.astype(np.uint16), "PNG"),  # 8 bits, saved as 16
        (GREY.astype(np.float32) / 255, "TIFF"),
        (GREY.astype(np.float32), "TIFF"),
        (GREY.astype(np.float32) / 255 - 1, "TIFF"),
    ],
)
def test_more_than_8_bits_are_scaled_and_not_cut_off(
    read: Callable[..., Image.Image], pixels: np.ndarray, file_format: str
):
    grey = np.asarray(read(Image.fromarray(pixels), file_format))[..., 0]
    expected = GREY / 2 if pixels.min() < 0 else GREY  # from -1, which is black, to 1, which is white
    np.testing.assert_allclose(grey, expected, atol=1)


def test_pixels_that_are_no_numbers_are_refused(read: Callable[..., Image.Image]):
    with pytest.raises(PictureError, match="finite"):
        read(Image.fromarray(np.full((4, 4), np.inf, np.float32)), "TIFF")


def half_transparent() -> Image.Image:
    """Give black above, which is opaque, and black below, which is transparent."""
    picture = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 30, 15))
    return picture


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "TIFF")],
)
def test_transparency_shows_white(read: Callable[..., Image.Image], mode: str, file_format: str):
    picture = half_transparent()
    if mode == "P":
        picture = Image.new("P", picture.size, 1)
        picture.putpalette([0, 0, 0, 0, 0, 0])
        picture.paste(0, (0, 0, 30, 15))
        picture.info["transparency"] = 1
    elif mode == "LA":
        picture = picture.convert("LA")
    shown = read(picture, file_format)
    assert shown.getpixel((15, 3)) == (0, 0, 0)
    assert shown.getpixel((15, 27)) == (255, 255, 255)


def test_a_pixel_half_transparent_is_half_white(read: Callable[..., Image.Image]):
    assert read(Image.new("RGBA", (5, 5), (0, 100, 200, 128))).getpixel((0, 0)) == (127, 177, 227)


@pytest.mark.parametrize(
    "mode",
    "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B I;16L I;16N".split(" "),  # noqa: SIM905
)
def test_every_mode_becomes_rgb(mode: str):
    assert prepare_picture(Image.new(mode, (50, 40)), channels=3).image.shape == (3, 28, 28)


def test_cmyk_and_one_bit_keep_their_colours(read: Callable[..., Image.Image]):
    red = np.asarray(read(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert (red[..., 0] > 240).all()
    assert (red[..., 1:] < 15).all()
    assert read(Image.new("1", (16, 16), 1)).getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_camera_held_otherwise_is_turned_back(read: Callable[..., Image.Image], orientation: int, file_format: str):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a picture lies in the file, as Pillow counts
    upright = Image.new("L", (40, 24), 255)
    upright.paste(0, (0, 0, 10, 6))
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = read(stored, file_format, exif=exif)
    np.testing.assert_allclose(np.asarray(shown)[..., 0], np.asarray(upright), atol=30)
    bare = Image.fromarray(np.asarray(shown))
    np.testing.assert_array_equal(prepared(shown), prepared(bare))  # and is not turned once more


def test_a_program_may_open_the_picture_itself(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    t_shirt().save(tmp_path / "lying.jpg", exif=exif)
    with Image.open(tmp_path / "lying.jpg") as opened:
        shown = prepared(opened)
    np.testing.assert_array_equal(shown, prepared(read_picture(tmp_path / "lying.jpg")))


def test_damaged_exif_costs_the_orientation_only(read: Callable[..., Image.Image]):
    assert read(Image.fromarray(GREY), "JPEG", exif=b"Exif\0\0MM\0nonsense").size == (60, 40)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_shown(read: Callable[..., Image.Image], file_format: str):
    frames = [Image.new("L", (20, 20), grey) for grey in (200, 10, 90)]
    shown = read(frames[0], file_format, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(np.asarray(shown), 200, atol=3)


# ---------------------------------------------------------------------------------------------------------------------
# As Fashion-MNIST's pictures were made
# ---------------------------------------------------------------------------------------------------------------------


def on(
    background: int, garment: int, box: tuple[int, int, int, int], size: tuple[int, int] = (600, 400)
) -> Image.Image:
    picture = Image.new("L", size, background)
    picture.paste(garment, box)
    return picture


def test_a_garment_off_the_middle_of_a_white_picture_fills_the_square_light_on_black():
    shown = prepare_picture(on(255, 60, (30, 200, 130, 400)))
    pixels = shown.image[0].numpy()
    assert shown.inverted
    assert shown.image.dtype == torch.uint8
    assert (pixels[:, 7:21] > 150).all()  # 100 x 200 became 14 x 28, in the middle
    assert not pixels[:, :7].any()
    assert not pixels[:, 21:].any()


def test_a_dark_background_stays_dark():
    shown = prepare_picture(on(10, 200, (30, 200, 130, 400)))
    assert not shown.inverted
    assert shown.image[0, 14, 14] == 200
    assert shown.image[0, 14, 2] == 10


@pytest.mark.parametrize(("invert", "garment"), [("yes", 155), ("no", 100)])
def test_who_says_whether_to_invert_is_obeyed(invert: str, garment: int):
    for background in (0, 255):
        shown = prepare_picture(on(background, 100, (100, 100, 300, 300)), invert=invert)
        assert shown.inverted == (invert == "yes")
        assert shown.image[0, 14, 14] == garment


def test_one_garment_shows_the_same_in_every_size_place_and_format(read: Callable[..., Image.Image]):
    garment = t_shirt()
    alone = prepared(garment).astype(float)
    wall = Image.new("RGB", (2000, 1500), "white")
    wall.paste(garment.resize((800, 1000)), (1100, 300))
    for other in (wall, read(wall, "JPEG"), read(garment, "WEBP", quality=90)):
        assert np.abs(prepared(other) - alone).mean() < 4


def test_noise_within_5_percent_is_background_and_more_is_not():
    noisy = on(240, 60, (100, 100, 200, 300))
    noisy.putpixel((5, 5), 228)
    assert prepared(noisy)[:, 10].min() > 150
    noisy.putpixel((5, 5), 220)
    assert prepared(noisy)[0, 10] < 50


def test_a_garment_that_covers_a_corner_is_not_taken_for_the_background():
    pixels = prepared(on(255, 80, (0, 0, 200, 100)))
    assert (pixels[8:20] > 150).all()


def test_outlines_are_sharpened():
    picture = on(255, 155, (100, 100, 300, 300))
    ImageDraw.Draw(picture).rectangle((150, 100, 249, 299), fill=55)
    pixels = prepared(picture).astype(int)
    assert pixels[14, 7] > 210 > pixels[14, 14] == 200  # the dark stripe is darkest at its edge, here light on black
    assert pixels[14, 6] < 90 < pixels[14, 2] == 100  # and what it lies on is lightest there


def test_fine_fabric_is_averaged_instead_of_becoming_noise():
    fabric = np.full((700, 700), 255, np.uint8)
    fabric[70:630, 70:630] = np.where(np.indices((560, 560)).sum(0) % 3 == 0, 255, 0)
    assert prepared(Image.fromarray(fabric))[3:25, 3:25].std() < 3


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_of_fashion_mnist_comes_out_as_it_is(read: Callable[..., Image.Image], mode: str):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[3:20, 0:23] = np.random.default_rng(0).integers(0, 256, (17, 23))  # neither in the middle nor to the edge
    shown = prepare_picture(read(Image.fromarray(pixels).convert(mode)))
    np.testing.assert_array_equal(shown.image[0].numpy(), pixels)
    assert not shown.inverted
    negative = prepare_picture(read(Image.fromarray(255 - pixels)))
    np.testing.assert_array_equal(negative.image[0].numpy(), pixels)
    assert negative.inverted


def test_three_channels_keep_their_colours():
    picture = Image.new("RGB", (300, 300), "black")
    picture.paste((200, 100, 50), (50, 50, 250, 250))
    assert prepare_picture(picture, channels=3).image[:, 14, 14].tolist() == [200, 100, 50]
    assert prepare_picture(picture, channels=3, side=64).image.shape == (3, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (28, 1), (3000, 1), (1, 3000), (100_000, 40), (29, 28)])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_a_picture_of_one_colour_stays_that_colour_whatever_its_shape(size: tuple[int, int], grey: int):
    shown = prepare_picture(Image.new("L", size, grey))
    assert (shown.image == (255 - grey if grey >= 128 else grey)).all()


def test_a_thin_garment_keeps_one_pixel():
    assert (prepared(on(255, 0, (10, 200, 590, 201))).max(axis=1) > 100).sum() == 1


@pytest.mark.parametrize("name", GARMENTS)
def test_the_garments_of_the_documentation_are_ready_to_try(name: str):
    path = Path(__file__).parents[1] / f"docs/garments/{name}.jpg"
    shown = prepare_picture(read_picture(path))
    light = shown.image[0] > 60
    assert path.stat().st_size < 20_000
    assert shown.inverted
    assert max(light.any(0).sum(), light.any(1).sum()) == 28
    assert not shown.image[0, [0, 0, -1], [0, -1, 0]].any()  # the heel of the boot stands in the last corner


def test_preparing_leaves_the_picture_given_as_it_was():
    picture = half_transparent()
    before = picture.tobytes(), picture.mode
    prepare_picture(picture)
    assert (picture.tobytes(), picture.mode) == before


@pytest.mark.parametrize("options", [{"channels": 2}, {"channels": 0}, {"side": 0}, {"invert": "maybe"}])
def test_options_out_of_range_are_refused(options: dict[str, object]):
    function = getattr(prepare_picture, "__wrapped__", prepare_picture)  # without the types that tests check
    with pytest.raises(NinError, match=str(next(iter(options.values())))):
        function(Image.new("L", (5, 5)), **options)


# ---------------------------------------------------------------------------------------------------------------------
# Which files
# ---------------------------------------------------------------------------------------------------------------------


def test_folders_stand_for_the_files_below_them_in_order(tmp_path: Path):
    for name in ("f/b.png", "f/a.jpg", "f/notes.txt", "f/sub/c.png", "f/.hidden.png", "f/.git/d.png", "z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "f/circle").symlink_to(tmp_path / "f", target_is_directory=True)
    (tmp_path / "empty").mkdir()
    missing, last = tmp_path / "missing.png", tmp_path / "z.png"
    found = find_pictures([last, tmp_path / "f", missing, tmp_path / "empty", last])
    below = [tmp_path / "f" / name for name in ("a.jpg", "b.png", "notes.txt", "sub/c.png")]
    assert found == [last, *below, missing, tmp_path / "empty", last]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path: Path):
    path = tmp_path / "folder/secret.png"
    path.parent.mkdir()
    path.write_bytes(encoded(Image.new("L", (5, 5)), "PNG"))
    path.chmod(0)
    assert "ermission" in complaint(path)
    path.parent.chmod(0)
    assert find_pictures([tmp_path]) == [path.parent]
    path.parent.chmod(0o700)


HALF_A_PNG = encoded(Image.fromarray(GREY), "PNG")[:60]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.97])
def test_half_a_file_is_refused(tmp_path: Path, file_format: str, part: float):
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)
    content = encoded(Image.fromarray(noise), file_format)
    path = tmp_path / "part"
    path.write_bytes(content[: int(len(content) * part)])
    assert "as PNG" in complaint(path)


def test_what_is_no_picture_is_said_in_one_line(tmp_path: Path):
    contents = {
        "text.png": (b"not a picture", "PNG, JPEG, WebP, GIF, TIFF, BMP"),
        "empty.jpg": (b"", "empty"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "PNG, JPEG"),
        "line\nbreak\x1b[31m\udcff.png": (b"?", "PNG, JPEG"),
        "half.png": (HALF_A_PNG, "decoded"),
    }
    for name, (content, expected) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert expected in complaint(tmp_path / name)
    assert "folder" in complaint(tmp_path)
    assert "name" in complaint(tmp_path / "missing.png")
    assert "name" in complaint(tmp_path / "text.png/below.png")
    assert "name" in complaint(tmp_path / ("long" * 100))
    (tmp_path / "broken").symlink_to("nowhere")
    assert "link" in complaint(tmp_path / "broken")
    with pytest.raises(PictureError, match="null"):
        read_picture(Path("a\0b"))


def test_pipes_sockets_and_devices_are_refused_without_waiting():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:  # short, for the socket
        pipe, door = Path(folder, "pipe.png"), Path(folder, "socket.png")
        os.mkfifo(pipe)
        listener.bind(str(door))
        for path in (pipe, door, Path("/dev/zero")):
            assert "pipe" in complaint(path)


# ---------------------------------------------------------------------------------------------------------------------
# Bounds
# ---------------------------------------------------------------------------------------------------------------------


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
    """Give the start of a grey TIFF, one entry a tag: its number behind a "t", and its value."""
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


def test_a_picture_given_by_a_program_has_the_same_bounds():
    with pytest.raises(PictureError, match="100000 x 501 pixels"):
        prepare_picture(Image.new("1", (100_000, 501)))
    with pytest.raises(PictureError, match="0 x 5 pixels"):
        prepare_picture(Image.new("L", (0, 5)))
    with pytest.raises(PictureError, match="decoded"):
        prepare_picture(Image.open(io.BytesIO(HALF_A_PNG)))


MEASURE = """
import re, sys
from pathlib import Path
from nin.pictures import prepare_picture, read_picture
def peak(): return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
prepare_picture(read_picture(Path(sys.argv[1])))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much memory was used")
def test_the_largest_picture_needs_less_than_a_gigabyte(tmp_path: Path):
    size = (7000, MAX_PIXELS // 7000)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.webp"  # the decoder that needs the most
    Image.new("RGBA", size, (10, 20, 30, 40)).save(path, lossless=True, quality=0, method=0, exif=exif)
    measured = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, check=True)
    assert 2 * 10**8 < int(measured.stdout) < 10**9


# ---------------------------------------------------------------------------------------------------------------------
# Whatever a file holds
# ---------------------------------------------------------------------------------------------------------------------


@cache
def samples() -> tuple[bytes, ...]:
    """Give a file of each format, of each mode that it holds, small enough to be damaged everywhere."""
    colours = Image.merge("RGB", [Image.fromarray(np.roll(GREY, shift)) for shift in (0, 300, 900)])
    exif = Image.Exif()
    exif[0x0112] = 8
    found: list[bytes] = []
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "F"):
        picture = Image.fromarray(GREY.astype(np.uint16)) if mode == "I;16" else colours.convert(mode)
        for file_format, options in {
            "PNG": {"exif": exif},
            "JPEG": {"exif": exif, "progressive": mode == "RGB"},
            "WEBP": {"lossless": mode == "L"},
            "GIF": {"save_all": True, "append_images": [picture]},
            "TIFF": {},
            "BMP": {},
        }.items():
            try:
                found.append(encoded(picture, file_format, **options))
            except (OSError, ValueError):  # a format without this mode
                continue
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group4"):
        picture = colours.convert("1") if compression == "group4" else colours
        found.append(encoded(picture, "TIFF", compression=compression))
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
    picture = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode).convert(mode)
    return encoded(picture, draw(st.sampled_from(("PNG", "TIFF"))))


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a path to write to again and again."""
    return tmp_path_factory.mktemp("any") / "file"


@settings(max_examples=600, deadline=None)
@given(
    content=st.one_of(
        damaged(), damaged(), odd(), st.builds(bytes.__add__, st.sampled_from(MAGIC), st.binary(max_size=300))
    ),
    channels=st.sampled_from((1, 3)),
)
def test_whatever_a_file_holds_it_becomes_a_picture_or_one_line(anywhere: Path, content: bytes, channels: int):
    anywhere.write_bytes(content)
    try:
        shown = prepare_picture(read_picture(anywhere), channels)
    except PictureError as error:
        message = str(error)
    else:
        assert shown.image.shape == (channels, 28, 28)
        assert shown.image.dtype == torch.uint8
        return
    assert message.isprintable()
    assert message.startswith(str(anywhere))
