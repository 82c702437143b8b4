"""Is Fashion-MNIST found or fetched, whole and verified, and is what is wrong told with its way out?"""

import gzip
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from data.idx_files import FILES, GOOD, LABELS, PACKED, SMALL, flip_a_bit, write_files

from nin.data.images import Splits
from nin.data.photos.preparation import Preparation
from nin.data.sources import fashion_mnist as module
from nin.data.sources.fashion_mnist import FASHION_MNIST, FASHION_MNIST_NAMES, fashion_mnist, find
from nin.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small data set where Fashion-MNIST is expected."""
    monkeypatch.setattr(module, "FASHION_MNIST", replace(FASHION_MNIST, files=FILES))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return our cache folder, not yet there, on a machine with no data set, network or apt."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    changed = replace(FASHION_MNIST, files=FILES, mirrors=(url,), places=(tmp_path / "debian",))
    monkeypatch.setattr(module, "FASHION_MNIST", changed)
    return tmp_path / "cache/nin/fashion-mnist"


def message(act: Callable[[], object]) -> str:
    """Return the one line of the DataError that `act` must end in."""
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- Reading ---


@pytest.mark.parametrize(
    ("suffix", "written", "defect"),
    [
        ("", GOOD[:15], "it holds 15 bytes and needs 28"),
        ("", SMALL["train-labels-idx1-ubyte"], "its header gives the shape (30,), and (20,) was expected"),
        (".gz", PACKED[:-12], "it is cut off, and does not decompress to the 28 bytes needed"),
    ],
)
def test_a_defect_is_told_with_the_file_and_the_way_out(
    small: None, tmp_path: Path, suffix: str, written: bytes, defect: str
) -> None:
    write_files(tmp_path, suffix=suffix)
    path = tmp_path / f"{LABELS}{suffix}"
    path.write_bytes(written)
    told = message(lambda: fashion_mnist(tmp_path))
    assert told == f"{path}: {defect}; delete or replace it and run again, or give another folder as the source"


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_a_file_that_cannot_be_read_is_named(small: None, tmp_path: Path, kind: str) -> None:
    path = write_files(tmp_path) / f"{LABELS}.gz"
    path.unlink()
    path.mkdir() if kind == "folder" else path.symlink_to("nothing")
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{path}: it cannot be read (")


# --- Fetching ---


def test_debians_folder_is_looked_into_before_anything_is_fetched(cache: Path, tmp_path: Path) -> None:
    debian = write_files(tmp_path / "debian")
    assert find() == debian
    write_files(cache)
    assert find() == cache


def test_where_nothing_can_be_reached_one_line_says_what_was_tried(cache: Path) -> None:
    told = message(fashion_mnist)
    assert f"{module.FASHION_MNIST.mirrors[0]} (ConnectionError)" in told
    assert "dataset-fashion-mnist (this machine has no apt-get" in told
    assert told.endswith("put the 4 files of Fashion-MNIST in a folder and give that as the source")
    assert not cache.exists()


@pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no apt on this machine")
def test_the_debian_package_is_the_second_source(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    repository = tmp_path / "repository"
    package = repository / "package"
    write_files(package / "usr/share/datasets/fashion-mnist")
    (package / "DEBIAN").mkdir()
    control = "Package: dataset-fashion-mnist\nVersion: 99\nArchitecture: all\nMaintainer: Us <us@localhost>\n"
    (package / "DEBIAN/control").write_text(f"{control}Description: small\n")
    deb = repository / "dataset-fashion-mnist_99_all.deb"
    subprocess.run(["dpkg-deb", "--build", package, deb], check=True, capture_output=True)
    entry = f"Filename: {deb.name}\nSize: {deb.stat().st_size}\n"
    entry += f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
    (repository / "Packages").write_text(f"{control}{entry}Description: small\n")
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::Lists "{tmp_path}/a fresh container";\nDir::Cache "{tmp_path}/has neither";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    steps: list[int] = []
    assert find(on_progress=lambda what, done, total: steps.append(done)) == cache
    assert len(dict(module.FASHION_MNIST.read(cache))) == 4
    assert steps == [0, 1, 2, 3]
    assert [path.name for path in cache.parent.iterdir()] == ["fashion-mnist"]

    shutil.rmtree(cache)
    deb.unlink()
    told = message(find)
    assert "Debian's dataset-fashion-mnist (E: " in told
    assert not cache.exists()


# --- The real one ---


@pytest.fixture(scope="module")
def real() -> Splits:
    try:
        folder = find()
    except DataError as error:
        pytest.skip(str(error))
    return fashion_mnist(folder)


def test_fashion_mnist_is_what_it_says(real: Splits) -> None:
    assert real.test is not None
    for images, per_class in ((real.train, 5500), (real.validation, 500), (real.test, 1000)):
        assert images.images.shape == (10 * per_class, 1, 28, 28)
        assert images.labels.bincount().tolist() == [per_class] * 10
        assert images.names == FASHION_MNIST_NAMES
    assert real.test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert [FASHION_MNIST_NAMES[i] for i in real.test.labels[:2]] == ["Ankle boot", "Pullover"]
    assert {name: tuple(tensor.shape) for name, tensor in FASHION_MNIST.read(Path(real.origin.place))} == {
        name: shape for name, (shape, _) in module.FILES.items()
    }
    assert (real.origin.name, real.origin.preparation) == ("Fashion-MNIST", Preparation("garment"))
    assert real.origin.cut == {"validation": 5000 / 60000}


def test_validation_never_changes(real: Splits) -> None:
    """Numbers measured on one validation split cannot be compared with those of another."""
    assert hashlib.sha256(real.validation.images.numpy().tobytes()).hexdigest()[:16] == "49d70dc56c95207d"


def test_the_keys_are_positions_in_the_files(real: Splits) -> None:
    images = dict(FASHION_MNIST.read(Path(real.origin.place)))["train-images-idx3-ubyte"]
    for part in (real.train, real.validation):
        assert torch.equal(part.images[:, 0], images[part.keys])
    assert sorted([*real.train.keys, *real.validation.keys]) == list(range(60000))


def test_one_wrong_label_in_fashion_mnist_is_found(real: Splits, tmp_path: Path) -> None:
    for path in Path(real.origin.place).iterdir():
        content = path.read_bytes()
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(
            gzip.decompress(content) if path.suffix == ".gz" else content
        )
    assert len(dict(FASHION_MNIST.read(tmp_path))) == 4
    labels = tmp_path / LABELS
    labels.write_bytes(flip_a_bit(labels.read_bytes(), 5000))
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{labels}: its SHA-256 starts with ")
