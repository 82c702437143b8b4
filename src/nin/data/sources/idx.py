"""What does an IDX file hold? MNIST's format, plain or gzipped, read whole, and verified where its hash is known."""

import contextlib
import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from nin.errors import DataError

LARGEST = 4 << 30  # bytes after the header that `read_any_idx` and `read_idx_labels` take
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAMES = {0x08: "unsigned bytes", 0x09: "signed bytes", 0x0B: "16-bit integers", 0x0C: "32-bit integers",
          0x0D: "32-bit floats", 0x0E: "64-bit floats"}  # fmt: skip
_LABELS = (0x08, 0x0B, 0x0C)


# --- Files of known content ---


def read_idx(path: Path, shape: tuple[int, ...], sha256: str) -> UInt8[Tensor, "..."]:
    """Read a file of bytes in the given shape (http://yann.lecun.com/exdb/mnist), gzipped if its name ends in .gz.

    Args:
        path: the file.
        shape: the dimensions that its header must give.
        sha256: of header and bytes together, uncompressed.

    Raises:
        DataError: the file differs in any way; the message says how, without naming the file.

    """
    # The magic number (8 for unsigned bytes, then the rank), the dimensions, then the bytes.
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    content = read_content(path, len(header) + math.prod(shape))
    if len(content) >= 4 and not content.startswith(header[:4]):
        raise DataError(f"its magic number is 0x{content[:4].hex()}, and 0x{header[:4].hex()} was expected")
    if len(content) >= len(header) and not content.startswith(header):
        found = struct.unpack_from(f">{len(shape)}I", content, offset=4)
        raise DataError(f"its header gives the shape {found}, and {shape} was expected")
    verify_content(content, len(header) + math.prod(shape), sha256)
    return torch.frombuffer(content, dtype=torch.uint8, offset=len(header)).reshape(shape)


def read_content(path: Path, size: int) -> bytearray:
    """Read a file of `size` bytes, gzipped if its name ends in .gz: all of it, or one byte more where it is longer.

    Raises:
        DataError: it cannot be read, or is no whole gzip file; the message does not name it.

    """
    with _opened(path, f"to the {size:,} bytes needed") as file:
        return _read(file, size + 1)  # no more, however much it would decompress to


def verify_content(content: bytearray, size: int, sha256: str) -> None:
    """Raise DataError, without the file's name, unless the content has this size and this SHA-256."""
    if len(content) != size:
        held = f"{len(content):,}" if len(content) < size else "too many"
        raise DataError(f"it holds {held} bytes and needs {size:,}")
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(
            f"its SHA-256 starts with {found[:8]}, and {sha256[:8]} was expected: it is damaged, or another data set "
            "under the same name, as MNIST's files have the same names and sizes"
        )


# --- Files of any content ---


def read_any_idx(path: Path) -> UInt8[Tensor, "..."]:
    """Read a file of unsigned bytes in 1 to 4 dimensions, gzipped if its name ends in .gz.

    Raises:
        DataError: it is no such file, holds another type, no or more than `LARGEST` bytes (4 GiB), or not as many as
            its header says; the message does not name it.

    """
    values, kind = _read_any(path)
    if kind != 0x08:
        raise DataError(f"it holds {_NAMES[kind]}, and images are unsigned bytes")
    return torch.from_numpy(values)


def read_idx_labels(path: Path) -> Int64[Tensor, "images"]:
    """Read a file of one number for each image: unsigned bytes, or integers of 16 or 32 bits.

    Raises:
        DataError: as `read_any_idx` does, or it has more than one dimension.

    """
    values, kind = _read_any(path)
    if kind not in _LABELS:
        raise DataError(f"it holds {_NAMES[kind]}, and labels are unsigned bytes or integers of 16 or 32 bits")
    if values.ndim != 1:
        raise DataError(f"it holds {values.shape}, and labels are one number for each image")
    return torch.from_numpy(values.astype(np.int64))


def _read_any(path: Path) -> tuple[np.ndarray, int]:
    """Return the values, big-endian as they are in the file, and the number of their type."""
    with _opened(path, "to the size that its header gives") as file:
        start = _read(file, 4)
        kind, rank = (start[2], start[3]) if len(start) == 4 and not any(start[:2]) else (0, 0)
        if kind not in _TYPES or not 1 <= rank <= 4:
            raise DataError(f"it is no IDX file of 1 to 4 dimensions: it starts with 0x{start.hex()}")
        dimensions = _read(file, 4 * rank)
        if len(dimensions) < 4 * rank:
            raise DataError("it ends within its header")
        shape = struct.unpack(f">{rank}I", dimensions)
        size = math.prod(shape) * int(_TYPES[kind][-1])
        if not 0 < size <= LARGEST:
            raise DataError(f"its header gives the shape {shape}: {size:,} bytes, and from 1 to {LARGEST:,} are taken")
        content = _read(file, size + 1)
    if len(content) != size:
        held = f"{len(content):,}" if len(content) < size else "more"
        raise DataError(f"it holds {held} bytes after its header, and the shape {shape} in that needs {size:,}")
    return np.frombuffer(content, _TYPES[kind]).reshape(shape), kind


# --- Both ---


@contextlib.contextmanager
def _opened(path: Path, needed: str) -> Iterator[BufferedIOBase]:
    """Open a file, gzipped if its name ends in .gz; whatever goes wrong as it is read becomes a DataError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except EOFError:
        raise DataError(f"it is cut off, and does not decompress {needed}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"it is damaged or not a gzip file ({error})") from None
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from None


def _read(file: BufferedIOBase, size: int) -> bytearray:
    """Read up to `size` bytes in pieces, so that memory follows what is there and not what a header promises."""
    content = bytearray()
    while len(content) < size and (piece := file.read(min(size - len(content), 1 << 24))):
        content += piece
    return content
