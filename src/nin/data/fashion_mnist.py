"""Where does Fashion-MNIST come from? Found on this machine or fetched, verified byte for byte, and split."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from os import PathLike
from pathlib import Path

import pooch
from jaxtyping import UInt8
from torch import Tensor

from nin.data.idx import read_idx
from nin.data.images import LabelledImages, Splits, split
from nin.errors import DataError

FASHION_MNIST_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def fashion_mnist(folder: str | PathLike[str] | None = None) -> Splits:
    """Read Fashion-MNIST: 55,000 training, 5,000 validation and 10,000 test images of (1, 28, 28).

    Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist. Looks where `find` looks.

    Raises:
        DataError: what `find` raises, or a file that differs by a byte.

    """
    place = find(None if folder is None else Path(folder))
    images, labels, test_images, test_labels = read_files(place).values()
    train, validation = split(LabelledImages(images.unsqueeze(1), labels.long(), FASHION_MNIST_NAMES))
    test = LabelledImages(test_images.unsqueeze(1), test_labels.long(), FASHION_MNIST_NAMES)
    return Splits(train, validation, test, place)


# --- Reading: every byte is verified ---

FILES = {  # name: the shape of the bytes after the header, and the SHA-256 of header and bytes, uncompressed
    "train-images-idx3-ubyte": ((60000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": ((60000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": ((10000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
_REPLACE = "delete or replace it and run again, or name another folder as data"
_BRING = "put the four files of Fashion-MNIST in a folder and name that as data"


def read_files(folder: Path, shown: str = "", way_out: str = _REPLACE) -> dict[str, UInt8[Tensor, "..."]]:
    """Read and verify the four files; errors name `shown` where the folder itself is a temporary one."""
    tensors: dict[str, Tensor] = {}
    for name, path in _paths(folder).items():
        try:
            tensors[name] = read_idx(path, *FILES[name])
        except DataError as defect:
            raise DataError(f"{shown or folder}/{path.name}: {defect}; {way_out}") from None
    return tensors


def _paths(folder: Path) -> dict[str, Path]:
    """Map the four names to their files in `folder`: the plain one, else the .gz; DataError if one is missing."""
    try:
        found = sorted(folder.iterdir(), reverse=True)  # so that NAME comes after NAME.gz, and takes its place below
    except OSError as error:
        raise DataError(f"{folder}: it cannot be read ({error.strerror}); {_BRING}") from None
    there = {path.name.removesuffix(".gz"): path for path in found}
    for name in FILES:
        if name not in there:
            raise DataError(f"{folder}: it has neither {name}.gz nor {name}; {_BRING}")
    return {name: there[name] for name in FILES}


# --- Finding and fetching ---

UPSTREAM = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where that package puts the files


def find(folder: Path | None = None) -> Path:
    """Return the folder that holds the four files, each as NAME.gz or NAME; `fashion_mnist` verifies their content.

    Looks in `folder` alone if that is given; else in our cache folder (under XDG_CACHE_HOME where that is set), then
    where Debian's package puts them; else fetches them into our cache folder, verified.

    Raises:
        DataError: a file is missing in `folder`, or there are none on this machine and they cannot be fetched.

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
    """Fill `cache`. A file gets its name there only once it is verified, so whoever sees all four sees good ones."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    for source, download in ((UPSTREAM, _from_upstream), (f"Debian's {DEBIAN_PACKAGE}", _from_debian)):
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as temporary:
            try:
                fetched = download(Path(temporary))
                read_files(fetched, source, "nothing was kept")
            except DataError as failure:
                failures.append(f"{source} ({failure})")
                continue
            cache.mkdir(exist_ok=True)
            for path in _paths(fetched).values():
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
                path.replace(cache / path.name)
            return
    raise DataError(f"Fashion-MNIST is not here and could not be fetched from {' or '.join(failures)}; {_BRING}")


def _from_upstream(folder: Path) -> Path:
    """Download the four files into `folder` and return it; DataError gives only the reason."""
    download = pooch.HTTPDownloader(timeout=(5, 20))  # seconds to connect to an address, and between two bytes
    try:
        for name in FILES:
            download(f"{UPSTREAM}/{name}.gz", folder / f"{name}.gz", None)
    except OSError as error:  # what requests raises is one, too
        raise DataError(error.strerror or type(error).__name__) from error
    return folder


def _from_debian(folder: Path) -> Path:
    """Download and unpack the package in `folder`, without root; return its data folder, or raise DataError."""
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
