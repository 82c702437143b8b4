"""Whatever a classifier is handed, does it become the images that were meant, or one line?"""

import io
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nin.data.photos.garment import Prepared, prepare_garment
from nin.errors import NinError, PhotoError
from nin.inference.inputs import as_images, read_inputs

IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES[..., [0, -1], :] = IMAGES[..., [0, -1]] = 0  # dark at the border, so that nothing is inverted


def read(inputs: Any, channels: int = 1) -> torch.Tensor:
    """Return all images of `inputs`, which have one size."""
    return torch.cat(
        [images for images, _ in read_inputs(inputs, channels, partial(prepare_garment, channels=channels))]
    )


def encoded(image: Image.Image, file_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def photo(index: int) -> Image.Image:
    return Image.fromarray(IMAGES[index, 0].numpy())


class Named:
    """A path whose name is bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return bytes(self.path)


# ---------------------------------------------------------------------------------------------------------------------
# Whatever way they are given, they are the same
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        IMAGES,
        IMAGES.numpy(),
        IMAGES[:, 0],
        IMAGES.float() / 255,
        IMAGES.half() / 255,
        IMAGES.double().numpy() / 255,
        (IMAGES.float() / 255).requires_grad_(),
        list(IMAGES),
        tuple(IMAGES.numpy()),
        IMAGES.numpy()[..., ::-1].copy()[..., ::-1],
        (IMAGES.float() / 255).numpy().astype(">f4"),
        np.frombuffer(IMAGES.numpy().tobytes(), np.uint8).reshape(IMAGES.shape),  # not writable
        [image[0].numpy() for image in IMAGES],
        [IMAGES[:2], [IMAGES[2].numpy(), IMAGES[3:]]],
        [memoryview(image[0].numpy()) for image in IMAGES],
        [photo(index) for index in range(5)],
        [encoded(photo(index)) for index in range(5)],
        [bytearray(encoded(photo(index), "TIFF")) for index in range(5)],
        [memoryview(encoded(photo(index), "BMP")) for index in range(5)],
    ],
)
def test_whatever_way_the_images_are_given_they_are_the_same(given: Any):
    found = read(given)
    assert found.dtype == torch.uint8
    assert not found.requires_grad
    assert torch.equal(found, IMAGES)


def test_files_are_read_by_path_or_open_or_from_a_generator(tmp_path: Path):
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        path.write_bytes(encoded(photo(index)))

    def opened() -> Iterator[Any]:
        for path in paths:
            with path.open("rb") as file:
                yield file

    for given in (
        paths,
        [*map(str, paths)],
        [*map(Named, paths)],
        opened(),
        (io.BytesIO(path.read_bytes()) for path in paths),
    ):
        assert torch.equal(read(given), IMAGES)
    assert torch.equal(read(str(paths[0])), IMAGES[:1])


def test_parts_of_any_kind_keep_their_order_and_tell_which_were_inverted(tmp_path: Path):
    Image.new("L", (90, 40), 200).save(tmp_path / "bright.png")
    given = [IMAGES[0], tmp_path / "bright.png", torch.zeros(3, 1, 40, 50, dtype=torch.uint8), [photo(1)]]
    found = list(read_inputs(given, 1, prepare_garment))
    assert [tuple(images.shape) for images, _ in found] == [
        (1, 1, 28, 28), (1, 1, 28, 28), (3, 1, 40, 50), (1, 1, 28, 28),
    ]  # fmt: skip
    assert [inverted for _, inverted in found] == [False, True, False, False]
    assert (found[1][0] == 55).all()


def test_one_photo_is_in_memory_at_a_time():
    alive: list[int] = []

    def prepare(image: Image.Image) -> Prepared:
        alive.append(1)
        return prepare_garment(image)

    stream = read_inputs((photo(0) for _ in range(1000)), 1, prepare)
    next(stream)
    next(stream)
    assert len(alive) == 2


def test_colour_images_have_their_channels_first():
    colour = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    assert torch.equal(as_images(colour, 3), colour)
    assert torch.equal(as_images(colour[0], 3), colour[:1])
    assert read(Image.new("RGB", (60, 40), "red"), 3).shape == (1, 3, 28, 28)
    with pytest.raises(NinError, match=r"images, 3, height, width.*not \(2, 1, 8, 8\)"):
        as_images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 3)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "float64"])
def test_floats_of_any_width_are_read(dtype: str):
    values = torch.tensor([[0.0, 0.25], [0.5, 1.0]]).to(getattr(torch, dtype))
    assert as_images(values, 1).flatten().tolist() == [0, 64, 128, 255]


DEFAULTS = """
import numpy as np, torch
from PIL import Image
from nin.data.photos.garment import prepare_garment
from nin.inference.inputs import as_images, read_inputs
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
for given in (np.full((9, 9), 3, np.uint8), np.full((9, 9), 0.5, np.float32), Image.new("L", (30, 30), 9)):
    (images, _), = read_inputs(given, 1, prepare_garment)
    print(images.device, images.dtype, images.max().item())
"""


@pytest.mark.slow
def test_the_defaults_of_the_program_around_change_nothing():
    run = subprocess.run([sys.executable, "-c", DEFAULTS], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["cpu torch.uint8 3", "cpu torch.uint8 128", "cpu torch.uint8 9"]


# ---------------------------------------------------------------------------------------------------------------------
# What is none
# ---------------------------------------------------------------------------------------------------------------------


def in_itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def refusal(given: Any, channels: int = 1) -> str:
    with pytest.raises(NinError) as caught:
        list(read_inputs(given, channels, partial(prepare_garment, channels=channels)))
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), "(images, 1, height, width), not (2, 3, 28, 28)"),
        (torch.zeros(28, dtype=torch.uint8), "shape"),
        (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "shape"),
        (np.uint8(3), "not uint8"),
        (np.zeros(()), "shape"),
        (torch.zeros(1, 1, 28, 28, dtype=torch.int64), "uint8, or floats from 0 to 1, not int64"),
        (torch.zeros(28, 28, dtype=torch.bool), "not bool"),
        (np.zeros((28, 28), bool), "not bool"),
        (torch.zeros(28, 28, dtype=torch.complex64), "not complex64"),
        (np.zeros((28, 28), complex), "complex128"),
        (np.zeros((28, 28), np.uint16), "not uint16"),
        (torch.full((1, 1, 28, 28), 2.0), "from 0 to 1, not from 2 to 2"),
        (torch.full((1, 1, 28, 28), -0.1), "from 0 to 1"),
        (torch.full((1, 1, 28, 28), float("nan")), "from 0 to 1"),
        (np.array([["a", "b"]]), "not an image"),
        (np.array([None]), "not an image"),
        (np.zeros((2, 2), "u1,u1"), "not an image"),
        (np.zeros((2, 2), "M8[s]"), "not an image"),
        (torch.zeros(28, 28, device="meta"), "meta"),
        (torch.eye(28).to_sparse(), "to_dense()"),
        (torch.zeros(1, 1, 4, 4).to_mkldnn(), "to_dense()"),
        ([7], "not int"),
        (None, "not NoneType"),
        ({"a": IMAGES}, "not dict"),
        (in_itself(), "list contains itself"),
        ([[[[IMAGES], in_itself()]]], "list contains itself"),
        (memoryview(np.zeros((2, 2), np.int32)), "not int32"),
        (b"a.png", "format"),
        (io.BytesIO(), "empty"),
        (io.StringIO("a"), "'rb'"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_one_clear_line(given: object, message: str):
    assert message in refusal(given)


@pytest.mark.filterwarnings("ignore:.*(quantiz|nested|prototype|Sparse CSR)")
def test_tensors_of_other_layouts_are_told_the_way_out():
    assert "dequantize()" in refusal(torch.quantize_per_tensor(torch.zeros(28, 28), 0.1, 0, torch.quint8))
    assert "to_dense()" in refusal(torch.eye(28).to_sparse_csr())
    assert "nested" in refusal(torch.nested.nested_tensor([torch.zeros(3, 3), torch.zeros(2, 2)]))


@pytest.mark.parametrize(
    ("shape", "channels", "readings"),
    [
        ((50, 40, 3), 1, ("one colour image", "50 grey")),
        ((50, 40, 4), 1, ("one colour image", "50 grey")),
        ((3, 50, 40), 1, ("one colour image", "3 grey")),
        ((4, 50, 40), 1, ("one colour image", "4 grey")),
        ((50, 40, 1), 1, ("channels last", "50 grey")),
        ((2, 1, 40, 1), 1, ("1 wide", "1 high")),
        ((3, 40, 3), 3, ("3 wide", "3 high")),
        ((3, 3, 3), 3, ("3 wide", "3 high")),
        ((5, 3, 40, 3), 3, ("3 wide", "3 high")),
    ],
)
def test_a_shape_that_can_be_read_in_two_ways_is_refused_with_both(
    shape: tuple[int, ...], channels: int, readings: tuple[str, str]
):
    message = refusal(np.zeros(shape, np.uint8), channels)
    assert str(shape) in message
    assert "may be" in message
    assert f"(images, {channels}, height, width)" in message
    assert all(reading in message for reading in readings)


@pytest.mark.parametrize(
    ("shape", "channels", "advice"),
    [
        ((50, 40, 3), 3, "permute(2, 0, 1)"),
        ((5, 50, 40, 3), 3, "permute(0, 3, 1, 2)"),
        ((5, 50, 40, 1), 1, "permute(0, 3, 1, 2)"),
        ((5, 28, 28), 3, "(3, height, width) for one"),
        ((28, 28), 3, "(3, height, width) for one"),
        ((4, 28, 28), 3, "(3, height, width) for one"),
    ],
)
def test_a_shape_of_another_order_is_told_the_right_one(shape: tuple[int, ...], channels: int, advice: str):
    message = refusal(np.zeros(shape, np.uint8), channels)
    assert str(shape) in message
    assert advice in message


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((28, 30), 1, (1, 1, 28, 30)),
        ((28, 3), 1, (1, 1, 28, 3)),
        ((1, 28, 30), 1, (1, 1, 28, 30)),
        ((2, 28, 30), 1, (2, 1, 28, 30)),
        ((5, 28, 30), 1, (5, 1, 28, 30)),
        ((3, 1, 28, 30), 1, (3, 1, 28, 30)),
        ((1, 1, 1, 1), 1, (1, 1, 1, 1)),
        ((3, 28, 30), 3, (1, 3, 28, 30)),
        ((3, 3, 28, 30), 3, (3, 3, 28, 30)),
    ],
)
def test_a_shape_with_one_reading_is_read(shape: tuple[int, ...], channels: int, expected: tuple[int, ...]):
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = as_images(values, channels)
    assert found.shape == expected
    np.testing.assert_array_equal(found.numpy().ravel(), values.ravel())


def test_a_path_that_is_no_photo_says_so(tmp_path: Path):
    for path in (tmp_path / "missing.png", str(tmp_path / "missing.png"), Named(tmp_path / "missing.png")):
        with pytest.raises(PhotoError, match=r"missing\.png"):
            read(path)


def test_the_array_given_stays_as_it_was():
    values = np.full((9, 9), 7, np.uint8)
    as_images(values, 1)[:] = 0
    assert (values == 7).all()
