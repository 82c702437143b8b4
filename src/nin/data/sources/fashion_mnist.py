"""Where does Fashion-MNIST come from? Found on this machine or fetched, verified byte for byte, and split."""

import shutil
import subprocess
from os import PathLike
from pathlib import Path

from nin.data.images import LabelledImages, Splits
from nin.data.progress import Progress, no_progress
from nin.data.sources.fetch import NamedSet
from nin.data.sources.idx import read_idx
from nin.data.splitting import split
from nin.errors import DataError

FASHION_MNIST_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FILES = {  # name: the shape of the bytes after the header, and the SHA-256 of header and bytes, uncompressed
    "train-images-idx3-ubyte": ((60000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": ((60000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": ((10000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}


def fashion_mnist(folder: str | PathLike[str] | None = None, on_progress: Progress = no_progress) -> Splits:
    """Read Fashion-MNIST: 55,000 training, 5,000 validation and 10,000 test images of (1, 28, 28).

    Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist. Looks where `find` looks. The keys are
    positions in the files of 60,000 and of 10,000 images.

    Raises:
        DataError: what `find` raises, or a file that differs by a byte.

    """
    place = find(None if folder is None else Path(folder), on_progress)
    images, labels, test_images, test_labels = dict(FASHION_MNIST.read(place)).values()
    train, validation = split(LabelledImages(images.unsqueeze(1), labels.long(), FASHION_MNIST_NAMES))
    test = LabelledImages(test_images.unsqueeze(1), test_labels.long(), FASHION_MNIST_NAMES)
    return FASHION_MNIST.splits(place, train, validation, test, "garment")


def find(folder: Path | None = None, on_progress: Progress = no_progress) -> Path:
    """Return the folder that holds the four files, each as NAME.gz or NAME; `fashion_mnist` verifies their content.

    Looks in `folder` alone if that is given; else in our cache folder, then where Debian's package puts them; else
    fetches them from their authors, or by apt-get.

    Raises:
        DataError: a file is missing in `folder`, or there are none on this machine and they cannot be fetched.

    """
    return FASHION_MNIST.find(folder, on_progress)


DEBIAN_PACKAGE = "dataset-fashion-mnist"


def _from_debian(folder: Path, on_progress: Progress) -> Path:
    """Download and unpack the package in `folder`, without root; return its data folder, or raise DataError."""
    (folder / "lists/partial").mkdir(parents=True)
    apt_get = ["apt-get", f"-oDir::State::Lists={folder}/lists", f"-oDir::Cache={folder}", "-oAPT::Sandbox::User=root"]
    unpack = ["sh", "-c", f"dpkg-deb -x {DEBIAN_PACKAGE}_*.deb ."]
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("this machine has no apt-get or no dpkg-deb")
    commands = ([*apt_get, "update"], [*apt_get, "download", DEBIAN_PACKAGE], unpack)
    try:
        for step, command in enumerate(commands):
            on_progress(f"fetching {DEBIAN_PACKAGE} by apt-get", step, len(commands))
            subprocess.run(command, cwd=folder, check=True, timeout=600, stdin=subprocess.DEVNULL, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last_line = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise DataError(last_line or f"{error.cmd[0]}: {type(error).__name__}") from error
    on_progress(f"fetching {DEBIAN_PACKAGE} by apt-get", len(commands), len(commands))
    return folder / "usr/share/datasets/fashion-mnist"


FASHION_MNIST = NamedSet(
    name="Fashion-MNIST",
    cache="fashion-mnist",
    files=FILES,
    read_file=read_idx,
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
    sources={f"Debian's {DEBIAN_PACKAGE}": _from_debian},
    places=(Path("/usr/share/datasets/fashion-mnist"),),  # where that package puts the files
)
