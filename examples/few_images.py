"""How does a network do with few images? The first images of each class of a known data set, as a folder of IDX files.

    python few_images.py cifar10 200 few
    nin train few

The first argument is any source that `nin train` takes, the second how many training images of each class to keep.
Validation gets a quarter as many, and all test images stay. Of where they came from the folder says nothing: for digits
add `--augmentation no-flip`. docs/exercises.md has what came of it.
"""

import struct
import sys
from pathlib import Path

import torch
import tyro
from tyro.conf import Positional

import nin
from nin.errors import NinError, OptionError


def main(source: Positional[str], each: Positional[int], folder: Positional[Path]) -> None:
    """Write the first `each` training images of every class into the new `folder`, and fewer for validation."""
    if each < 1 or folder.exists():
        raise OptionError(f"keep an image of each class or more, in a new folder, not {each} in {folder}")
    splits = nin.load_dataset(source)
    if len(splits.train.names) > 256:
        raise OptionError(f"{source} has {len(splits.train.names)} classes, and a byte holds the labels of 256")
    folder.mkdir(parents=True)
    for part, images in splits.parts().items():
        most = {"train": each, "validation": max(1, each // 4)}.get(part, len(images))
        kept = torch.cat([torch.nonzero(images.labels == label).flatten()[:most] for label in range(len(images.names))])
        write_idx(folder / f"{part}-images-idx4-ubyte", images.images[kept])
        write_idx(folder / f"{part}-labels-idx1-ubyte", images.labels[kept].to(torch.uint8))
    (folder / "classes.txt").write_text("\n".join(splits.train.names), encoding="utf-8")


def write_idx(path: Path, values: torch.Tensor) -> None:
    """Write bytes in MNIST's format: a header with the type and the dimensions, then the values."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    path.write_bytes(header + values.contiguous().numpy().tobytes())


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except NinError as error:
        print(f"few_images.py: {error}", file=sys.stderr)
        sys.exit(2)
