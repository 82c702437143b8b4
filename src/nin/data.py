"""Where does the data come from, and is it what its name says? Fashion-MNIST found or fetched, verified, split."""

import contextlib
import gzip
import hashlib
import math
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
import torch
from jaxtyping import UInt8
from torch import Tensor

from nin.errors import DataError

FASHION_MNIST_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Pictures with their classes: a label is a position in `names`.

    DataError where dtype or rank is another than below, the lengths differ or are 0, or a label has no name.
    """

    images: Tensor  # uint8 of (images, channels, height, width)
    labels: Tensor  # int64 of (images,)
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise DataError(f"images must be uint8 with 4 dimensions, not {images.dtype} of {tuple(images.shape)}")
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise DataError(f"labels must be int64 with 1 dimension, not {labels.dtype} of {tuple(labels.shape)}")
        if len(images) != len(labels) or len(images) == 0:
            raise DataError(f"{len(images)} images with {len(labels)} labels: at least one is needed, as many of each")
        if (nameless := labels[(labels < 0) | (labels >= len(self.names))]).numel():
            raise DataError(f"label {nameless[0]} is not the position of one of the {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Tensor) -> "LabelledImages":
        """Give the images at `indices`: int64 positions, in that order, or a bool mask; DataError where it is empty."""
        return LabelledImages(self.images[indices], self.labels[indices], self.names)


class Splits(NamedTuple):
    """What to learn from, what to decide by, what to open once at the end; and the folder that they were read from."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    folder: Path


def fashion_mnist(folder: Path | None = None) -> Splits:
    """Give Fashion-MNIST: 55,000 train, 5,000 validation and 10,000 test pictures of (1, 28, 28).

    Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist. Looks where `find` looks, and raises
    what it does; DataError too where a byte is wrong.
    """
    folder = find(folder)
    images, labels, test_images, test_labels = _read_all(folder).values()
    train, validation = split(LabelledImages(images.unsqueeze(1), labels.long(), FASHION_MNIST_NAMES))
    test = LabelledImages(test_images.unsqueeze(1), test_labels.long(), FASHION_MNIST_NAMES)
    return Splits(train, validation, test, folder)


