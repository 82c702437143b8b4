"""What may be handed to a classifier? Arrays, tensors and photos, all of which become batches of uint8 images."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from nin.data.photos.garment import Prepared
from nin.data.photos.photo import read_photo
from nin.data.sources.arrays import to_tensor, to_uint8
from nin.errors import NinError
from nin.networks.forward import images_per_batch

_DEEPEST: Final = 20  # lists in lists


def read_inputs(
    inputs: Any, channels: int, prepare: Callable[[Image.Image], Prepared]
) -> Iterator[tuple[UInt8[Tensor, "images channels height width"], bool]]:
    """Yield the images of each part of `inputs` in order, and whether `prepare` inverted them.

    Args:
        inputs: a tensor or array (see `as_images`; a memoryview of two or more dimensions is an array too); a PIL
            image, a path, or an encoded file as bytes, bytearray, memoryview of one dimension or open binary file; or
            an iterable of any of these, nested as you like.
        channels: what the images must have.
        prepare: makes an image of a decoded photo.

    Raises:
        PhotoError: a photo that cannot be read.
        NinError: something else, or an array of the wrong shape or dtype.

    """
    return _read(inputs, channels, prepare, 0)


def _read(
    inputs: Any, channels: int, prepare: Callable[[Image.Image], Prepared], depth: int
) -> Iterator[tuple[UInt8[Tensor, "images channels height width"], bool]]:
    match inputs:
        case Tensor() | np.ndarray():
            yield as_images(inputs, channels), False
        case memoryview() if inputs.ndim != 1:
            yield as_images(np.asarray(inputs), channels), False
        case _ if (photo := _photo(inputs)) is not None:
            prepared = prepare(photo)
            yield torch.from_numpy(prepared.image)[None], prepared.inverted
        case Iterable() if not isinstance(inputs, Mapping):
            if depth == _DEEPEST:
                raise NinError(
                    f"lists are nested more than {_DEEPEST} deep, or a list contains itself; give a flat list"
                )
            for one in inputs:
                yield from _read(one, channels, prepare, depth + 1)
        case _:
            raise NinError(
                "an input must be a tensor, an array, a PIL image, a path, or a photo as bytes or open file, not "
                f"{type(inputs).__name__}"
            )


def _photo(given: Any) -> Image.Image | None:
    """Return what is a photo as a PIL image, read where it is a path, bytes or an open file; None for anything else."""
    match given:
        case Image.Image():
            return given
        case str() | os.PathLike():
            return read_photo(Path(os.fsdecode(given)))  # which may be bytes behind os.PathLike
        case bytes() | bytearray() | memoryview():
            return read_photo(bytes(given))
        case _ if hasattr(given, "read") and hasattr(given, "seekable"):
            return read_photo(given)
        case _:
            return None


def batches(parts: Iterable[Tensor], size: int) -> Iterator[UInt8[Tensor, "batch channels height width"]]:
    """Yield images in batches, neighbours of one shape together, no larger than memory is meant to hold.

    Args:
        parts: uint8, (images, channels, height, width) each.
        size: side in pixels to which they will be resized.

    """
    for shape, alike in groupby(parts, key=lambda tensor: tensor.shape[1:]):
        most = images_per_batch(max(size, *shape[1:]))
        waiting: list[Tensor] = []
        for part in (part for tensor in alike for part in tensor.split(most)):
            if sum(map(len, waiting)) + len(part) > most:
                yield torch.cat(waiting)
                waiting = []
            waiting.append(part)
        if waiting:
            yield torch.cat(waiting)


# --- Arrays ---


def as_images(images: Tensor | np.ndarray, channels: int) -> UInt8[Tensor, "images {channels} height width"]:
    """Return a tensor or array as uint8 (images, channels, height, width), on the device that it is on.

    Args:
        images: uint8, or floats from 0 to 1; (images, channels, height, width), or one image as (channels, height,
            width). Grey ones may be (images, height, width) or (height, width) too.
        channels: what the images must have.

    Raises:
        NinError: another dtype, layout or shape, a shape that can be read in two ways, or floats that are not from 0
            to 1.

    """
    # An array is copied, so that what comes back is never the caller's.
    tensor = to_tensor(np.array(images) if isinstance(images, np.ndarray) else images)
    return to_uint8(_to_nchw(tensor, channels))


def _to_nchw(tensor: Tensor, channels: int) -> Tensor:
    """Return a tensor as (images, channels, height, width); NinError for a shape that is none or may be two."""
    shape = tuple(tensor.shape)
    wanted = f"(images, {channels}, height, width)"
    if 0 in shape or len(shape) not in (2, 3, 4):
        raise NinError(f"images are of shape {wanted}, not {shape}")
    if channels == 1 and len(shape) == 2:
        return tensor[None, None]
    if channels == 1 and len(shape) == 3:
        count, height, width = shape
        if count in (3, 4):
            raise _ambiguous(shape, f"one colour image of {height} x {width}, or {count} grey ones", wanted)
        if width < 5 and max(shape) > 1:
            kind = "colour image" if width > 2 else "image"
            raise _ambiguous(shape, f"one {kind} with its channels last, or {count} grey ones {width} wide", wanted)
        return tensor[:, None]
    *_, first, height, last = (0, *shape)  # (0, height, width) of two
    if first == last == channels and (height, channels) != (1, 1):
        readings = f"of images {channels} wide, or {channels} high with their channels last"
        raise _ambiguous(shape, readings, wanted)
    if first == channels:
        return tensor if len(shape) == 4 else tensor[None]
    if last == channels and first:
        axes = "0, 3, 1, 2" if len(shape) == 4 else "2, 0, 1"
        raise NinError(f"images are of shape {wanted}, not {shape}, with the channels last; permute({axes}) it")
    one = "" if len(shape) == 4 else f", or ({channels}, height, width) for one"
    raise NinError(f"images are of shape {wanted}{one}, not {shape}")


def _ambiguous(shape: tuple[int, ...], readings: str, wanted: str) -> NinError:
    return NinError(f"{shape} may be {readings}: give {wanted}, or a PIL image")
