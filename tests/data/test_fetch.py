"""Does a named set get into the cache whole or not at all, and is what went wrong told with its way out?"""

import errno
import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from data.idx_files import FILES, GOOD, LABELS, OTHER, PACKED, SMALL, Upstream, serve, write_files

from nin.data.sources import fetch
from nin.data.sources.fetch import NamedSet, Progress
from nin.data.sources.idx import read_idx
from nin.errors import DataError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the cache folder of the set "digits", not yet there; leave nothing beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another disk"))  # from where nothing can be renamed
    ours = tmp_path / "cache" / "nin"
    yield ours / "digits"
    assert not ours.is_dir() or {path.name for path in ours.iterdir()} <= {"digits"}


@pytest.fixture
def upstream(cache: Path) -> Iterator[Upstream]:
    with serve({f"/{name}.gz": gzip.compress(content) for name, content in SMALL.items()}) as state:
        yield state


@pytest.fixture
def digits(upstream: Upstream, tmp_path: Path) -> NamedSet:
    """Return a set that is found in our cache, or elsewhere, or fetched from `upstream`."""
    places = (tmp_path / "elsewhere",)
    return NamedSet("Digits", "digits", FILES, read_idx, mirrors=(upstream.url,), places=places)


def closed() -> str:
    """Return an address on this machine at which whoever connects is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def message(act: Callable[[], object]) -> str:
    """Return the one line of the DataError that `act` must end in."""
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


BRING = "put the 4 files of Digits in a folder and give that as the source"


# --- Finding and reading ---


def test_the_order_of_the_search(cache: Path, tmp_path: Path, upstream: Upstream, digits: NamedSet):
    assert digits.find(write_files(tmp_path / "named", suffix="")) == tmp_path / "named"
    elsewhere = write_files(tmp_path / "elsewhere")
    assert digits.find() == elsewhere
    write_files(cache)
    assert digits.find() == cache
    assert upstream.asked == []
    shutil.rmtree(elsewhere)
    shutil.rmtree(cache)
    assert digits.find() == cache
    assert sorted(upstream.asked) == sorted(f"/{name}.gz" for name in SMALL)
    upstream.asked.clear()
    assert digits.find() == cache
    assert upstream.asked == []


def test_where_a_folder_is_named_nothing_else_is_used(
    cache: Path, tmp_path: Path, upstream: Upstream, digits: NamedSet
):
    write_files(cache)
    write_files(tmp_path / "elsewhere")
    named = write_files(tmp_path / "named\nfolder")
    (named / f"{LABELS}.gz").unlink()
    for act in (digits.find, lambda folder: dict(digits.read(folder))):
        told = message(lambda act=act: act(named))
        assert told == f"{tmp_path}/named\\nfolder: it has neither {LABELS}.gz nor {LABELS}; {BRING}"
    assert "No such file" in message(lambda: digits.find(tmp_path / "nowhere"))
    assert "Not a directory" in message(lambda: digits.find(cache / f"{LABELS}.gz"))
    assert upstream.asked == []


def test_the_files_may_lie_in_an_inner_folder(tmp_path: Path, digits: NamedSet):
    inner = write_files(tmp_path / "named/inner")
    assert "it has neither" in message(lambda: digits.find(tmp_path / "named"))
    nested = replace(digits, inner="inner")
    assert nested.find(tmp_path / "named") == inner
    assert nested.find(inner) == inner
    assert nested.holds(tmp_path / "named")
    write_files(tmp_path / "named", suffix="")
    assert nested.find(tmp_path / "named") == tmp_path / "named"


def test_the_plain_file_goes_before_the_packed_one(tmp_path: Path, digits: NamedSet):
    write_files(write_files(tmp_path, suffix=""), dict.fromkeys(SMALL, b"not looked at"))
    assert len(dict(digits.read(tmp_path))) == 4


def test_what_was_fetched_is_verified_when_read_from_the_cache(cache: Path, digits: NamedSet):
    path = digits.find() / f"{LABELS}.gz"
    path.write_bytes(gzip.compress(OTHER))
    assert "SHA-256" in message(lambda: dict(digits.read(digits.find())))
    path.unlink()  # as the message says
    assert dict(digits.read(digits.find()))
    assert path.is_file()


def test_a_folder_of_another_set_under_the_same_names_is_told_from_a_damaged_one(tmp_path: Path, digits: NamedSet):
    assert digits.holds(write_files(tmp_path / "whole"))
    damaged = write_files(tmp_path / "damaged", {**SMALL, LABELS: OTHER, "train-images-idx3-ubyte": b""})
    assert digits.holds(damaged)  # so that reading it says what is wrong
    assert not digits.holds(write_files(tmp_path / "other", dict.fromkeys(SMALL, OTHER)))
    (damaged / f"{LABELS}.gz").unlink()
    assert not digits.holds(damaged)
    assert not digits.holds(tmp_path / "nowhere")


# --- Fetching ---


def test_wrong_bytes_are_an_error_and_not_kept(cache: Path, upstream: Upstream, digits: NamedSet):
    path = f"/{LABELS}.gz"
    for answer, said in (
        (b"<html>Welcome to the hotel</html>", "not a gzip"),
        (PACKED[:-5], "cut off"),
        (gzip.compress(OTHER), "SHA-256"),
        (gzip.compress(GOOD + bytes(1000)), "too many"),
    ):
        upstream.answers[path] = answer
        told = message(digits.find)
        assert told.startswith(f"Digits is not here and could not be fetched from {upstream.url} ({upstream.url}{path}")
        assert said in told
        assert told.endswith(f"; nothing was kept); {BRING}")
        assert not cache.exists()


def test_an_answer_that_breaks_off_or_is_missing_is_not_kept(cache: Path, upstream: Upstream, digits: NamedSet):
    upstream.cut.add(f"/{LABELS}.gz")
    assert "(ChunkedEncodingError)" in message(digits.find)
    del upstream.answers[f"/{LABELS}.gz"]
    assert "(HTTPError)" in message(digits.find)
    assert not cache.exists()


def test_an_answer_without_end_is_left(cache: Path, digits: NamedSet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "LARGEST_DOWNLOAD", 40)
    assert "(it sent more than the 40 bytes that are taken)" in message(digits.find)
    assert not cache.exists()


def test_every_source_is_tried_in_turn_and_each_failure_told(cache: Path, upstream: Upstream, digits: NamedSet):
    def unreachable(folder: Path, on_progress: Progress) -> Path:
        raise DataError("the ship has sailed")

    def by_hand(folder: Path, on_progress: Progress) -> Path:
        return write_files(folder / "deep/down")

    first, last = closed(), closed()
    assert replace(digits, mirrors=(first, upstream.url)).find() == cache
    shutil.rmtree(cache)
    lost = replace(digits, mirrors=(first, last), sources={"a ship": unreachable})
    told = message(lost.find)
    tried = f"{first} (ConnectionError) or {last} (ConnectionError) or a ship (the ship has sailed)"
    assert told == f"Digits is not here and could not be fetched from {tried}; {BRING}"
    assert not cache.exists()
    assert replace(lost, sources={"a ship": unreachable, "us": by_hand}).find() == cache
    assert len(dict(digits.read(cache))) == 4


def test_a_cache_that_cannot_be_written(cache: Path, digits: NamedSet):
    cache.parent.parent.write_text("a file where the folder should be")
    assert message(digits.find).startswith(f"{cache}: it cannot be written (")


def test_a_disk_that_fills_up_is_told_and_nothing_kept(cache: Path, digits: NamedSet, monkeypatch: pytest.MonkeyPatch):
    def full(self: object, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch._Download, "write", full)
    assert message(digits.find) == f"{cache}: it cannot be written (No space left on device); {BRING}"
    assert not cache.exists()


def test_a_fetch_that_dies_half_way_is_done_anew(cache: Path, digits: NamedSet, monkeypatch: pytest.MonkeyPatch):
    replace, moved = Path.replace, []

    def disk_full_at_the_third(self: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        moved.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", disk_full_at_the_third)
        assert "No space left on device" in message(digits.find)
    assert len(list(cache.iterdir())) == 2
    assert len(dict(digits.read(digits.find()))) == 4


def test_progress_counts_bytes_and_ends_even_where_the_server_does_not_say_how_many(
    cache: Path, upstream: Upstream, digits: NamedSet
):
    told: list[tuple[str, int, int]] = []
    unsaid = "train-labels-idx1-ubyte.gz"
    upstream.silent.add(f"/{unsaid}")
    digits.find(on_progress=lambda what, done, total: told.append((what, done, total)))
    for name in SMALL:
        size = len(upstream.answers[f"/{name}.gz"])
        steps = [step[1:] for step in told if step[0] == f"downloading {name}.gz"]
        assert steps == [(size, 0 if f"{name}.gz" == unsaid else size), (size, size)]


def test_an_interrupted_download_leaves_nothing(cache: Path, digits: NamedSet):
    def interrupt(what: str, done: int, total: int) -> None:
        if what.endswith(f"{LABELS}.gz"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digits.find(on_progress=interrupt)
    assert list(cache.parent.iterdir()) == []


def test_two_that_fetch_at_once_both_end_well(cache: Path, digits: NamedSet):
    found: list[dict[str, object]] = []
    start = threading.Barrier(4)

    def fetch_and_read() -> None:
        start.wait()
        found.append(dict(digits.read(digits.find())))

    threads = [threading.Thread(target=fetch_and_read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(list(cache.iterdir())) == 4


def test_a_file_that_another_process_has_fetched_and_is_reading_stays(
    cache: Path, digits: NamedSet, monkeypatch: pytest.MonkeyPatch
):
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "The process cannot access the file")

    monkeypatch.setattr(Path, "replace", refuse)  # as on Windows, where an open file cannot be replaced
    assert "cannot be written (The process cannot access" in message(digits.find)
    write_files(cache)
    digits._fetch(cache, fetch.no_progress)
    assert len(dict(digits.read(cache))) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from nin.data.sources.fetch import NamedSet
from nin.data.sources.idx import read_idx

def stop(what, done, total):
    if "labels" in what:
        os.kill(os.getpid(), signal.SIGKILL)

NamedSet("Digits", "digits", dict(eval(sys.argv[1])), read_idx, mirrors=(sys.argv[2],)).find(on_progress=stop)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_download_leaves_nothing_that_looks_whole_and_is_cleared_away_a_day_later(
    cache: Path, upstream: Upstream, digits: NamedSet
):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(list(FILES.items())), upstream.url])
    assert killed.returncode == -signal.SIGKILL
    (left,) = cache.parent.iterdir()
    assert left.name.startswith("fetching-")
    assert any(left.iterdir())
    digits.find()
    assert left.is_dir()  # a process may still be fetching into it
    shutil.rmtree(cache)
    long_ago = time.time() - 25 * 3600
    for path in (*left.iterdir(), left):
        os.utime(path, (long_ago, long_ago))
    digits.find()
    assert [path.name for path in cache.parent.iterdir()] == ["digits"]
