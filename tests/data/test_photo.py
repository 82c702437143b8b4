"""Does any photo become an image, and does each folder and file that is none get its one line?"""

import io
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin.data.photos.photo import MAX_BYTES, read_photo
from nin.errors import PhotoError

GREY = np.add.outer(np.arange(40) * 4, np.arange(60)).astype(np.uint8)  # 0 at the top left, 215 at the bottom right


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Image.Image]:
    """Save an image in a format and read it again, or read such bytes."""

    def through_a_file(content: Image.Image | bytes, file_format: str = "PNG", **options: object) -> Image.Image:
        path = tmp_path / "photo"
        path.write_bytes(content if isinstance(content, bytes) else encoded(content, file_format, **options))
        image = read_photo(path)
        assert image.mode == "RGB"
        return image

    return through_a_file


HALF_A_PNG = encoded(Image.fromarray(GREY), "PNG")[:60]


def complaint(path: Path) -> str:
    """Return what is said about a file that cannot be read: one line that starts with its name."""
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(ascii(str(path))[1:-1])
    return message


# ---------------------------------------------------------------------------------------------------------------------
# What is in a file
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_each_format_is_read(read: Callable[..., Image.Image], file_format: str):
    image = read(Image.fromarray(GREY), file_format)
    np.testing.assert_allclose(np.asarray(image)[..., 1], GREY, atol=12)


@pytest.mark.parametrize(
    ("pixels", "file_format"),
    [
        (GREY.astype(np.uint16) * 257, "PNG"),
        (GREY.astype(np.uint16) * 257, "TIFF"),
        ((GREY.astype(np.int64) * 2**24 - 2**31).astype(np.int32), "TIFF"),
        (GREY.astype(np.float32) / 255, "TIFF"),
        (GREY.astype(np.float32), "TIFF"),
        (GREY.astype(np.float32) / 255 - 1, "TIFF"),
    ],
)
def test_more_than_8_bits_are_scaled_and_not_cut_off(
    read: Callable[..., Image.Image], pixels: np.ndarray, file_format: str
):
    grey = np.asarray(read(Image.fromarray(pixels), file_format))[..., 0]
    expected = GREY / 2 if pixels.min() == -1 else GREY  # from -1, which is black, to 1, which is white
    np.testing.assert_allclose(grey, expected, atol=1)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("factor", [16, 1])  # 12 bits, or 8, that were saved as 16
def test_a_dark_image_of_16_bits_stays_dark(read: Callable[..., Image.Image], file_format: str, factor: int):
    grey = np.asarray(read(Image.fromarray(GREY.astype(np.uint16) * factor), file_format))[..., 0]
    np.testing.assert_array_equal(grey, GREY.astype(int) * factor // 256)


def half_transparent() -> Image.Image:
    """Return black above, which is opaque, and black below, which is transparent."""
    image = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 30, 15))
    return image


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "TIFF")],
)
def test_transparency_shows_white(read: Callable[..., Image.Image], mode: str, file_format: str):
    image = half_transparent()
    if mode == "P":
        image = Image.new("P", image.size, 1)
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.paste(0, (0, 0, 30, 15))
        image.info["transparency"] = 1
    elif mode == "LA":
        image = image.convert("LA")
    shown = read(image, file_format)
    assert shown.getpixel((15, 3)) == (0, 0, 0)
    assert shown.getpixel((15, 27)) == (255, 255, 255)


def test_a_pixel_half_transparent_is_half_white(read: Callable[..., Image.Image]):
    assert read(Image.new("RGBA", (5, 5), (0, 100, 200, 128))).getpixel((0, 0)) == (127, 177, 227)


