"""Does an IDX file hold exactly the bytes it should? MNIST's format, plain or gzipped, read and verified."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from nin.errors import DataError


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
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(size + 1)  # no more, however much it would decompress to
    except EOFError:
        raise DataError(f"it is cut off, and does not decompress to the {size:,} bytes needed") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"it is damaged or not a gzip file ({error})") from None
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from None
    if len(content) >= 4 and content[:4] != header[:4]:
        raise DataError(f"its magic number is 0x{content[:4].hex()}, and 0x{header[:4].hex()} was expected")
    if len(content) >= len(header) and not content.startswith(header):
        found = struct.unpack_from(f">{len(shape)}I", content, offset=4)
        raise DataError(f"its header gives the shape {found}, and {shape} was expected")
    if len(content) != size:
        held = f"{len(content):,}" if len(content) < size else "too many"
        raise DataError(f"it holds {held} bytes and needs {size:,}")
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(
            f"its SHA-256 starts with {found[:8]}, and {sha256[:8]} was expected: it is damaged, or another data set "
            "under the same name, as MNIST's files have the same names and sizes"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header)).reshape(shape)
