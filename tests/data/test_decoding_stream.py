"""Are photos that come one after another decoded in order, whatever is in them, and never too far ahead?"""

import contextlib
import io
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psutil import Process

from nin.data.decoded import decoding_stream
from nin.data.decoded.decoding_source import Feed
from nin.data.decoded.decoding_stream import StreamedPhoto, decode_stream
from nin.data.decoded.decoding_worker import Job
from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, prepare
from nin.errors import DataError, FileError

JOB = Job(Preparation("photo"), 3, 6)


def write_photo(path: Path, seed: int) -> Path:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5 + seed % 7, 9, 3), np.uint8)
    Image.fromarray(pixels).save(file, ("PNG", "JPEG", "WEBP")[seed % 3])
    path.write_bytes(file.getvalue())
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """Return photos, some of which cannot be read."""
    photos = [write_photo(tmp_path / f"{seed} ü", seed) for seed in range(60)]
    for number, name in ((0, "missing"), (17, "text"), (59, "cut")):
        photos.insert(number, tmp_path / name)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut").write_bytes(photos[3].read_bytes()[:-40])
    return photos


def streamed(photos: Iterator[Path] | list[Path], job: Job = JOB, workers: int = 2) -> list[tuple[Path, StreamedPhoto]]:
    return [one for ready in decode_stream(photos, job, workers) for one in ready]


