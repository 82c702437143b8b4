"""How fast are 60,000 small PNGs read, beside the readers of other packages on the same files?

    python benchmarks/reading.py FOLDER --torchvision PYTHON --keras PYTHON --datasets PYTHON

PYTHON is the interpreter of an environment that has the package. FOLDER takes the photos, a folder a class, which are
written the first time: Fashion-MNIST's training images, 28x28 and grey, and CIFAR-10's images, 32x32 in colour.

Each reader, in a process of its own that has imported its package, lists a folder and decodes all photos, at the size
that they have, into memory or a file, on all processors where it can. They take turns, with the files in the page
cache; a ratio is the median over the rounds. The sum of all pixels must be the same. Prints a page of Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 5
PHOTOS = 60_000
SETS = {"fashion-mnist": (28, 1), "cifar10": (32, 3)}  # side and channels
OURS = "nin: listed, decoded, grouped, split, cached"
AGAIN = "nin, the second start"


def main() -> None:
    """Let the readers take turns on both sets, and print the tables."""
    parser = argparse.ArgumentParser(description="Measure how fast photos are read.")
    parser.add_argument("folder", type=Path)
    for package in ("torchvision", "keras", "datasets"):
        parser.add_argument(f"--{package}", default="")
    options = parser.parse_args()
    from speed import heading

    print(heading())
    pythons = {"nin": sys.executable, **{name: getattr(options, name) for name in ("torchvision", "keras", "datasets")}}
    names = [name for name in READERS if pythons[READERS[name][0]]]
    for source, (side, channels) in SETS.items():
        folder = options.folder / source
        write(source, folder)
        rounds = [[measure(pythons[READERS[name][0]], name, folder) for name in names] for _ in range(1 + ROUNDS)][1:]
        print(f"| {source}: {PHOTOS:,} PNGs of {side}x{side}x{channels} | version | seconds | images/s | nin / it |")
        print("|---|---|---|---|---|")
        if len({result["sum"] for results in rounds for result in results}) != 1:
            raise SystemExit(f"the readers do not read the same pixels: {rounds[0]}")
        for place, name in enumerate(names):
            seconds = median(results[place]["seconds"] for results in rounds)
            ratio = median(results[place]["seconds"] / results[0]["seconds"] for results in rounds)
            print(f"| {name} | {rounds[0][place]['version']} | {seconds:.2f} | {PHOTOS / seconds:,.0f} | {ratio:.2f} |")
        print(flush=True)


def write(source: str, folder: Path) -> None:
    """Write a set's images as PNGs, unless they are there."""
    if folder.exists():
        return
    from PIL import Image

    from nin.data.load import load_dataset

    number = 0
    for part in load_dataset(source).parts().values():
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            place = folder / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(place / f"{number:05}.png")
            number += 1
            if number == PHOTOS:
                return


def measure(python: str, name: str, folder: Path) -> dict[str, Any]:
    """Let a reader read the folder in a process of its own; return its seconds, version and sum of pixels."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as cache:
        places = {"XDG_CACHE_HOME": cache, "HF_HOME": cache, "HF_DATASETS_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [python, str(Path(__file__).resolve()), "--read", name, str(folder)]
        result = subprocess.run(command, env=os.environ | places, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


# --- The readers: each imports its package, and returns what reads. Nothing else of theirs is imported above. ---

Reader = Callable[[str], list[np.ndarray]]  # the arrays that hold all pixels


def nin_first() -> Reader:
    """Read as `nin train FOLDER` does, with an empty cache."""
    from nin.data.load import load_dataset

    def read(folder: str) -> list[np.ndarray]:
        splits = load_dataset(folder, size=SETS[Path(folder).name][0])
        return [part.images.numpy() for part in splits.parts().values()]

    return read


def nin_again() -> Reader:
    """Read what the cache has."""
    read = nin_first()

    def read_again(folder: str) -> list[np.ndarray]:
        read(folder)
        started.append(time.perf_counter())
        return read(folder)

    return read_again


def torchvision_folder() -> Reader:
    """Read by `ImageFolder`, which opens files with Pillow as RGB, and a DataLoader with all processors."""
    folders, transforms = import_module("torchvision.datasets"), import_module("torchvision.transforms")
    return lambda folder: from_torchvision(folders.ImageFolder(folder, transforms.PILToTensor()))


def torchvision_io() -> Reader:
    """Read by `ImageFolder` with torchvision's own decoder."""
    folders, io = import_module("torchvision.datasets"), import_module("torchvision.io")
    return lambda folder: from_torchvision(folders.ImageFolder(folder, loader=io.read_image))


def from_torchvision(photos: Any) -> list[np.ndarray]:
    """Return all images of a torchvision data set."""
    import torch

    images = torch.empty(len(photos), *photos[0][0].shape, dtype=torch.uint8)
    at = 0
    for batch, _ in torch.utils.data.DataLoader(photos, 256, num_workers=os.cpu_count() or 1):
        images[at : at + len(batch)] = batch
        at += len(batch)
    grey = "fashion" in photos.root
    return [images[:, :1].numpy() if grey else images.numpy()]


def keras_folder() -> Reader:
    """Read by Keras's `image_dataset_from_directory`."""
    utils = import_module("keras.utils")

    def read(folder: str) -> list[np.ndarray]:
        side, channels = SETS[Path(folder).name]
        mode = "grayscale" if channels == 1 else "rgb"
        options = {"image_size": (side, side), "color_mode": mode, "batch_size": 256, "shuffle": False}
        images = np.empty((PHOTOS, side, side, channels), np.uint8)
        at = 0
        for batch, _ in utils.image_dataset_from_directory(folder, verbose=False, **options):
            images[at : at + len(batch)] = batch.numpy()
            at += len(batch)
        return [images]

    return read


def datasets_folder() -> Reader:
    """Read by the `imagefolder` of Hugging Face's datasets."""
    datasets = import_module("datasets")
    datasets.disable_progress_bars()

    def read(folder: str) -> list[np.ndarray]:
        side, channels = SETS[Path(folder).name]
        images = np.empty((PHOTOS, side, side) if channels == 1 else (PHOTOS, side, side, channels), np.uint8)
        at = 0
        photos = datasets.load_dataset("imagefolder", data_dir=folder, split="train")
        for batch in photos.with_format("numpy").iter(256):
            images[at : at + len(batch["image"])] = batch["image"]
            at += len(batch["image"])
        return [images]

    return read


READERS = {
    OURS: ("nin", "network-in-network", nin_first),
    AGAIN: ("nin", "network-in-network", nin_again),
    "torchvision's ImageFolder, DataLoader": ("torchvision", "torchvision", torchvision_folder),
    "the same, with its read_image": ("torchvision", "torchvision", torchvision_io),
    "Keras's image_dataset_from_directory": ("keras", "keras", keras_folder),
    "datasets' imagefolder": ("datasets", "datasets", datasets_folder),
}
started: list[float] = []


def read_one(name: str, folder: str) -> None:
    """Read a folder by one reader, and print what `measure` wants."""
    _, package, reader = READERS[name]
    read = reader()
    started.append(time.perf_counter())
    images = read(folder)
    seconds = time.perf_counter() - started[-1]
    total = sum(int(array.sum(dtype=np.int64)) for array in images)
    print(json.dumps({"seconds": seconds, "version": version(package), "sum": total}))


if __name__ == "__main__":
    if sys.argv[1] == "--read":
        read_one(*sys.argv[2:])
    else:
        main()
