"""How do arrays in memory become labelled images? If they can be read in one way only, as they are."""

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageMode
from torch import Tensor

from nin.data.images import LabelledImages
from nin.data.photos.photo import defects_of
from nin.data.photos.photo_colour import on_white, orientation_of, upright
from nin.data.sources.labels import read_labels
from nin.errors import DataError
from nin.text import printable

_WANTED = "(images, height, width), or (images, channels, height, width) with 1 or 3 channels"
_AT_ONCE = 1000  # images to convert, which bounds the memory that it takes


def from_arrays(images: Any, labels: Any, names: Any = None) -> LabelledImages:
    """Return what a user has in memory as labelled images, on the CPU.

    Args:
        images: a tensor, an array, or a list of arrays, tensors or PIL images, all of one shape: (images, height,
            width), (images, channels, height, width) or (images, height, width, channels), with 1 or 3 channels.
            uint8 or other integers from 0 to 255, floats from 0 to 1, or bool. A uint8 array with its channels first,
            which may be a `np.memmap`, is not copied.
        labels: one for each image, see `nin.data.sources.labels.read_labels`.
        names: the names of the classes, in order, a list of texts.

    Raises:
        DataError: images or labels of another kind, shape or range, or not as many labels as images.
        PhotoError: a PIL image that cannot be decoded.

    """
    positions, found = read_labels(labels, names)
    tensor = _to_nchw(_pixels(images)).detach()
    pixels = to_uint8(tensor) if tensor.is_floating_point() else _integers_to_uint8(tensor)
    return LabelledImages(pixels.cpu().contiguous(), torch.from_numpy(positions), found)


# --- Any array as a tensor of uint8: what prediction shares ---


def to_tensor(array: Tensor | np.ndarray) -> Tensor:
    """Return a tensor or an array of numbers as a tensor, without copying it where PyTorch can look at it as it is.

    Raises:
        DataError: what is in it are no numbers, or none that can be looked at; with the way out.

    """
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
            raise DataError(f"an array of {array.dtype} is not an image: give uint8, or floats from 0 to 1")
        # PyTorch takes no other byte order and no negative strides.
        array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        with warnings.catch_warnings(action="ignore"):  # it cannot be written to, and is not
            return torch.from_numpy(array)
    name = _name(array)
    if array.is_meta:
        raise DataError("a tensor on the device 'meta' has no pixels; give one with data, on 'cpu' for example")
    if array.is_nested or array.layout != torch.strided:
        kind = "nested" if array.is_nested else str(array.layout).removeprefix("torch.")
        raise DataError(f"a tensor of layout {kind} is not an image; give tensor.to_dense()")
    if array.is_quantized:
        raise DataError(f"a quantized tensor, {name}, is not an image; give tensor.dequantize(), from 0 to 1")
    if array.is_complex() or name.startswith("float4"):  # which is two numbers in a byte, that PyTorch cannot convert
        raise DataError(f"images are uint8, or floats from 0 to 1 of 8 bits or more, not {name}; convert them first")
    return array


def to_uint8(tensor: Tensor) -> UInt8[Tensor, "..."]:
    """Return images of uint8, or floats from 0 to 1, as uint8, without their gradients; the same tensor where it can.

    Raises:
        DataError: another dtype, or floats that are not from 0 to 1.

    """
    if tensor.dtype == torch.uint8:
        return tensor.detach()
    if not tensor.is_floating_point():
        raise DataError(f"images are uint8, or floats from 0 to 1, not {_name(tensor)}; convert them first")
    found = torch.empty(tensor.shape, dtype=torch.uint8, device=tensor.device)
    for floats, into in zip(tensor.detach().split(_AT_ONCE), found.split(_AT_ONCE), strict=True):
        floats = floats.to(torch.float32)
        shades = (floats * 255).round_()  # 1.0000001, which resizing leaves, is 255
        low, high = (bound.item() for bound in shades.aminmax())
        if not (low >= 0 and high <= 255):
            way_out = "divide them by their white, such as 255" if low >= 0 else "do not normalise them first"
            low, high = (bound.item() for bound in floats.aminmax())
            raise DataError(f"float images must be from 0 to 1, not from {low:.4g} to {high:.4g}; {way_out}")
        into.copy_(shades)
    return found


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _integers_to_uint8(tensor: Tensor) -> Tensor:
    """Return integers from 0 to 255 as uint8, False as 0 and True as 255; DataError for others."""
    if tensor.dtype == torch.bool:
        return tensor.to(torch.uint8) * 255
    if tensor.dtype == torch.uint8:
        return tensor
    found = torch.empty(tensor.shape, dtype=torch.uint8, device=tensor.device)
    for part, into in zip(tensor.split(_AT_ONCE), found.split(_AT_ONCE), strict=True):
        low, high = (int(bound.item()) for bound in part.to(torch.int64).aminmax())
        if low < 0 or high > 255:
            raise DataError(f"integer images must be from 0 to 255, not from {low} to {high}; scale them to uint8")
        into.copy_(part)
    return found


