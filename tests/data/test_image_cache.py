"""Is what photos became found again, whole, bounded, and never half there, whatever happens meanwhile?"""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_decoding import CRASH, photo
from filelock import FileLock

from nin.data.decoded import cache_room
from nin.data.decoded.cache_folder import cache_folder, cache_size
from nin.data.decoded.image_cache import CachedPhotos, cached_photos
from nin.data.decoded.image_file import Pixels, map_images
from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, prepare
from nin.data.sources.listing import Listing
from nin.errors import DataError, OptionError

SIDE = 6
PHOTO = Preparation("photo")
IMAGE = 3 * SIDE**2  # bytes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of five photos, of which the last is as the first, and a file that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    for number, seed in enumerate([0, 1, 2, 3, 0]):
        (place / f"{number}.png").write_bytes(photo(seed, (5 + seed, 6)))
    (place / "2 text.png").write_text("none")
    return place


def listing(folder: Path, stamp: str | None = None) -> Listing:
    """List the photos in a folder, two classes in turn."""
    paths = sorted(folder.iterdir())
    if stamp is None:
        stamp = str([(path.stat().st_size, path.stat().st_mtime_ns) for path in paths])
    labels = np.arange(len(paths)) % 2
    names = [path.name for path in paths]
    return Listing("photos", str(folder), ("a", "b"), "", names, labels, [None] * len(paths), paths, stamp)


