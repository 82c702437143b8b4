"""How do images lie in a file, so that they need not fit in memory? As a .npy file, which is mapped."""

import errno
import math
import mmap
import os
import sys
import warnings
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from nin.data.progress import Progress

_COPIED: Final = 16_000_000  # bytes at a time
_NO_RESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform.startswith("linux") else 0)


class Pixels(NamedTuple):
    """Images in a file: uint8, of `shape` (images, channels, side, side), from the byte `offset` on."""

    path: Path
    shape: tuple[int, int, int, int]
    offset: int = 0


def copy_images(
    source: Pixels, rows: Int64[np.ndarray, "images"], channels: int, path: Path, on_progress: Progress
) -> None:
    """Write the images at `rows` of `source`, their first `channels`, in that order, to the disk as a .npy file.

    Raises:
        OSError: they cannot be written.

    """
    shape = (len(rows), channels, *source.shape[2:])
    stored, size = math.prod(source.shape[1:]), math.prod(shape[1:])
    buffer = memoryview(bytearray(size * min(len(rows), max(1, _COPIED // size))))
    # Read, not mapped: what has been read of a map would count as this process's memory.
    with source.path.open("rb", buffering=0) as file, path.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for begin in range(0, len(rows), len(buffer) // size):
            chunk = rows[begin : begin + len(buffer) // size].tolist()
            for place, row in enumerate(chunk):
                file.seek(source.offset + row * stored)
                if file.readinto(buffer[place * size : (place + 1) * size]) != size:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            target.write(buffer[: len(chunk) * size])
            on_progress("arranging images", begin + len(chunk), len(rows))
        target.flush()
        os.fsync(target.fileno())


def find_images(path: Path) -> Pixels | None:
    """Return the images of a .npy file; None if it is missing, cut off, or holds something else."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            offset, size = file.tell(), os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return None
    if version != (1, 0) or fortran or dtype != np.uint8 or len(shape) != 4 or size != offset + math.prod(shape):
        return None
    return Pixels(path, (shape[0], shape[1], shape[2], shape[3]), offset)


def map_images(pixels: Pixels) -> UInt8[Tensor, "images channels side side"]:
    """Return images as a tensor over their file: read when they are used; what is written stays in this process.

    Raises:
        OSError: they cannot be mapped.

    """
    with pixels.path.open("rb") as file:
        number = file.fileno()
        try:
            if os.name == "posix":
                # Without that flag Linux refuses to map more than there is memory, since all might be written to.
                private, both = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
                memory = mmap.mmap(number, 0, flags=private, prot=both)
            else:
                memory = mmap.mmap(number, 0, access=mmap.ACCESS_COPY)
        except OSError:  # a system that reserves memory for all that might be written to
            memory = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    images = np.frombuffer(memory, np.uint8, offset=pixels.offset).reshape(pixels.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it cannot be written to
        return torch.from_numpy(images)
