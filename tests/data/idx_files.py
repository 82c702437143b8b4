"""How is a small data set made that has the file names of the real one?"""

import gzip
import math
import struct
from pathlib import Path


def idx(shape: tuple[int, ...], fill: int) -> bytes:
    """Return the content of an IDX file with digits in this shape; another `fill` makes other digits."""
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    return header + bytes((i * i + fill) % 10 for i in range(math.prod(shape)))


SHAPES = {
    "train-images-idx3-ubyte": (30, 4, 3),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (20, 4, 3),
    "t10k-labels-idx1-ubyte": (20,),
}
SMALL = {name: idx(shape, fill) for fill, (name, shape) in enumerate(SHAPES.items(), start=1)}
LABELS = "t10k-labels-idx1-ubyte"
GOOD = SMALL[LABELS]
PACKED = gzip.compress(GOOD, mtime=0)
OTHER = idx((20,), 5)  # the same header and length, other labels


def write_files(folder: Path, contents: dict[str, bytes] = SMALL, suffix: str = ".gz") -> Path:
    """Write the files into `folder`, gzipped or plain, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content, 1) if suffix else content)
    return folder


def flip_a_bit(content: bytes, position: int) -> bytes:
    """Return the content with one bit of the byte at `position` flipped."""
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]