def test_cmyk_and_one_bit_keep_their_colours(read: Callable[..., Image.Image]):
    red = np.asarray(read(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert (red[..., 0] > 240).all()
    assert (red[..., 1:] < 15).all()
    assert read(Image.new("1", (16, 16), 1)).getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_camera_held_otherwise_is_turned_back(read: Callable[..., Image.Image], orientation: int, file_format: str):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how an image lies in the file, as Pillow counts
    upright = Image.new("L", (40, 24), 255)
    upright.paste(0, (0, 0, 10, 6))
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = read(stored, file_format, exif=exif)
    np.testing.assert_allclose(np.asarray(shown)[..., 0], np.asarray(upright), atol=30)


@pytest.mark.parametrize("exif", [b"MM\0nonsense", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\x11\0"])
def test_damaged_exif_costs_the_orientation_only(read: Callable[..., Image.Image], exif: bytes):
    assert read(Image.fromarray(GREY), "JPEG", exif=b"Exif\0\0" + exif).size == (60, 40)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_shown(read: Callable[..., Image.Image], file_format: str):
    frames = [Image.new("L", (20, 20), grey) for grey in (200, 10, 90)]
    shown = read(frames[0], file_format, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(np.asarray(shown), 200, atol=3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path: Path):
    path = tmp_path / "folder/secret.png"
    path.parent.mkdir()
    path.write_bytes(encoded(Image.new("L", (5, 5)), "PNG"))
    path.chmod(0)
    assert "ermission" in complaint(path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.97])
def test_half_a_file_is_refused(tmp_path: Path, file_format: str, part: float):
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)
    content = encoded(Image.fromarray(noise), file_format)
    path = tmp_path / "part"
    path.write_bytes(content[: int(len(content) * part)])
    assert "as PNG" in complaint(path)


def test_what_is_no_image_is_said_in_one_line(tmp_path: Path):
    contents = {
        "text.png": (b"not an image", "PNG, JPEG, WebP, GIF, TIFF, BMP"),
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
    with pytest.raises(PhotoError, match="null"):
        read_photo(Path("a\0b"))


def test_pipes_sockets_and_devices_are_refused_without_waiting():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:  # short, for the socket
        pipe, door = Path(folder, "pipe.png"), Path(folder, "socket.png")
        os.mkfifo(pipe)
        listener.bind(str(door))
        for path in (pipe, door, Path("/dev/zero")):
            assert "pipe" in complaint(path)


# ---------------------------------------------------------------------------------------------------------------------
# Bytes and open files
# ---------------------------------------------------------------------------------------------------------------------


def test_bytes_and_open_files_are_read_as_the_file_is(tmp_path: Path):
    content = encoded(Image.fromarray(GREY), "PNG")
    path = tmp_path / "photo"
    path.write_bytes(content)
    expected = np.asarray(read_photo(path))
    written = io.BytesIO()
    Image.fromarray(GREY).save(written, "PNG")  # it is at its end now
    with path.open("rb") as file:
        for source in (content, io.BytesIO(content), written, written, file, file):
            np.testing.assert_array_equal(np.asarray(read_photo(source)), expected)


def test_a_stream_that_cannot_be_rewound_is_read_from_where_it_is():
    outlet, inlet = os.pipe()
    content = encoded(Image.fromarray(GREY), "PNG")
    os.write(inlet, content)
    os.close(inlet)
    with open(outlet, "rb") as stream:  # noqa: PTH123
        np.testing.assert_array_equal(np.asarray(read_photo(stream))[..., 0], GREY)


def test_bytes_that_are_no_photo_are_one_line():
    closed = io.BytesIO(b"x")
    closed.close()
    for source, expected in (
        (b"", "empty"),
        (io.BytesIO(), "empty"),
        (b"\x89PNG", "PNG, JPEG, WebP, GIF, TIFF, BMP"),
        (closed, "closed"),
        (HALF_A_PNG, "decoded"),
        (bytes(MAX_BYTES + 1), "50 MB"),
        (io.BytesIO(bytes(MAX_BYTES + 1)), "50 MB"),
    ):
        with pytest.raises(PhotoError, match=f"^the photo: .*{expected}") as caught:
            read_photo(source)
        assert str(caught.value).isprintable()


def test_a_file_opened_as_text_is_told_so():
    with pytest.raises(PhotoError, match="'rb'"):
        read_photo(io.StringIO("text"))
