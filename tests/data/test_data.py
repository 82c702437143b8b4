"""Does `nin.data` give Fashion-MNIST and nothing else, and does it say what is wrong, whatever is wrong? It must."""

import errno
import functools
import gzip
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin import data
from nin.data import FASHION_MNIST_NAMES, LabelledImages, Splits, fashion_mnist, file_hashes, find, split
from nin.errors import DataError

# ---------------------------------------------------------------------------------------------------------------------
# A small data set with the names of the real one
# ---------------------------------------------------------------------------------------------------------------------


def idx(shape: tuple[int, ...], fill: int) -> bytes:
    size = functools.reduce(int.__mul__, shape)
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    return header + bytes((i * i + fill) % 10 for i in range(size))


SMALL = {
    "train-images-idx3-ubyte": idx((30, 4, 3), 1),
    "train-labels-idx1-ubyte": idx((30,), 2),
    "t10k-images-idx3-ubyte": idx((20, 4, 3), 3),
    "t10k-labels-idx1-ubyte": idx((20,), 4),
}
LABELS = "t10k-labels-idx1-ubyte"
GOOD = SMALL[LABELS]


def fill(folder: Path, contents: dict[str, bytes] = SMALL, suffix: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content, 1) if suffix else content)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small data set where Fashion-MNIST is expected."""
    shapes = {"train-images": (30, 4, 3), "train-labels": (30,), "t10k-images": (20, 4, 3), "t10k-labels": (20,)}
    files = {name: (shapes[name[:-11]], hashlib.sha256(content).hexdigest()) for name, content in SMALL.items()}
    monkeypatch.setattr(data, "FILES", files)


@pytest.fixture
def cache(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Our cache folder, not yet there, on a machine with no data set, no network, no apt; nothing stays beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(data, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another disk"))  # from where nothing can be renamed
    ours = tmp_path / "cache" / "nin"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        monkeypatch.setattr(data, "UPSTREAM", f"http://127.0.0.1:{closed.getsockname()[1]}")
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
        monkeypatch.setattr(data, "UPSTREAM", f"http://127.0.0.1:{server.server_port}")
        yield state
        server.shutdown()
        thread.join()


def message(act: Callable[[], object]) -> str:
    """Give the one line of the DataError that `act` must end in."""
    with pytest.raises(DataError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# LabelledImages and split
# ---------------------------------------------------------------------------------------------------------------------


def numbered(labels: list[int], classes: int) -> LabelledImages:
    """Pictures of 1x1 in two channels, which spell out the picture's number."""
    numbers = torch.arange(len(labels))
    images = torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8)[:, :, None, None]
    return LabelledImages(images, torch.tensor(labels), tuple(map(str, range(classes))))


def numbers(images: LabelledImages) -> list[int]:
    high, low = images.images.flatten(1).long().T
    return (256 * high + low).tolist()


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2).long(), r"images must be uint8.*float32 of \(2, 1, 3, 3\)"),
        (torch.zeros(2, 3, 3).byte(), torch.zeros(2).long(), r"4 dimensions, not torch.uint8 of \(2, 3, 3\)"),
        (torch.zeros(2, 1, 3, 3).byte(), torch.zeros(2).int(), "labels must be int64.*int32"),
        (torch.zeros(2, 1, 3, 3).byte(), torch.zeros(2, 1).long(), r"1 dimension.*\(2, 1\)"),
        (torch.zeros(2, 1, 3, 3).byte(), torch.zeros(3).long(), "2 images with 3 labels"),
        (torch.zeros(0, 1, 3, 3).byte(), torch.zeros(0).long(), "0 images with 0 labels"),
        (torch.zeros(2, 1, 3, 3).byte(), torch.tensor([1, 2]), "label 2 .* 2 names"),
        (torch.zeros(2, 1, 3, 3).byte(), torch.tensor([-1, 0]), "label -1 "),
    ],
)
def test_images_that_are_none_are_refused(images: torch.Tensor, labels: torch.Tensor, said: str) -> None:
    with pytest.raises(DataError, match=said):
        LabelledImages(images, labels, ("no", "yes"))


def test_a_subset_keeps_the_order_asked_for() -> None:
    images = numbered([0, 1, 2, 1], classes=3)
    some = images.subset(torch.tensor([3, 0]))
    assert len(some) == 2
    assert numbers(some) == [3, 0]
    assert some.labels.tolist() == [1, 0]
    assert some.names == images.names
    assert numbers(images.subset(images.labels == 1)) == [1, 3]
    with pytest.raises(DataError, match="0 images"):
        images.subset(torch.tensor([], dtype=torch.int64))


def test_split_gives_each_class_its_share() -> None:
    train, validation = split(numbered([0] * 60 + [1] * 30 + [2] * 10, classes=4), validation=10)
    assert Counter(validation.labels.tolist()) == {0: 6, 1: 3, 2: 1}
    assert Counter(train.labels.tolist()) == {0: 54, 1: 27, 2: 9}


