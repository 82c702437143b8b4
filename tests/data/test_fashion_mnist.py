"""Is Fashion-MNIST found or fetched, whole and verified, and is what is wrong told with its way out?"""

import errno
import functools
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data.idx_files import GOOD, LABELS, OTHER, PACKED, SHAPES, SMALL, flip_a_bit, write_files

from nin.data import fashion_mnist as module
from nin.data.fashion_mnist import FASHION_MNIST_NAMES, fashion_mnist, find, read_files
from nin.data.images import Splits
from nin.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small data set where Fashion-MNIST is expected."""
    files = {name: (SHAPES[name], hashlib.sha256(content).hexdigest()) for name, content in SMALL.items()}
    monkeypatch.setattr(module, "FILES", files)


@pytest.fixture
def cache(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield our cache folder, not yet there, on a machine with no data set, network or apt; leave nothing beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(module, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another disk"))  # from where nothing can be renamed
    ours = tmp_path / "cache" / "nin"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        monkeypatch.setattr(module, "UPSTREAM", f"http://127.0.0.1:{closed.getsockname()[1]}")
        yield ours / "fashion-mnist"
    assert not ours.is_dir() or {path.name for path in ours.iterdir()} <= {"fashion-mnist"}


class Upstream:
    """A web server on this machine: what it answers under a path, and which paths it was asked for."""

    def __init__(self) -> None:
        self.answers = {f"/{name}.gz": gzip.compress(content) for name, content in SMALL.items()}
        self.cut: set[str] = set()  # paths whose answers announce more bytes than come
        self.asked: list[str] = []


@pytest.fixture
def upstream(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    state = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            body = state.answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"") + 100 * (self.path in state.cut)))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        monkeypatch.setattr(module, "UPSTREAM", f"http://127.0.0.1:{server.server_port}")
        yield state
        server.shutdown()
        thread.join()


def message(act: Callable[[], object]) -> str:
    """Return the one line of the DataError that `act` must end in."""
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- Reading ---


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_good_files_are_read_packed_or_plain(small: None, tmp_path: Path, suffix: str) -> None:
    found = read_files(write_files(tmp_path, suffix=suffix))
    assert {name: bytes(tensor.flatten().tolist()) for name, tensor in found.items()} == {
        name: content[-tensor.numel() :] for (name, content), tensor in zip(SMALL.items(), found.values(), strict=True)
    }


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
    for act in (read_files, fashion_mnist):
        told = message(lambda act=act: act(tmp_path))
        assert told == f"{path}: {defect}; delete or replace it and run again, or name another folder as data"


def test_the_plain_file_goes_before_the_packed_one(small: None, tmp_path: Path) -> None:
    write_files(write_files(tmp_path, suffix=""), dict.fromkeys(SMALL, b"not looked at"))
    assert len(read_files(tmp_path)) == 4


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_a_file_that_cannot_be_read_is_named(small: None, tmp_path: Path, kind: str) -> None:
    path = write_files(tmp_path) / f"{LABELS}.gz"
    path.unlink()
    path.mkdir() if kind == "folder" else path.symlink_to("nothing")
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{path}: it cannot be read (")


# --- Finding ---


def test_the_order_of_the_search(cache: Path, tmp_path: Path, upstream: Upstream) -> None:
    assert find(write_files(tmp_path / "named", suffix="")) == tmp_path / "named"
    debian = write_files(tmp_path / "debian")
    assert find() == debian
    write_files(cache)
    assert find() == cache
    assert upstream.asked == []
    shutil.rmtree(debian)
    shutil.rmtree(cache)
    assert find() == cache
    assert sorted(upstream.asked) == sorted(f"/{name}.gz" for name in SMALL)
    upstream.asked.clear()
    assert find() == cache
    assert upstream.asked == []


def test_where_a_folder_is_named_nothing_else_is_used(cache: Path, tmp_path: Path, upstream: Upstream) -> None:
    write_files(cache)
    write_files(tmp_path / "debian")
    named = write_files(tmp_path / "named")
    (named / f"{LABELS}.gz").unlink()
    for act in (find, read_files, fashion_mnist):
        told = message(lambda act=act: act(named))
        assert told.startswith(f"{named}: it has neither {LABELS}.gz nor {LABELS}; ")
        assert "as data" in told
    assert "No such file" in message(lambda: find(tmp_path / "nowhere"))
    assert "Not a directory" in message(lambda: find(cache / f"{LABELS}.gz"))
    assert upstream.asked == []


def test_what_was_fetched_is_verified_when_read_from_the_cache(cache: Path, upstream: Upstream) -> None:
    path = find() / f"{LABELS}.gz"
    path.write_bytes(gzip.compress(OTHER))
    assert "SHA-256" in message(fashion_mnist)
    path.unlink()  # as the message says
    assert read_files(find())
    assert path.is_file()


# --- Fetching ---


def test_wrong_bytes_from_upstream_are_an_error_and_not_kept(cache: Path, upstream: Upstream) -> None:
    path = f"/{LABELS}.gz"
    for answer, said in (
        (b"<html>Welcome to the hotel</html>", "not a gzip"),
        (PACKED[:-5], "cut off"),
        (gzip.compress(OTHER), "SHA-256"),
        (gzip.compress(GOOD + bytes(1000)), "too many"),
    ):
        upstream.answers[path] = answer
        told = message(find)
        assert f"{module.UPSTREAM}{path}: " in told
        assert said in told
        assert "as data" in told
        assert not cache.exists()


def test_where_nothing_can_be_reached_one_line_says_what_was_tried(cache: Path) -> None:
    told = message(find)
    assert f"{module.UPSTREAM} (ConnectionError)" in told
    assert "dataset-fashion-mnist (this machine has no apt-get" in told
    assert told.endswith("put the four files of Fashion-MNIST in a folder and name that as data")
    assert not cache.exists()


def test_an_answer_that_breaks_off_or_is_missing_is_not_kept(cache: Path, upstream: Upstream) -> None:
    upstream.cut.add(f"/{LABELS}.gz")
    assert "(ChunkedEncodingError)" in message(find)
    del upstream.answers[f"/{LABELS}.gz"]
    assert "(HTTPError)" in message(find)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written(cache: Path, upstream: Upstream) -> None:
    cache.parent.parent.write_text("a file where the folder should be")
    assert message(find).startswith(f"{cache}: it cannot be written (")


def test_a_fetch_that_dies_half_way_is_done_anew(
    cache: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, moved = Path.replace, []

    def disk_full_at_the_third(self: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        moved.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", disk_full_at_the_third)
        assert "No space left on device" in message(find)
    assert len(list(cache.iterdir())) == 2
    assert len(read_files(find())) == 4


def test_two_that_fetch_at_once_both_end_well(cache: Path, upstream: Upstream) -> None:
    found: list[dict[str, str]] = []
    start = threading.Barrier(4)

    def fetch() -> None:
        start.wait()
        found.append(read_files(find()))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(list(cache.iterdir())) == 4


@pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no apt on this machine")
def test_the_debian_package_is_the_second_source(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
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
    assert find() == cache
    assert len(read_files(cache)) == 4

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
    for images, per_class in ((real.train, 5500), (real.validation, 500), (real.test, 1000)):
        assert images.images.shape == (10 * per_class, 1, 28, 28)
        assert images.labels.bincount().tolist() == [per_class] * 10
        assert images.names == FASHION_MNIST_NAMES
    assert real.test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert [FASHION_MNIST_NAMES[i] for i in real.test.labels[:2]] == ["Ankle boot", "Pullover"]
    assert {name: tuple(tensor.shape) for name, tensor in read_files(real.folder).items()} == {
        name: shape for name, (shape, _) in module.FILES.items()
    }


def test_validation_never_changes(real: Splits) -> None:
    """Numbers measured on one validation split cannot be compared with those of another."""
    assert hashlib.sha256(real.validation.images.numpy().tobytes()).hexdigest()[:16] == "49d70dc56c95207d"


def test_one_wrong_label_in_fashion_mnist_is_found(real: Splits, tmp_path: Path) -> None:
    for path in real.folder.iterdir():
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    assert len(read_files(tmp_path)) == 4
    labels = tmp_path / LABELS
    labels.write_bytes(flip_a_bit(labels.read_bytes(), 5000))
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{labels}: its SHA-256 starts with ")
