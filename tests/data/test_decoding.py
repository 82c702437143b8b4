"""Do worker programs decode as this process does, and does no photo stop or cheat them?"""

import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psutil import Process

import nin
from nin.data.decoded import decoding_worker
from nin.data.decoded.decoding import Decoded, decode
from nin.data.decoded.decoding_worker import (
    CHANGED,
    COLOURED,
    FAILED,
    GREY,
    NEARLY_GREY,
    READ,
    UNREADABLE,
    Job,
    decode_chunk,
)
from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, prepare
from nin.data.progress import Progress, no_progress
from nin.errors import DataError

SIDE = 6
PHOTO = Preparation("photo")


def photo(seed: int, size: tuple[int, int] = (8, 5), kind: str = "PNG", colour: int = 255) -> bytes:
    """Return the bytes of a noisy photo whose red differs from its green by up to `colour`."""
    noise = np.random.default_rng(seed)
    pixels = np.repeat(noise.integers(0, 256 - colour, (*size[::-1], 1), dtype=np.uint8), 3, axis=2)
    pixels[..., 0] += noise.integers(0, colour, pixels.shape[:2], dtype=np.uint8, endpoint=True)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def decoded(
    folder: Path, photos: Sequence[Path | bytes], workers: int = 0, on_progress: Progress = no_progress
) -> tuple[Decoded, np.ndarray]:
    """Decode photos; return what became of them, and the images, (photos, 3, SIDE, SIDE)."""
    path = folder / "images"
    path.write_bytes(b"")
    found = decode(photos, Job(PHOTO, 3, SIDE, os.fsencode(path)), on_progress, workers)
    return found, np.fromfile(path, np.uint8).reshape(len(photos), 3, SIDE, SIDE)


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path | bytes]:
    """Return photos of several formats and sizes as files and as bytes, some of which cannot be read."""
    photos: list[Path | bytes] = []
    for seed in range(40):
        path = tmp_path / f"{seed} ü\n.img"
        path.write_bytes(photo(seed, (5 + seed % 7, 6), ("PNG", "JPEG", "WEBP", "BMP")[seed % 4]))
        photos += [path, photo(seed)]
    Image.fromarray(np.arange(SIDE**2, dtype=np.uint8).reshape(SIDE, SIDE)).save(tmp_path / "grey.png")
    photos.append(tmp_path / "grey.png")
    for name, content in {"empty": b"", "cut": photo(0)[:-30], "text": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
        photos.insert(7, tmp_path / name)
    return [*photos, tmp_path / "missing", tmp_path, b"no photo"]


def test_workers_give_what_this_process_gives(tmp_path: Path, mixed: list[Path | bytes]):
    here, images = decoded(tmp_path, mixed)
    there, same = decoded(tmp_path, mixed, workers=2)
    assert np.array_equal(here.records, there.records)
    assert list(here.reasons.items()) == list(there.reasons.items())
    assert np.array_equal(images, same)
    for i in np.flatnonzero(here.records["state"] == READ):
        assert np.array_equal(images[i], prepare(read_photo(mixed[i]), PHOTO, 3, SIDE).image)


def test_a_photo_without_image_has_a_reason_and_zeros(tmp_path: Path, mixed: list[Path | bytes]):
    found, images = decoded(tmp_path, mixed)
    assert (found.records["state"] == UNREADABLE).sum() == 6
    assert found.reasons == {
        7: "not a photo of a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP); save it as PNG",
        8: "it cannot be decoded (its end is missing); download it again, or save it as PNG",
        9: "an empty file; save or download it again",
        84: "it cannot be found (No such file or directory); check its name and folder",
        85: "a folder, not a photo; name photos, or a folder that has some",
        86: "not a photo of a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP); save it as PNG",
    }
    assert not images[list(found.reasons)].any()
    assert images[np.flatnonzero(found.records["state"] == READ)].any(axis=(1, 2, 3)).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in decoded(tmp_path, [tmp_path / "pipe.png", photo(0)])[0].reasons[0]


def test_records_tell_the_size_and_what_is_equal(tmp_path: Path):
    photos = [photo(0, (9, 4)), photo(1, (9, 4)), photo(0, (9, 4), "BMP")]
    records = decoded(tmp_path, photos)[0].records
    assert set(records["width"]) == {9}
    assert set(records["height"]) == {4}
    assert [np.array_equal(record["pixels"], records[0]["pixels"]) for record in records] == [True, False, True]
    assert len({digest.tobytes() for digest in records["file"]}) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_the_most_colourful_photo_tells_the_colour(tmp_path: Path, workers: int):
    photos = [photo(seed, colour=colour) for seed, colour in enumerate([0, 0, 255, 5, 0, 0])]
    assert decoded(tmp_path, photos, workers)[0].colour == COLOURED
    assert decoded(tmp_path, photos[3:], workers)[0].colour == NEARLY_GREY
    assert decoded(tmp_path, [*photos[:2], b"none"], workers)[0].colour == GREY


def test_a_photo_that_changes_while_it_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "growing.png"
    path.write_bytes(photo(0))
    read = os.read

    def slow(file: int, size: int) -> bytes:
        data = read(file, size)
        path.write_bytes(photo(0) + b"more")
        return data

    monkeypatch.setattr(decoding_worker.os, "read", slow)
    assert decoded(tmp_path, [path])[0].records["state"].tolist() == [CHANGED]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits here")
def test_a_photo_that_cannot_be_read_just_now_may_be_another_time(tmp_path: Path):
    import resource

    (tmp_path / "a.png").write_bytes(photo(0))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))  # fewer files than are open already
    try:
        found = decode_chunk(Job(PHOTO, 3, SIDE, b""), 0, [tmp_path / "a.png"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert found.records[0] == FAILED
    assert found.reasons == {0: f"it cannot be read ({os.strerror(errno.EMFILE)}); start again when it can"}


CRASH = """
import os, signal, sys
def hook(event, args):
    if event == "open" and "hostile" in str(args[0]):
        os.kill(os.getpid(), signal.SIGKILL if "hungry" in str(args[0]) else signal.SIGTERM)
sys.addaudithook(hook)
"""


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every worker crash that opens a file with "hostile" in its name."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def test_a_photo_that_crashes_its_decoder_is_the_only_one_lost(tmp_path: Path, crashing: None):
    photos: list[Path | bytes] = [photo(seed) for seed in range(12)]
    for number, name in ((3, "hostile.png"), (7, "hostile and hungry.png"), (8, "hostile again.png")):
        photos[number] = tmp_path / name
        photos[number].write_bytes(photo(number))
    found, images = decoded(tmp_path, photos, workers=2)
    assert np.flatnonzero(found.records["state"] == FAILED).tolist() == [3, 7, 8]
    assert found.reasons == {
        3: "the decoder crashed on it; save it again as PNG",
        7: "its decoder was killed, as happens when memory runs out; free some memory, or shrink it",
        8: "the decoder crashed on it; save it again as PNG",
    }
    assert images.any(axis=(1, 2, 3)).sum() == 9


def test_decoders_that_crash_on_everything_are_an_error(
    tmp_path: Path, crashing: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nin.data.decoded.decoding_pool._MOST_CRASHES", 1)
    for number in range(3):
        (tmp_path / f"hostile {number}").write_bytes(photo(number))
    with pytest.raises(DataError, match="decoders have crashed on 2 photos; reinstall Pillow, and start again"):
        decoded(tmp_path, [tmp_path / f"hostile {number}" for number in range(3)], workers=1)


def test_workers_find_this_package_and_nothing_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("numpy.py", "nin.py", "struct.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\nraise SystemExit(name)")
    monkeypatch.chdir(tmp_path)
    home = str(Path(nin.__file__).parents[1])  # as if an import hook had found the package
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != home])
    taken: list[str] = []
    monkeypatch.setattr("nin.data.decoded.decoding.decode_chunk", lambda *_: taken.append("here"))
    found, _ = decoded(tmp_path, [photo(seed) for seed in range(4)], workers=1)
    assert (found.records["state"] == READ).all()
    assert taken == []
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("program", ["", "/nowhere/python", "/bin/true", "/bin/echo", "/bin/cat"])
def test_where_no_worker_can_be_started_this_process_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
):
    monkeypatch.setattr("nin.data.decoded.decoding_pool._START_SECONDS", 0.2)
    monkeypatch.setattr(sys, "executable", program)
    found, images = decoded(tmp_path, [photo(seed) for seed in range(4)], workers=2)
    assert (found.records["state"] == READ).all()
    assert images.any(axis=(1, 2, 3)).all()


def test_an_interrupt_ends_all_workers(tmp_path: Path):
    def interrupt(what: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    before = Process().children()
    with pytest.raises(KeyboardInterrupt):
        decoded(tmp_path, [photo(seed) for seed in range(40)], workers=2, on_progress=interrupt)
    assert set(Process().children()) <= set(before)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_and_not_a_crash(workers: int):
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.ENOSPC))):
        decode([photo(0)], Job(PHOTO, 3, SIDE, b"/dev/full"), no_progress, workers)


class Lazy(Sequence[bytes]):
    """Twenty photos that are made when they are asked for; one cannot be, if `broken`, by more than a type checker."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.broken and index == 5 and sys._getframe(1).f_code.co_name == "<genexpr>":
            raise DataError("row 5 is damaged")
        return photo(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_progress_is_told_and_errors_of_the_source_come_through(tmp_path: Path, workers: int):
    seen: list[tuple[str, int, int]] = []
    decoded(tmp_path, Lazy(), workers, lambda *what: seen.append(what))
    assert seen[0] == ("reading photos", 0, 20)
    assert seen[-1] == ("reading photos", 20, 20)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    with pytest.raises(DataError, match="row 5 is damaged"):
        decoded(tmp_path, Lazy(broken=True), workers)