def test_split_is_always_the_same_whatever_torch_was_seeded_with() -> None:
    images = numbered([i % 4 for i in range(40)], classes=4)
    torch.manual_seed(1)
    _, validation = split(images, validation=8)
    assert numbers(validation) == [4, 10, 11, 15, 20, 22, 25, 29]


@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=300), part=st.floats(0, 1))
def test_split_parts_the_images_and_keeps_their_order(labels: list[int], part: float) -> None:
    images = numbered(labels, classes=5)
    validation = 1 + round(part * (len(labels) - 2))
    train, held_out = split(images, validation)
    assert len(held_out) == validation
    assert sorted(numbers(train) + numbers(held_out)) == list(range(len(labels)))
    for each in (train, held_out):
        assert numbers(each) == sorted(numbers(each))
        assert each.labels.tolist() == [labels[number] for number in numbers(each)]
    sizes, taken = Counter(labels), Counter(held_out.labels.tolist())
    for one in sizes:
        for other in sizes:
            assert sizes[one] != sizes[other] or abs(taken[one] - taken[other]) <= 1


@pytest.mark.parametrize("validation", [-1, 0, 4, 5000])
def test_split_refuses_to_leave_a_part_empty(validation: int) -> None:
    with pytest.raises(DataError, match=f"from 1 to 3 of 4 images, not {validation}"):
        split(numbered([0, 1, 0, 1], classes=2), validation)


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_good_files_are_read_packed_or_plain(small: None, tmp_path: Path, suffix: str) -> None:
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in SMALL.items()}
    assert file_hashes(fill(tmp_path, suffix=suffix)) == expected


def flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