def backwards(positions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Order images from the last to the first."""
    return np.arange(len(positions))[::-1].copy()


def forwards(positions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Keep the order of the listing."""
    return np.arange(len(positions))


class Told:
    """What progress was told of."""

    def __init__(self) -> None:
        self.what: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.what.add(what)


def entries(cache: Path) -> list[Path]:
    """Return the folders of the entries; there is nothing half made beside them."""
    assert all(path.suffix == ".lock" for path in cache.glob(".making/*"))
    return sorted(path for path in cache.iterdir() if path.name != ".making")


def test_images_lie_in_the_order_asked_for_as_prepare_makes_them(folder: Path, cache: Path):
    photos = listing(folder)
    found = cached_photos(photos, PHOTO, SIDE, order=backwards)
    assert found.positions.tolist() == [5, 4, 3, 1, 0]
    assert found.groups.tolist() == [0, 3, 2, 1, 0]
    for image, position in zip(found.images, found.positions, strict=True):
        expected = prepare(read_photo(folder / str(photos.keys[position])), PHOTO, 3, SIDE).image
        assert torch.equal(image, torch.from_numpy(expected))
    assert found.sizes == {(5, 6): 2, (6, 6): 1, (7, 6): 1, (8, 6): 1}
    assert list(found.unreadable) == ["2 text.png"]
    assert found.unreadable["2 text.png"].startswith("not a photo of a format that is read")
    assert [found.folder] == entries(cache)
    assert cache_size() > 5 * IMAGE


def same(left: CachedPhotos, right: CachedPhotos) -> bool:
    """Tell whether two are the same in all but the folder."""
    assert left.sizes == right.sizes
    assert left.unreadable == right.unreadable
    assert np.array_equal(left.groups, right.groups)
    return torch.equal(left.images, right.images) and np.array_equal(left.positions, right.positions)


def test_the_second_time_no_photo_is_read(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    photos, told = listing(folder), Told()
    first = cached_photos(photos, PHOTO, SIDE, order=backwards)
    monkeypatch.chdir(folder.parent)
    relative = listing(Path(folder.name))
    shutil.rmtree(folder)
    for again in (photos, relative):
        second = cached_photos(again, PHOTO, SIDE, order=backwards, on_progress=told)
        assert same(first, second)
        assert first.folder == second.folder
        assert told.what == set()


def test_another_order_is_arranged_without_reading_photos(folder: Path, cache: Path):
    photos, told = listing(folder), Told()
    expected = cached_photos(photos, PHOTO, SIDE, order=backwards)
    shutil.rmtree(folder)
    found = cached_photos(photos, PHOTO, SIDE, order=forwards, on_progress=told)
    assert torch.equal(found.images, expected.images.flip(0))
    assert found.positions.tolist() == expected.positions[::-1].tolist()
    assert told.what == {"arranging images"}
    assert len(entries(cache)) == 2
    assert same(found, cached_photos(photos, PHOTO, SIDE, order=forwards))
    assert same(expected, cached_photos(photos, PHOTO, SIDE, order=backwards))


def test_photos_with_new_dates_are_the_same_images(folder: Path, cache: Path):
    first = cached_photos(listing(folder, "one"), PHOTO, SIDE, order=forwards)
    second = cached_photos(listing(folder, "two"), PHOTO, SIDE, order=forwards)
    assert [first.folder] == [second.folder] == entries(cache)
    told = Told()
    for stamp in ("one", "two"):
        cached_photos(listing(folder, stamp), PHOTO, SIDE, order=forwards, on_progress=told)
    assert told.what == set()


def test_other_photos_sizes_or_preparations_are_other_images(folder: Path, cache: Path):
    photos = listing(folder)
    results = [
        cached_photos(photos, PHOTO, SIDE, order=forwards),
        cached_photos(photos, PHOTO, SIDE + 1, order=forwards),
        cached_photos(photos, Preparation("photo", "crop"), SIDE, order=forwards),
        cached_photos(photos, PHOTO, SIDE, channels=1, order=forwards),
    ]
    (folder / "1.png").write_bytes(photo(9))
    results.append(cached_photos(listing(folder), PHOTO, SIDE, order=forwards))
    assert entries(cache) == sorted(result.folder for result in results)
    assert len(entries(cache)) == len(results)
    assert [tuple(result.images.shape[1:]) for result in results[:4]] == [(3, 6, 6), (3, 7, 7), (3, 6, 6), (1, 6, 6)]


@pytest.mark.parametrize(("colours", "channels"), [([0, 0], 1), ([0, 5], 1), ([0, 5, 255], 3)])
def test_photos_without_colour_are_grey(tmp_path: Path, colours: list[int], channels: int):
    place = tmp_path / "grey"
    place.mkdir()
    for number, colour in enumerate(colours):
        (place / f"{number}.png").write_bytes(photo(number, colour=colour))
    photos = listing(place)
    found = cached_photos(photos, PHOTO, SIDE, order=forwards)
    for image, key in zip(found.images, photos.keys, strict=True):
        expected = prepare(read_photo(place / key), PHOTO, channels, SIDE).image
        assert torch.equal(image, torch.from_numpy(expected))


def test_what_is_written_into_images_stays_in_this_process(folder: Path):
    photos = listing(folder)
    first = cached_photos(photos, PHOTO, SIDE, order=forwards)
    before = first.images.clone()
    first.images.fill_(7)
    assert torch.equal(cached_photos(photos, PHOTO, SIDE, order=forwards).images, before)


@pytest.mark.parametrize("damage", ["cut", "longer", "no images", "table", "half a table", "no table"])
def test_a_damaged_entry_is_made_anew(folder: Path, cache: Path, damage: str):
    photos = listing(folder)
    first = cached_photos(photos, PHOTO, SIDE, order=forwards)
    expected = first.images.clone()
    images, table = (entries(cache)[0] / name for name in ("images.npy", "table.json"))
    match damage:
        case "cut" | "longer":
            with images.open("r+b") as file:
                file.truncate(images.stat().st_size + (1 if damage == "longer" else -1))
        case "table":
            table.write_text(table.read_text().replace("[0,1,", "[1,0,"))
        case "half a table":
            table.write_text(table.read_text()[:40])
        case _:
            (images if damage == "no images" else table).unlink()
    second = cached_photos(photos, PHOTO, SIDE, order=forwards)
    assert torch.equal(second.images, expected)
    assert second.positions.tolist() == [0, 1, 3, 4, 5]
    assert entries(cache) == [second.folder]


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="asks Linux how much memory there is")
def test_more_images_than_memory_can_be_mapped(tmp_path: Path):
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    images = 2 * kilobytes // 1000  # of a megabyte each
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(images * 1_000_000)
    pixels = Pixels(tmp_path / "sparse", (images, 1, 1000, 1000))
    assert not map_images(pixels)[-1].any()


# --- Bounds ---


def test_what_was_unused_for_longest_makes_room(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    photos = listing(folder)
    made = [cached_photos(photos, PHOTO, side, order=forwards).folder for side in (40, 41, 42)]
    for age, entry in enumerate(filter(None, made)):
        os.utime(entry / "table.json", (age, age))
    cached_photos(photos, PHOTO, 40, order=forwards)  # is used
    monkeypatch.setenv("NIN_CACHE_GB", str((cache_size() + 1000) / 1e9))
    last = cached_photos(photos, PHOTO, 43, order=forwards).folder
    assert set(entries(cache)) == {made[0], last}  # both, for one is smaller than the new one


@pytest.mark.parametrize("limit", ["0", "0.0000001"])
def test_images_that_the_cache_cannot_hold_go_with_the_process(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, limit: str
):
    monkeypatch.setenv("NIN_CACHE_GB", limit)
    found = cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert found.folder is None
    assert entries(cache) == []
    monkeypatch.delenv("NIN_CACHE_GB")
    assert same(found, cached_photos(listing(folder), PHOTO, SIDE, order=forwards))


@pytest.mark.parametrize("limit", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str):
    monkeypatch.setenv("NIN_CACHE_GB", limit)
    with pytest.raises(OptionError, match=f"NIN_CACHE_GB.*{limit}"):
        cached_photos(listing(folder), PHOTO, SIDE, order=forwards)


def test_where_the_cache_cannot_be_written_a_temporary_folder_serves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "cache").write_text("in the way")
    found = cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert found.folder is None
    assert found.images.any()
    assert list(temporary.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"cannot be written there, nor into a temporary folder.*XDG_CACHE_HOME"):
        cached_photos(listing(folder), PHOTO, SIDE, order=forwards)


def test_a_disk_without_room_is_told_before_anything_is_read(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    told, photos = Told(), listing(folder)
    kept = cached_photos(photos, PHOTO, SIDE, order=forwards)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(cache_room.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(DataError) as error:
        cached_photos(photos, PHOTO, 100, order=forwards, on_progress=told)
    assert str(error.value) == (
        f"{cache}: decoded images need 360.0 kB there, and 10.0 kB are free; make room, or name a folder on another "
        "disk in XDG_CACHE_HOME"
    )
    assert told.what == set()
    assert entries(cache) == []  # was removed to make room
    assert kept.images.any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits here")
def test_a_file_that_cannot_grow_is_told_and_nothing_is_left(folder: Path, cache: Path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * IMAGE + 10, before[1]))
    try:
        with pytest.raises(DataError, match=f"{re.escape(str(cache))}: decoded images cannot be written there"):
            cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert entries(cache) == []


# --- What comes between ---


def test_photos_that_cannot_be_read_at_all_are_an_error(folder: Path, cache: Path):
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        DataError, match=re.escape(f"{folder}: none of 6 photos can be read; the first, 0.png, because")
    ):
        cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert entries(cache) == []


def test_a_photo_that_changes_while_it_is_read_is_an_error(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    read = os.read

    def slow(file: int, size: int) -> bytes:
        data = read(file, size)
        (folder / "1.png").write_bytes(photo(1, (100, 100)))
        return data

    monkeypatch.setattr(os, "read", slow)
    with pytest.raises(DataError, match=r"1\.png changed while it was read; start again"):
        cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert entries(cache) == []


def test_photos_on_which_a_decoder_crashed_are_read_again_next_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "hostile.png").write_bytes(photo(5))
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setattr("nin.data.decoded.decoding.FEW", 1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    first = cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert list(first.unreadable) == ["2 text.png", "hostile.png"]
    monkeypatch.delenv("PYTHONPATH")
    second = cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert list(second.unreadable) == ["2 text.png"]
    assert len(second.images) == 6


@pytest.fixture
def left(cache: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what a killed process has left, and what one that lives is making."""
    killed, living = cache / ".making" / "ab", cache / ".making" / "cd"
    for place in (killed, living):
        place.mkdir(parents=True)
        (place / "decoded").write_bytes(b"half")
    with FileLock(cache / ".making" / "cd.lock"):
        yield killed, living


def test_what_killed_processes_have_left_is_removed(folder: Path, left: tuple[Path, Path]):
    cached_photos(listing(folder), PHOTO, SIDE, order=forwards)
    assert [place.exists() for place in left] == [False, True]


def test_an_interrupt_leaves_nothing_behind(folder: Path, cache: Path):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "arranging images":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_photos(listing(folder), PHOTO, SIDE, order=forwards, on_progress=interrupt)
    assert entries(cache) == []
    assert cached_photos(listing(folder), PHOTO, SIDE, order=forwards).folder is not None


def test_of_two_that_read_the_same_photos_one_waits_and_finds_them(folder: Path, cache: Path):
    photos, waiting, results = listing(folder), threading.Event(), []

    def first_progress(what: str, done: int, total: int) -> None:
        if what == "reading photos" and done == 0:
            second.start()
            assert waiting.wait(20)

    def second_progress(what: str, done: int, total: int) -> None:
        assert what == "waiting for another process that reads them"
        waiting.set()

    def again() -> None:
        results.append(cached_photos(photos, PHOTO, SIDE, order=forwards, on_progress=second_progress))

    second = threading.Thread(target=again)
    first = cached_photos(photos, PHOTO, SIDE, order=forwards, on_progress=first_progress)
    second.join()
    assert same(first, results[0])
    assert entries(cache) == [first.folder]