@pytest.fixture(params=["here", "workers", "workers after the first"])
def by_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers decode from the first photo on, or after it, or none at all."""
    alone = {"here": float("inf"), "workers": -1.0, "workers after the first": 1e-9}[request.param]
    monkeypatch.setattr(decoding_stream, "_SECONDS_ALONE", alone)


@pytest.mark.usefixtures("by_workers")
def test_every_photo_becomes_what_it_does_alone_in_order(mixed: list[Path]):
    found = streamed(mixed)
    assert [path for path, _ in found] == mixed
    bad = {path.name: one.reason for path, one in found if one.image is None}
    assert set(bad) == {"missing", "text", "cut"}
    assert "cannot be found" in bad["missing"]
    assert "not a photo of a format that is read" in bad["text"]
    assert "cannot be decoded" in bad["cut"]
    for path, one in found:
        if one.image is not None:
            assert np.array_equal(one.image, prepare(read_photo(path), JOB.preparation, 3, 6).image)
            assert not one.inverted


@pytest.mark.usefixtures("by_workers")
@pytest.mark.parametrize(("invert", "expected"), [("auto", [True, False]), ("yes", [True, True]), ("no", [False] * 2)])
def test_light_and_dark_are_swapped_as_the_job_says(tmp_path: Path, invert: str, expected: list[bool]):
    photos = []
    for name, grey in (("white.png", 255), ("black.png", 0)):
        Image.new("L", (6, 6), grey).save(tmp_path / name)
        photos.append(tmp_path / name)
    for kind in ("garment", "photo"):
        found = [one for _, one in streamed(photos, Job(Preparation(kind), 1, 6, invert=invert))]
        assert [one.inverted for one in found] == (expected if kind == "garment" or invert != "auto" else [False] * 2)
        for one, grey in zip(found, (255, 0), strict=True):
            assert one.image.mean() == (255 - grey if one.inverted else grey)


def test_a_stream_of_nothing_is_empty():
    assert streamed([]) == []


@pytest.mark.usefixtures("by_workers")
def test_a_photo_is_there_before_the_next_is_named(tmp_path: Path):
    named = threading.Semaphore(1)

    def slowly() -> Iterator[Path]:
        for seed in range(4):
            named.acquire()
            yield write_photo(tmp_path / str(seed), seed)

    found = decode_stream(slowly(), JOB, 2)
    for seed in range(4):
        [(path, one)] = next(found)
        assert path.name == str(seed)
        assert one.image is not None
        named.release()
    assert list(found) == []


@pytest.mark.usefixtures("by_workers")
def test_only_so_many_photos_are_on_their_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_stream, "_AHEAD", 10)
    photo, asked = write_photo(tmp_path / "a", 0), []

    def endless() -> Iterator[Path]:
        while True:
            asked.append(photo)
            yield photo

    used = 0
    with contextlib.closing(decode_stream(endless(), JOB, 2)) as found:
        for ready in found:
            used += len(ready)
            time.sleep(0.005)
            assert len(asked) <= used + 11  # one more waits for room
            if used > 100:
                break


@pytest.mark.slow
def test_whoever_uses_photos_slowly_gets_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_stream, "_SECONDS_ALONE", -1.0)
    monkeypatch.setattr(decoding_stream, "_AHEAD", 300)
    photo = write_photo(tmp_path / "a", 0)
    sizes: list[int] = []
    for ready in decode_stream(itertools.repeat(photo, 1500), JOB, 2):
        sizes.append(len(ready))
        time.sleep(0.002 * len(ready))
    assert sum(sizes) == 1500
    assert max(sizes[-8:]) > 50  # and not ever fewer


@pytest.mark.usefixtures("by_workers")
def test_what_goes_wrong_while_names_are_read_is_raised_after_the_photos_before(tmp_path: Path):
    slow = tmp_path / "slow.png"
    Image.effect_noise((2000, 1500), 50).save(slow)

    def broken() -> Iterator[Path]:
        yield slow
        yield write_photo(tmp_path / "a", 0)
        raise FileError("the list ends in the middle")

    found: list[str] = []

    def use_all() -> None:
        for ready in decode_stream(broken(), JOB, 2):
            found.extend(path.name for path, _ in ready)

    with pytest.raises(FileError, match="ends in the middle"):
        use_all()
    assert found == ["slow.png", "a"]


def test_a_stream_that_is_left_leaves_no_worker_and_waits_for_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_stream, "_SECONDS_ALONE", -1.0)
    never, photo = threading.Event(), write_photo(tmp_path / "a", 0)

    def typed() -> Iterator[Path]:
        yield photo
        never.wait()

    before = Process().children()
    with contextlib.closing(decode_stream(typed(), JOB, 2)) as found:
        next(found)
    assert set(Process().children()) <= set(before)
    never.set()


def test_where_no_worker_can_be_started_this_process_decodes(mixed: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_stream, "_SECONDS_ALONE", -1.0)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert sum(one.image is not None for _, one in streamed(mixed)) == 60


def test_a_photo_that_crashes_its_decoder_is_the_only_one_lost(
    mixed: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    crash = "import os, sys\nsys.addaudithook(lambda e, a: e == 'open' and 'hostile' in str(a[0]) and os.abort())"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(decoding_stream, "_SECONDS_ALONE", -1.0)
    mixed[30] = write_photo(tmp_path / "hostile", 1)
    found = streamed(mixed)
    assert [path for path, _ in found] == mixed
    assert found[30][1] == StreamedPhoto(None, reason="the decoder crashed on it; save it again as PNG")
    assert sum(one.image is not None for _, one in found) == 59
    mixed[:] = [tmp_path / "hostile"] * 5
    monkeypatch.setattr("nin.data.decoded.decoding_pool._MOST_CRASHES", 1)
    with pytest.raises(DataError, match="decoders have crashed on 2 photos"):
        streamed(mixed, workers=1)


# --- What photos are taken from ---


def test_whoever_takes_leaves_something_for_the_others():
    feed = Feed(takers=2)
    assert [feed.put(bytes([number])) for number in range(7)] == list(range(7))
    assert feed.take(100) == (0, [bytes([number]) for number in range(4)])
    assert feed.take(1) == (4, [b"\4"])
    assert feed.take(100) == (5, [b"\5"])
    feed.end()
    assert not feed.exhausted
    assert feed.take(100) == (6, [b"\6"])
    assert feed.exhausted
    assert feed.take(100) is None


def test_a_chunk_of_large_photos_is_small():
    feed = Feed(takers=1)
    for _ in range(3):
        feed.put(bytes(5_000_000))
    assert feed.take(100) == (0, 2 * [bytes(5_000_000)])
    assert feed.take(100) == (2, [bytes(5_000_000)])


def test_a_photo_that_nobody_wants_any_more_takes_no_time():
    feed = Feed(takers=1)
    for number in range(3):
        feed.put(bytes([number]))
    assert feed.take(1) == (0, [b"\0"])
    for number in range(3):
        feed.drop(number)
    assert feed.take(5) == (1, [b"", b""])
    feed.drop(2)


def test_whoever_waits_is_told_of_the_end():
    feed, taken = Feed(takers=1), []
    waiting = threading.Thread(target=lambda: taken.append(feed.take(1)))
    waiting.start()
    feed.close()
    waiting.join(5)
    assert taken == [None]