PACKED = gzip.compress(GOOD, mtime=0)
OTHER = idx((20,), 5)  # the same header and length, other labels
DEFECTS = {
    "cut off": ("", GOOD[:15], "holds 15 bytes and needs 28;"),
    "empty": ("", b"", "holds 0 bytes and needs 28;"),
    "too long": ("", GOOD + b"\0", "holds too many bytes and needs 28;"),
    "flipped": ("", flip(GOOD, 20), "SHA-256 starts with .* damaged"),
    "other labels": ("", OTHER, "SHA-256 starts with 4147652a, and 1fa0406e was expected: .* MNIST"),
    "a web page": ("", b"<html>Not found</html>", "magic number is 0x3c68746d, and 0x00000801 was expected"),
    "images": ("", SMALL["t10k-images-idx3-ubyte"], "magic number is 0x00000803, and 0x00000801 was expected"),
    "another part": ("", SMALL["train-labels-idx1-ubyte"], r"shape \(30,\), and \(20,\) was expected"),
    "gzip cut off": (".gz", PACKED[:-12], "cut off"),
    "gzip cut off in its header": (".gz", PACKED[:7], "cut off"),
    "gzip empty": (".gz", b"", "holds 0 bytes and needs 28;"),
    "gzip flipped": (".gz", flip(PACKED, 15), "damaged"),
    "gzip's checksum flipped": (".gz", flip(PACKED, len(PACKED) - 6), "damaged.*CRC"),
    "gzip of no known kind of block": (".gz", PACKED[:10] + b"\7" + PACKED[11:], "damaged.*invalid block type"),
    "gzip and then more": (".gz", PACKED + b"more", "damaged or not a gzip"),
    "no gzip": (".gz", GOOD, "not a gzip"),
    "gzip of a file cut off": (".gz", gzip.compress(GOOD[:15]), "holds 15 bytes and needs 28;"),
    "gzip of other labels": (".gz", gzip.compress(OTHER), "MNIST"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_told_with_the_file_and_the_way_out(small: None, tmp_path: Path, defect: str) -> None:
    suffix, written, said = DEFECTS[defect]
    fill(tmp_path, suffix=suffix)
    path = tmp_path / f"{LABELS}{suffix}"
    path.write_bytes(written)
    for act in (file_hashes, fashion_mnist):
        told = message(lambda act=act: act(tmp_path))
        assert told.startswith(f"{path}: ")
        assert re.search(said, told)
        assert told.endswith("; delete or replace it and run again, or name another folder with --data")


def test_the_plain_file_goes_before_the_packed_one(small: None, tmp_path: Path) -> None:
    fill(fill(tmp_path, suffix=""), dict.fromkeys(SMALL, b"not looked at"))
    assert len(file_hashes(tmp_path)) == 4


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself", "forbidden"])
def test_files_that_cannot_be_read(small: None, tmp_path: Path, kind: str) -> None:
    path = fill(tmp_path) / f"{LABELS}.gz"
    if kind == "forbidden":
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root may read everything")
    else:
        path.unlink()
        path.mkdir() if kind == "folder" else path.symlink_to(path if kind == "link to itself" else "nothing")
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{path}: it cannot be read (")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(SMALL)), suffix=st.sampled_from(["", ".gz"]), draw=st.data())
def test_no_damage_goes_through_or_ends_in_another_exception(
    small: None, tmp_path: Path, name: str, suffix: str, draw: st.DataObject
) -> None:
    fill(tmp_path, {**SMALL, name: b""}, suffix=suffix)
    path = tmp_path / f"{name}{suffix}"
    content = gzip.compress(SMALL[name]) if suffix else SMALL[name]
    position = draw.draw(st.integers(0, len(content) - 1))
    cut, mask = draw.draw(st.booleans()), draw.draw(st.integers(1, 255))
    damaged = content[:position] + (b"" if cut else bytes([content[position] ^ mask]) + content[position + 1 :])
    path.write_bytes(damaged)
    try:
        file_hashes(tmp_path)
    except DataError:
        return
    assert suffix
    assert gzip.decompress(damaged) == SMALL[name]  # gzip's date, say, or the bits that fill its last byte


def test_a_file_that_would_inflate_without_end_is_left_at_the_expected_size(small: None, tmp_path: Path) -> None:
    (fill(tmp_path) / f"{LABELS}.gz").write_bytes(gzip.compress(GOOD + bytes(50_000_000), 1))
    tracemalloc.start()
    assert "too many bytes" in message(lambda: file_hashes(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


# ---------------------------------------------------------------------------------------------------------------------
# Finding
# ---------------------------------------------------------------------------------------------------------------------


def test_the_order_of_the_search(cache: Path, tmp_path: Path, upstream: Upstream) -> None:
    assert find(fill(tmp_path / "named", suffix="")) == tmp_path / "named"
    debian = fill(tmp_path / "debian")
    assert find() == debian
    fill(cache)
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
    fill(cache)
    fill(tmp_path / "debian")
    named = fill(tmp_path / "named")
    (named / f"{LABELS}.gz").unlink()
    for act in (find, file_hashes, fashion_mnist):
        told = message(lambda act=act: act(named))
        assert told.startswith(f"{named}: there is neither {LABELS}.gz nor {LABELS} in it; ")
        assert "--data" in told
    assert "No such file" in message(lambda: find(tmp_path / "nowhere"))
    assert "Not a directory" in message(lambda: find(cache / f"{LABELS}.gz"))
    assert upstream.asked == []


def test_what_was_fetched_is_verified_when_read_from_the_cache(cache: Path, upstream: Upstream) -> None:
    path = find() / f"{LABELS}.gz"
    path.write_bytes(gzip.compress(OTHER))
    assert "SHA-256" in message(fashion_mnist)
    path.unlink()  # as the message says
    assert file_hashes(find())
    assert path.is_file()


# ---------------------------------------------------------------------------------------------------------------------
# Fetching
# ---------------------------------------------------------------------------------------------------------------------


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
        assert told.startswith(f"{data.UPSTREAM}{path}: ")
        assert said in told
        assert "--data" in told
        assert not cache.exists()


def test_where_nothing_can_be_reached_one_line_says_what_was_tried(cache: Path) -> None:
    told = message(find)
    assert f"{data.UPSTREAM} (ConnectionError)" in told
    assert "dataset-fashion-mnist (this machine has no apt-get" in told
    assert told.endswith("put the four files of Fashion-MNIST in a folder and name it with --data")
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
    assert len(file_hashes(find())) == 4


def test_two_that_fetch_at_once_both_end_well(cache: Path, upstream: Upstream) -> None:
    found: list[dict[str, str]] = []
    start = threading.Barrier(4)

    def fetch() -> None:
        start.wait()
        found.append(file_hashes(find()))

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
    fill(package / "usr/share/datasets/fashion-mnist")
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
    assert len(file_hashes(cache)) == 4

    shutil.rmtree(cache)
    deb.unlink()
    told = message(find)
    assert "Debian's dataset-fashion-mnist (E: " in told
    assert not cache.exists()


# ---------------------------------------------------------------------------------------------------------------------
# The real one
# ---------------------------------------------------------------------------------------------------------------------


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
    assert file_hashes(real.folder) == {name: sha256 for name, (_, sha256) in data.FILES.items()}


def test_validation_never_changes(real: Splits) -> None:
    """Numbers measured on one validation split cannot be compared with those of another."""
    assert hashlib.sha256(real.validation.images.numpy().tobytes()).hexdigest()[:16] == "49d70dc56c95207d"


def test_one_wrong_label_in_fashion_mnist_is_found(real: Splits, tmp_path: Path) -> None:
    for path in real.folder.iterdir():
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    assert len(file_hashes(tmp_path)) == 4
    labels = tmp_path / LABELS
    labels.write_bytes(flip(labels.read_bytes(), 5000))
    assert message(lambda: fashion_mnist(tmp_path)).startswith(f"{labels}: its SHA-256 starts with ")