# --- Images ---


def _pixels(images: Any) -> Tensor:
    """Return all images as one tensor, of whatever shape and numbers they have."""
    match images:
        case Tensor():
            return to_tensor(images)
        case np.ndarray() if images.dtype != object:
            return to_tensor(images)
        case memoryview():
            return to_tensor(np.asarray(images))
        case _ if not isinstance(images, np.ndarray) and hasattr(images, "__array__"):
            return _pixels(np.asarray(images))  # pandas, JAX, TensorFlow
        case Iterable() if not isinstance(images, (str, bytes, Mapping, os.PathLike, Image.Image)):
            return _stack([_one(image, position) for position, image in enumerate(images)])
        case _:
            kind = "None" if images is None else type(images).__name__
            raise DataError(f"images are an array, a tensor, or a list of these or of PIL images, not {kind}")


def _one(image: Any, position: int) -> Tensor:
    """Return one image of a list as a tensor; a PIL image as (height, width) or (height, width, 3), on white."""
    if isinstance(image, Image.Image):
        with defects_of(f"image {position}"):
            rgb = np.array(upright(on_white(image), orientation_of(image)))
        return torch.from_numpy(rgb[..., 0] if ImageMode.getmode(image.mode).basemode == "L" else rgb)
    if isinstance(image, Tensor):
        return to_tensor(image)
    if isinstance(image, (str, bytes, os.PathLike)):
        raise DataError(f"image {position} is a file, {printable(repr(image))[:100]}: name its folder, or open it")
    try:
        return to_tensor(np.asarray(image))
    except (ValueError, TypeError, OverflowError):  # of which DataError is one
        raise DataError(f"image {position} is no array of numbers, but {type(image).__name__}") from None


def _stack(images: list[Tensor]) -> Tensor:
    for position, image in enumerate(images):
        if image.shape != images[0].shape:
            raise DataError(
                f"image {position} is of shape {tuple(image.shape)}, and image 0 of {tuple(images[0].shape)}: "
                "all must have one size and depth; convert them first, or give a folder of photos"
            )
        if image.dtype != images[0].dtype:
            raise DataError(f"image {position} is {_name(image)}, and image 0 {_name(images[0])}: convert them first")
    return torch.stack([image.detach().cpu() for image in images]) if images else torch.empty(0)


def _to_nchw(tensor: Tensor) -> Tensor:
    """Return images as (images, channels, height, width); DataError for a shape that is none or may be two."""
    shape = tuple(tensor.shape)
    if len(shape) == 3 and 0 not in shape:
        return tensor[:, None]
    if len(shape) == 4 and 0 not in shape:
        first, last = (axis in (1, 3) for axis in (shape[1], shape[3]))
        if first and last:
            raise DataError(
                f"images of shape {shape} may have their channels first or last: give PIL images, "
                "which can be read in one way only"
            )
        if first or last:
            return tensor if first else tensor.permute(0, 3, 1, 2)
    flat = ""
    if len(shape) == 2:
        for channels in (1, 3):
            if 0 < shape[1] == channels * (side := math.isqrt(shape[1] // channels)) ** 2:
                flat = f"; reshape(-1, {channels}, {side}, {side}) flat ones"
    raise DataError(f"images are of shape {_WANTED}, not {shape}{flat}")