def split(images: LabelledImages, validation: int = 5000) -> tuple[LabelledImages, LabelledImages]:
    """Split into what to learn from and `validation` images to decide by, with the same share of each class.

    The same labels give the same split, always. Both parts keep the order that the images had.
    DataError where `validation` leaves one of them empty.
    """
    if not 0 < validation < len(images):
        raise DataError(f"validation takes from 1 to {len(images) - 1} of {len(images)} images, not {validation}")
    labels = images.labels.numpy(force=True)
    # Not default_rng: NumPy promises never to change this generator's numbers, and the split must outlive its releases.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    rank = np.empty(len(labels))  # where in its shuffled class an image stands, from 0 to 1
    for label in range(len(images.names)):
        members = shuffled[labels[shuffled] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    held_out = torch.zeros(len(labels), dtype=torch.bool, device=images.labels.device)
    held_out[np.argsort(rank, kind="stable")[:validation]] = True
    return images.subset(~held_out), images.subset(held_out)


# --- Reading: every byte is verified ---

FILES = {  # name: the shape of the bytes after the header, and the SHA-256 of header and bytes, uncompressed
    "train-images-idx3-ubyte": ((60000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": ((60000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": ((10000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
_REPLACE = "delete or replace it and run again, or name another folder with --data"
_BRING = "put the four files of Fashion-MNIST in a folder and name it with --data"


def file_hashes(folder: Path) -> dict[str, str]:
    """Verify the files in `folder`; give their SHA-256, uncompressed, by name. Raises what `fashion_mnist` does."""
    return {name: FILES[name][1] for name in _read_all(folder)}


def _read_all(folder: Path, shown: str = "", way_out: str = _REPLACE) -> dict[str, UInt8[Tensor, "..."]]:
    """Read and verify all four files; errors say `shown` for the folder where that is not for the user to see."""
    tensors: dict[str, Tensor] = {}
    for name, path in _paths(folder).items():
        try:
            tensors[name] = _read(path, *FILES[name])
        except DataError as defect:
            raise DataError(f"{shown or folder}/{path.name}: {defect}; {way_out}") from None
    return tensors


def _paths(folder: Path) -> dict[str, Path]:
    """Map the four names to their files in `folder`: the plain one, else the .gz; DataError where one is missing."""
    try:
        found = sorted(folder.iterdir(), reverse=True)  # so that NAME comes after NAME.gz, and takes its place below
    except OSError as error:
        raise DataError(f"{folder}: it cannot be read ({error.strerror}); {_BRING}") from None
    there = {path.name.removesuffix(".gz"): path for path in found}
    for name in FILES:
        if name not in there:
            raise DataError(f"{folder}: there is neither {name}.gz nor {name} in it; {_BRING}")
    return {name: there[name] for name in FILES}


def _read(path: Path, shape: tuple[int, ...], sha256: str) -> UInt8[Tensor, "..."]:
    """Give what `path` holds once every byte is verified; DataError says only what is wrong."""
    # An IDX file, http://yann.lecun.com/exdb/mnist: 8 for bytes, the rank, the dimensions, then the bytes.
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(size + 1)  # no more, whatever it would inflate to
    except EOFError:
        raise DataError(f"it is cut off, and does not inflate to the {size:,} bytes needed") from None
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


# --- Finding and fetching ---

UPSTREAM = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where that package puts the files


def find(folder: Path | None = None) -> Path:
    """Give the folder that holds the four files, each as NAME.gz or NAME; `fashion_mnist` verifies what is in them.

    Looks in `folder` alone if that is given; else in our cache folder (under XDG_CACHE_HOME where that is set), then
    where Debian's package puts them; else fetches them into our cache folder, verified.
    DataError where a file is missing in `folder`, or they are nowhere and cannot be fetched.
    """
    if folder is not None:
        _paths(folder)
        return folder
    cache = pooch.os_cache("nin").absolute() / "fashion-mnist"
    for place in (cache, DEBIAN_FOLDER):
        with contextlib.suppress(DataError):
            _paths(place)
            return place
    try:
        _fetch(cache)
    except OSError as error:
        raise DataError(f"{cache}: it cannot be written ({error.strerror}); {_BRING}") from None
    return cache


def _fetch(cache: Path) -> None:
    """Fill `cache`. Each file is verified before it takes its name there, so whoever sees all four sees good ones."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    for source, download in ((UPSTREAM, _from_upstream), (f"Debian's {DEBIAN_PACKAGE}", _from_debian)):
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as temporary:
            try:
                fetched = download(Path(temporary))
            except DataError as failure:
                failures.append(f"{source} ({failure})")
                continue
            _read_all(fetched, source, f"nothing was kept; try again later, or {_BRING}")
            cache.mkdir(exist_ok=True)
            for path in _paths(fetched).values():
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
                path.replace(cache / path.name)
            return
    raise DataError(f"Fashion-MNIST is not here and could not be fetched from {' or '.join(failures)}; {_BRING}")


def _from_upstream(folder: Path) -> Path:
    """Download the four files into `folder`, and give it; DataError says only why not."""
    download = pooch.HTTPDownloader(timeout=(5, 20))  # seconds to connect to an address, and between two bytes
    try:
        for name in FILES:
            download(f"{UPSTREAM}/{name}.gz", folder / f"{name}.gz", None)
    except OSError as error:  # what requests raises is one, too
        raise DataError(error.strerror or type(error).__name__) from error
    return folder


def _from_debian(folder: Path) -> Path:
    """Download and unpack the package in `folder`, without root, and give its folder; DataError says only why not."""
    (folder / "lists/partial").mkdir(parents=True)
    apt_get = ["apt-get", f"-oDir::State::Lists={folder}/lists", f"-oDir::Cache={folder}", "-oAPT::Sandbox::User=root"]
    unpack = ["sh", "-c", f"dpkg-deb -x {DEBIAN_PACKAGE}_*.deb ."]
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("this machine has no apt-get or no dpkg-deb")
    try:
        for command in ([*apt_get, "update"], [*apt_get, "download", DEBIAN_PACKAGE], unpack):
            subprocess.run(command, cwd=folder, check=True, timeout=600, stdin=subprocess.DEVNULL, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last_line = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise DataError(last_line or f"{error.cmd[0]}: {type(error).__name__}") from error
    return folder / "usr/share/datasets/fashion-mnist"
