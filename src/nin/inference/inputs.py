"""What may be handed to a classifier? Arrays, tensors and photos, all of which become batches of uint8 images."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from nin.data.garment import Prepared
from nin.data.photo import read_photo
from nin.errors import NinError


def read_inputs(
    inputs: Any, channels: int, prepare: Callable[[Image.Image], Prepared]
) -> Iterator[tuple[UInt8[Tensor, "images channels height width"], bool]]:
    """Yield the images of each part of `inputs` in order, and whether `prepare` inverted them.

    Args:
        inputs: a tensor or array (see `as_images`); a PIL image, a path, or an encoded file as bytes or a binary
            file object; or an iterable of any of these, nested as you like.
        channels: what the images must have.
        prepare: makes an image of a decoded photo.

    Raises:
        PhotoError: a photo that cannot be read.
        NinError: something else, or an array of the wrong shape or dtype.

    """
    match inputs:
        case Tensor() | np.ndarray():
            yield as_images(inputs, channels), False
        case Image.Image():
            prepared = prepare(inputs)
            yield prepared.image[None], prepared.inverted
        case str() | os.PathLike():
            yield from read_inputs(read_photo(Path(inputs)), channels, prepare)
        case Iterable():
            for one in inputs:
                yield from read_inputs(one, channels, prepare)
        case _:
            raise NinError(f"an input is a tensor, an array, a PIL image or a path, not {type(inputs).__name__}")


def as_images(images: Tensor | np.ndarray, channels: int) -> UInt8[Tensor, "images {channels} height width"]:
    """Make uint8 (images, channels, height, width) of a tensor or array as `Classifier` takes them.

    Raises:
        NinError: another shape or type, or floats that are not from 0 to 1.

    """
    try:
        if isinstance(images, np.ndarray):  # a copy: PyTorch takes no other byte order, no negative strides
            images = torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("=")))
        tensor = images
    except (TypeError, ValueError) as error:
        raise NinError(f"an array of {images.dtype} is no picture: give uint8, or floats from 0 to 1") from error
    shape = tuple(tensor.shape)
    if tensor.ndim == 2:
        tensor = tensor[None, None]
    elif tensor.ndim == 3 and channels == 1:
        if {shape[0], shape[2]} & {3, 4}:
            raise NinError(
                f"{shape} may be one colour picture or grey ones: give (images, 1, height, width), or a PIL picture"
            )
        tensor = tensor[:, None]
    elif tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] != channels or 0 in tensor.shape:
        raise NinError(f"pictures are of shape (images, {channels}, height, width), not {shape}")
    if tensor.is_floating_point():
        if not ((tensor >= 0) & (tensor <= 1)).all():
            raise NinError(
                f"floats are pixels from 0 to 1, not from {tensor.min().item():.3g} to {tensor.max().item():.3g}: "
                "give them as they were before any normalising"
            )
        return (tensor * 255).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        name = str(tensor.dtype).removeprefix("torch.")
        raise NinError(f"pictures are uint8, or floats from 0 to 1, not {name}")
    return tensor
