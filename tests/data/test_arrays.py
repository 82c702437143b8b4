"""Do arrays in memory become the images that were meant, or one line?"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nin.data.sources.arrays import from_arrays
from nin.errors import NinError

GREY = np.random.default_rng(0).integers(0, 256, (6, 5, 7), np.uint8)
GREY[0, 0, :2] = 0, 255
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 3, 5, 7), np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]


class Foreign:
    """An array of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


@pytest.mark.parametrize(
    "given",
    [
        GREY,
        GREY[:, None],
        GREY[..., None],
        torch.from_numpy(GREY),
        GREY.astype(np.int64),
        GREY.astype(">u2"),
        torch.from_numpy(GREY.astype(np.uint16)),
        GREY / 255,
        (GREY / 255).astype(">f4"),
        torch.from_numpy(GREY / 255).requires_grad_(),
        list(GREY),
        GREY.tolist(),
        tuple(torch.from_numpy(GREY)),
        [Image.fromarray(image) for image in GREY],
        [image[None] for image in GREY],
        iter(GREY),
        memoryview(GREY),
        Foreign(GREY),
        GREY[::-1].copy()[::-1],
        np.frombuffer(GREY.tobytes(), np.uint8).reshape(GREY.shape),  # not writable
    ],
)
def test_whatever_way_grey_images_are_given_they_are_the_same(given: Any):
    found = from_arrays(given, LABELS)
    assert torch.equal(found.images, torch.from_numpy(GREY[:, None]))
    assert not found.images.requires_grad


@pytest.mark.parametrize(
    "given",
    [
        COLOUR,
        COLOUR.transpose(0, 2, 3, 1),
        torch.from_numpy(COLOUR).float() / 255,
        list(COLOUR),
        [image.transpose(1, 2, 0) for image in COLOUR],
        [Image.fromarray(image.transpose(1, 2, 0)) for image in COLOUR],
        [Image.fromarray(image.transpose(1, 2, 0)).convert("RGBA") for image in COLOUR],
    ],
)
def test_channels_may_be_first_or_last_and_become_first(given: Any):
    found = from_arrays(given, LABELS)
    assert torch.equal(found.images, torch.from_numpy(COLOUR))
    assert found.images.is_contiguous()


def test_what_is_true_is_white():
    found = from_arrays(GREY > 100, LABELS)
    assert torch.equal(found.images[:, 0], torch.from_numpy(np.where(GREY > 100, 255, 0).astype(np.uint8)))


def test_pil_images_of_one_shade_a_pixel_are_grey_and_lie_upright():
    turned = Image.new("L", (7, 5), 9)
    turned.getexif()[0x0112] = 6
    assert from_arrays([turned], [0]).images.shape == (1, 1, 7, 5)
    for mode in ("1", "LA", "I;16", "F"):
        assert from_arrays([Image.new(mode, (7, 5))] * 2, [0, 1]).channels == 1
    clear = from_arrays([Image.new("LA", (7, 5), (0, 0))], [0])
    assert (clear.images == 255).all()


def test_an_array_larger_than_memory_is_not_read(tmp_path: Path):
    for shape in ((6, 3, 5, 7), (18, 5, 7)):
        np.memmap(tmp_path / "images", np.uint8, "w+", shape=shape)[:] = COLOUR.reshape(shape)
        given = np.memmap(tmp_path / "images", np.uint8, "r", shape=shape)
        found = from_arrays(given, np.arange(shape[0]))
        assert found.images.data_ptr() == given.ctypes.data
        assert torch.equal(found.images.ravel(), torch.from_numpy(COLOUR.ravel()))


def test_many_floats_are_converted_in_pieces_and_none_is_left_out():
    floats = torch.arange(2500).remainder(256).div(255)[:, None, None].expand(2500, 2, 2)
    found = from_arrays(floats, [0] * 2500)
    assert torch.equal(found.images[:, 0, 0, 0], torch.arange(2500).remainder(256).to(torch.uint8))
    for wrong in (-0.1, 1.1, float("nan")):
        spoilt = floats.clone()
        spoilt[2400, 1, 1] = wrong
        with pytest.raises(NinError, match="from 0 to 1"):
            from_arrays(spoilt, [0] * 2500)


def test_floats_that_rounding_left_a_little_outside_are_black_and_white():
    floats = torch.tensor([-1e-7, 0.0, 1.0, 1.0000001, -0.001, 1.001])
    found = from_arrays(floats[:, None, None].expand(6, 2, 2), [0] * 6)
    assert found.images[:, 0, 0, 0].tolist() == [0, 0, 255, 255, 0, 255]


def test_names_and_labels_come_along():
    found = from_arrays(GREY, ["b", "a", "b", "a", "b", "a"])
    assert found.names == ("a", "b")
    assert found.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert found.keys.tolist() == [0, 1, 2, 3, 4, 5]
    assert from_arrays(GREY, LABELS, ["x", "y", "z", "never"]).names == ("x", "y", "z", "never")
    with pytest.raises(NinError, match="label 2 is out of range"):
        from_arrays(GREY, LABELS, ["x", "y"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREY.astype(np.int64) * 2, "integer images must be from 0 to 255, not from 0 to 5"),
        (GREY.astype(np.int64) - 1, "from -1 to"),
        (GREY.astype(float), "float images must be from 0 to 1, not from 0 to 255; divide them by their white"),
        (GREY / 127.5 - 1, "do not normalise them first"),
        (GREY.reshape(6, -1), "not (6, 35)"),
        (np.zeros((6, 64)), "reshape(-1, 1, 8, 8)"),
        (np.zeros((6, 3072)), "reshape(-1, 3, 32, 32)"),
        (np.zeros((6, 3, 8, 3)), "channels first or last"),
        (np.zeros((6, 1, 8, 1)), "channels first or last"),
        (np.zeros((6, 8, 8, 4)), "1 or 3 channels, not (6, 8, 8, 4)"),
        (np.zeros((6, 0, 8)), "not (6, 0, 8)"),
        ([], "not (0,)"),
        ([1, 2], "not (2,)"),
        ([GREY[0], COLOUR[0]], "image 1 is of shape (3, 5, 7), and image 0 of (5, 7)"),
        ([Image.new("L", (7, 5)), Image.new("RGB", (7, 5))], "image 1 is of shape (5, 7, 3), and image 0 of (5, 7)"),
        ([GREY[0], GREY[0] / 255], "image 1 is float64, and image 0 uint8"),
        ([[[1, 2], [3]]], "image 0 is no array"),
        ([GREY[0], "a\n.png"], r"image 1 is a file, 'a\n.png'"),
        ([GREY[0], None], "image 1 is no array of numbers, but NoneType"),
        ("photos", "not str"),
        (None, "not None"),
        ({"a": GREY}, "not dict"),
        (Image.new("L", (7, 5)), "not Image"),
        (GREY.astype(complex), "complex128"),
        (torch.zeros(6, 5, 7, dtype=torch.complex64), "complex64"),
        (np.zeros((6, 5, 7), "M8[s]"), "not an image"),
        (torch.zeros(6, 5, 7, device="meta"), "meta"),
        (torch.zeros(6, 5, 7).to_sparse(), "to_dense()"),
        (GREY[:4], "4 images with 6 labels"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(images: Any, message: str):
    with pytest.raises(NinError) as caught:
        from_arrays(images, LABELS)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_pil_image_that_cannot_be_decoded_is_named(tmp_path: Path):
    Image.fromarray(GREY[0]).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[:60])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(NinError, match="image 1: "):
        from_arrays([Image.fromarray(GREY[0]), cut], [0, 1])
