"""Are data sets of Hugging Face's `datasets` listed as they are, from anywhere, or refused in one line?"""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation
from nin.data.read import Given, read_source
from nin.data.sources.arrays import from_arrays
from nin.data.sources.huggingface import is_dataset, list_dataset, open_dataset
from nin.errors import NinError

hf = pytest.importorskip("datasets", reason="needs the extra [hf]")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what `datasets` caches, and let nothing reach the network."""
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def photo(shade: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (shade, 0, 0))


def dataset(labels: list[Any], names: str = "bac", first: int = 0) -> Any:
    """Return a Dataset whose photos have the shades `first`, `first` + 1..., with the classes of a ClassLabel."""
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=list(names))})
    photos = [photo(first + number) for number in range(len(labels))]
    return hf.Dataset.from_dict({"image": photos, "label": labels}, features=features)


def plain(labels: list[Any], image: list[Any] | None = None) -> Any:
    """Return a Dataset without a ClassLabel."""
    return hf.Dataset.from_dict({"image": image or [*map(photo, range(len(labels)))], "label": labels})


def shades(photos: Any) -> list[int]:
    return [read_photo(one).getpixel((0, 0))[0] for one in photos]  # pyright: ignore[reportOptionalSubscript]


def refusal(source: Any) -> str:
    with pytest.raises(NinError) as caught:
        list_dataset(source)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Photos, classes and splits
# ---------------------------------------------------------------------------------------------------------------------


def test_a_dataset_is_listed_in_the_order_of_its_class_label():
    listing = list_dataset(dataset([0, 1, 2, 1]), "mine")
    assert (listing.name, listing.place, listing.order) == ("mine", "memory", "as in the ClassLabel")
    assert listing.names == ("b", "a", "c")
    assert listing.labels.tolist() == [0, 1, 2, 1]
    assert [*listing.keys] == ["0", "1", "2", "3"]
    assert [*listing.parts] == [None] * 4
    assert shades(listing.photos) == [0, 1, 2, 3]
    assert shades(listing.photos[-2:]) == [2, 3]
    assert listing.notes == ()


def test_splits_are_recognised_by_name_and_others_are_left_out():
    source = hf.DatasetDict(
        {
            "unsupervised": dataset([-1]),
            "test": dataset([2, 1, 0], first=20),
            "val": dataset([0, 1, 2], first=10),
            "train": dataset([0, 1, 2, 2]),
        }
    )
    listing = list_dataset(source)
    assert [*listing.keys][::3] == ["train/0", "train/3", "test/2", "val/2"]
    assert [*listing.parts] == ["train"] * 4 + ["test"] * 3 + ["validation"] * 3
    assert listing.labels.tolist() == [0, 1, 2, 2, 2, 1, 0, 0, 1, 2]
    assert shades(listing.photos) == [0, 1, 2, 3, 20, 21, 22, 10, 11, 12]
    assert listing.notes == ("left out what is none of train, validation and test: unsupervised",)


@pytest.mark.parametrize("name", ["train", "full"])
def test_a_single_split_is_none(name: str):
    listing = list_dataset(hf.DatasetDict({name: dataset([0, 1, 2])}))
    assert [*listing.parts] == [None] * 3
    assert listing.keys[2] == f"{name}/2"


def test_photos_without_a_label_and_rows_without_a_photo_are_left_out():
    source = hf.DatasetDict({"train": dataset([0, -1, 1, None, 2]), "test": dataset([-1, -1])})
    listing = list_dataset(source)
    assert [*listing.keys] == ["train/0", "train/2", "train/4"]
    assert shades(listing.photos) == [0, 2, 4]
    assert [*listing.parts] == [None] * 3
    assert listing.notes == (
        "left out 2 of the 5 rows of train, without a label",
        "left out 2 of the 2 rows of test, without a label",
    )
    holes = list_dataset(plain(["x", "y", None, "y"], [photo(0), None, photo(2), photo(3)]))
    assert [*holes.keys] == ["0", "3"]
    assert holes.notes == ("left out 1 of the 4 rows, without a photo", "left out 1 of the 4 rows, without a label")


def test_minus_one_is_a_class_of_plain_integers_but_not_where_it_is_all_that_a_split_has():
    assert list_dataset(plain([1, -1, 1])).names == ("-1", "1")
    source = hf.DatasetDict({"train": plain([0, 1]), "test": plain([-1, -1, -1])})
    listing = list_dataset(source)
    assert (listing.names, [*listing.keys]) == (("0", "1"), ["train/0", "train/1"])


def test_classes_without_photos_are_left_out():
    listing = list_dataset(dataset([0, 1, 2, 1, 0, 2]).filter(lambda row: row["label"] != 1))
    assert listing.names == ("b", "c")
    assert listing.labels.tolist() == [0, 1, 0, 1]
    assert listing.notes == ("left out 1 of 3 classes, without photos: a",)


def test_labels_are_mapped_by_name_where_splits_have_other_class_labels():
    source = hf.DatasetDict({"train": dataset([0, 1, 2], "abc"), "test": dataset([0, 1, 1, 3], "cbxa")})
    listing = list_dataset(source)
    assert listing.names == ("a", "b", "c")
    assert listing.labels.tolist() == [0, 1, 2, 2, 1, 1, 0]
    lacking = list_dataset(hf.DatasetDict({"train": dataset([0, 1, 2]), "test": dataset([1])}))
    assert lacking.notes == ("there are no photos of the class b, c in test",)


@pytest.mark.parametrize(
    ("labels", "names", "positions"),
    [
        (["b", "10", "2"], ("10", "2", "b"), [2, 0, 1]),
        (["10", "2", "10"], ("2", "10"), [1, 0, 1]),
        ([7, 1, 7], ("1", "7"), [1, 0, 1]),
        ([2.0, 1.0, None], ("1", "2"), [1, 0]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
    ],
)
def test_labels_without_a_class_label_are_sorted(labels: list[Any], names: tuple[str, ...], positions: list[int]):
    listing = list_dataset(plain(labels))
    assert listing.names == names
    assert listing.labels.tolist() == positions


def test_a_selection_in_another_order_has_its_own_photos():
    source = dataset([0, 1, 2] * 10).shuffle(seed=3).select(range(5, 25)).filter(lambda row: row["label"] > 0)
    listing = list_dataset(source)
    assert shades(listing.photos) == [row["image"].getpixel((0, 0))[0] for row in source]
    assert [listing.names[label] for label in listing.labels] == ["bac"[row["label"]] for row in source]


def test_of_the_columns_those_with_the_features_for_it_are_taken():
    source = dataset([0, 1, 2]).rename_columns({"image": "Foto", "label": "art"}).add_column("label", ["x", "y", "z"])
    assert list_dataset(source).names == ("b", "a", "c")
    cifar100 = dataset([0, 1, 2]).rename_column("label", "fine_label").add_column("coarse_label", [0, 1, 0])
    listing = list_dataset(cifar100.cast_column("coarse_label", hf.ClassLabel(names=["p", "q"])))
    assert listing.names == ("b", "a", "c")
    assert listing.notes == ("the labels are those of the column fine_label, not coarse_label",)


def test_photos_may_be_bytes_without_the_feature_image_or_files(tmp_path: Path):
    file = io.BytesIO()
    photo(7).save(file, "PNG")
    photo(8).save(tmp_path / "8.png")
    assert shades(list_dataset(plain([0, 1], [file.getvalue()] * 2)).photos) == [7, 7]
    stored = [{"bytes": file.getvalue(), "path": "7.png"}, {"bytes": None, "path": str(tmp_path / "8.png")}]
    assert shades(list_dataset(plain([0, 1], stored)).photos) == [7, 8]
    files = plain([0, 1], [str(tmp_path / "8.png"), str(tmp_path / "missing.png")])
    listing = list_dataset(files.cast_column("image", hf.Image()))
    assert [*listing.photos] == [tmp_path / "8.png", tmp_path / "missing.png"]


def test_columns_of_a_dataset_are_arrays_too():
    source = dataset([0, 1, 2])
    found = from_arrays(source["image"], source["label"], source.features["label"].names)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert found.names == ("b", "a", "c")
    features = hf.Features({"image": hf.Array2D((4, 4), "uint8"), "label": hf.Value("int64")})
    numbers = hf.Dataset.from_dict({"image": np.full((2, 4, 4), 7, np.uint8), "label": [0, 1]}, features=features)
    assert "give (dataset.with_format('numpy')['image'], labels)" in refusal(numbers)
    assert (from_arrays(numbers.with_format("numpy")["image"], numbers["label"]).images == 7).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: dataset([0, 1]).to_iterable_dataset(), "without streaming=True"),
        (lambda: hf.DatasetDict(), "no split to train on"),
        (lambda: hf.DatasetDict(a=dataset([0, 1]), b=dataset([0, 1])), "the splits a, b, but none to train on"),
        (lambda: hf.DatasetDict(test=dataset([0, 1])), "the splits test, but none to train on"),
        (lambda: hf.DatasetDict(train=dataset([0, 1]), dev=dataset([0]), val=dataset([0])), "mean the same split"),
        (lambda: hf.DatasetDict(train=dataset([-1]), test=dataset([0, 1])), "no photos with labels to train on"),
        (lambda: hf.DatasetDict(train=dataset([0, 1]), test=dataset([0, 2])), "test has photos of the class c"),
        (lambda: hf.DatasetDict(train=dataset([0, 1]), test=plain([0, 1])), "a ClassLabel in one split and not"),
        (lambda: hf.DatasetDict(train=dataset([0, 1]), test=dataset([0]).remove_columns("label")), "lacks the column"),
        (lambda: dataset([]), "no photos with labels"),
        (lambda: dataset([1, 1]), "only one class, a"),
        (lambda: plain([*range(1001)], [{"bytes": b"", "path": ""}] * 1001), "keep at most 1,000"),
        (lambda: plain(["a\nb", "c"]), r"the class name a\nb holds"),
        (lambda: plain([0.5, 1.0]), "the label 0.5 is no integer"),
        (lambda: plain([[0], [0, 1]]), "no column has the feature ClassLabel"),
        (lambda: dataset([0, 1]).rename_column("label", "x").add_column("y", [0, 1]).cast_column(
            "y", hf.ClassLabel(names=["p", "q"])), "several columns have labels, x, y; keep one"),
        (lambda: hf.Dataset.from_dict({"a": [photo(0)], "b": [photo(1)], "label": [0]}), "columns have photos, a, b;"),
        (lambda: hf.Dataset.from_dict({"text": ["a"], "label": [0]}), "Image among text, label; cast the one"),
        (lambda: plain([0, 1], np.zeros((2, 4, 4)).tolist()), "has numbers, not photos"),
        (lambda: plain([0], ["https://a.b/c.png"]).cast_column("image", hf.Image()), "c.png is on the network"),
    ],
)  # fmt: skip
def test_what_cannot_be_listed_is_one_clear_line(source: Any, message: str):
    assert message in refusal(source())


def test_a_label_without_a_name_is_refused():
    source = hf.Dataset.from_dict({"image": [photo(0)] * 2, "label": [0, 3]})
    table = source.data.table
    broken = hf.Dataset(table, info=hf.DatasetInfo(features=dataset([0, 1]).features))
    assert "a label is 3, and its ClassLabel has 3 names" in refusal(broken)


def test_only_datasets_are_datasets(monkeypatch: pytest.MonkeyPatch):
    for source in (dataset([0]), hf.DatasetDict(train=dataset([0])), dataset([0]).to_iterable_dataset()):
        assert is_dataset(source)
    assert not is_dataset({"train": dataset([0])})
    monkeypatch.delitem(sys.modules, "datasets.arrow_dataset")
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert not is_dataset(3)


# ---------------------------------------------------------------------------------------------------------------------
# The stamp
# ---------------------------------------------------------------------------------------------------------------------


def test_the_stamp_of_photos_in_memory_is_of_their_bytes_labels_and_order():
    def stamp(source: Any) -> str:
        return list_dataset(source).stamp

    first = stamp(dataset([0, 1, 2]))
    assert stamp(dataset([0, 1, 2])) == first
    changed = [
        dataset([0, 1, 2], first=1),
        dataset([0, 2, 1]),
        dataset([0, 1, 2], "bad"),
        dataset([0, 1, 2]).select([0, 2, 1]),
        dataset([0, 1, 2]).map(lambda row: row | {"image": photo(9)}),
        hf.DatasetDict(train=dataset([0, 1, 2])),
    ]
    assert len({first, *map(stamp, changed)}) == 1 + len(changed)


def test_the_stamp_of_a_file_differs_once_it_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "data.parquet"
    dataset([0, 1, 2]).to_parquet(path)
    first = list_dataset(open_dataset(str(path)))
    assert list_dataset(open_dataset(str(path))).stamp == first.stamp
    assert list_dataset(open_dataset(str(path)).select([0, 2, 1])).stamp != first.stamp
    monkeypatch.chdir(tmp_path)
    for name in ("data.parquet", "./data.parquet", str(path)):
        given = read_source(f"hf:{name}", 4, Preparation("photo"))
        assert isinstance(given, Given)
        assert given.origin.source == f"hf:{path}"
    dataset([0, 1, 2], first=1).to_parquet(path)  # as many bytes
    again = list_dataset(open_dataset(str(path)))
    assert shades(again.photos) == [1, 2, 3]
    assert again.stamp != first.stamp


def test_the_stamp_of_photos_in_files_differs_once_one_is_written_again(tmp_path: Path):
    for shade in range(3):
        photo(shade).save(tmp_path / f"{shade}.png")
    source = plain([0, 1, 2], [str(tmp_path / f"{shade}.png") for shade in range(3)]).cast_column("image", hf.Image())
    first = list_dataset(source).stamp
    assert list_dataset(source).stamp == first
    photo(1).resize((40, 40)).save(tmp_path / "1.png")
    assert list_dataset(source).stamp != first


# ---------------------------------------------------------------------------------------------------------------------
# Opening
# ---------------------------------------------------------------------------------------------------------------------


def test_folders_and_files_are_opened_without_the_network_and_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "parquet").mkdir()
    for name, first in (("train", 0), ("test", 10)):
        dataset([0, 1, 2], first=first).to_parquet(tmp_path / f"parquet/{name}-00000-of-00001.parquet")
        for label in "ab":
            (tmp_path / "photos" / name / label).mkdir(parents=True)
            photo(first + ord(label)).save(tmp_path / "photos" / name / label / "1.png")
    (tmp_path / "a [b]").mkdir()
    dataset([0, 1, 2]).to_parquet(tmp_path / "a [b]/*.PARQUET")
    dataset([0, 1, 2], first=5).to_parquet(tmp_path / "a [b]/x.PARQUET")
    dataset([0, 1, 2]).save_to_disk(tmp_path / "saved")
    hf.DatasetDict(train=dataset([0, 1, 2])).save_to_disk(tmp_path / "both")
    capfd.readouterr()
    parquet, photos = (list_dataset(open_dataset(str(tmp_path / name)), "n") for name in ("parquet", "photos"))
    assert shades(parquet.photos) == [0, 1, 2, 10, 11, 12]
    assert [*parquet.parts] == ["train"] * 3 + ["test"] * 3
    assert parquet.names == ("b", "a", "c")
    assert photos.names == ("a", "b")
    assert photos.photos[3] == tmp_path / "photos/test/b/1.png"
    for name in ("a [b]/*.PARQUET", "saved", "both"):
        assert shades(list_dataset(open_dataset(str(tmp_path / name))).photos) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_path_may_be_relative_and_wins_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset([0, 1, 2]).save_to_disk(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("owner/name")) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "doesn't contain any data files"),
        ("text.parquet", "smaller than the minimum file footer"),
        ("text.txt", "of files, those of Parquet can be read"),
        ("script", "scripts are no longer supported"),
        ("a*", "does not find folders with"),
        ("missing", "no such file or folder"),
        ("csv", "no such file or folder"),
        ("", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("../name", "no such file or folder"),
        ("x" * 5000, "no such file or folder"),
        ("~nobody-of-that-name/x", "no such file or folder"),
        ("https://a.b/c", "no such file or folder"),
        ("a\nb", r"hf:a\nb: there is no such file"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
):
    for folder in ("empty", "script", "a*"):
        (tmp_path / folder).mkdir()
    (tmp_path / "script/script.py").write_text("raise SystemExit")
    for file in ("text.parquet", "text.txt", "x.csv"):
        (tmp_path / file).write_text("text")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NinError) as caught:
        open_dataset(name)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(NinError, match=r"pip install 'network-in-network\[hf\]'"):
        open_dataset("owner/name")


HUB = """
import http.server, os, sys, threading
class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        gated = "gated" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_HEAD
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
if sys.argv[1] == "offline": os.environ["HF_HUB_OFFLINE"] = "1"
from nin.data.sources.huggingface import open_dataset
from nin.errors import NinError
for name in sys.argv[2:]:
    try: open_dataset(name)
    except NinError as error: print(error)
"""


@pytest.mark.slow
def test_what_the_hub_refuses_is_one_line(tmp_path: Path):
    def said(*arguments: str) -> list[str]:
        run = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", HUB, *arguments],
            env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.splitlines()

    missing, gated = said("online", "owner/missing", "owner/gated")
    assert missing.startswith("hf:owner/missing: it is not here, and cannot be fetched from the hub: ")
    assert "doesn't exist on the Hub" in missing
    assert "ask for access" in gated
    (offline,) = said("offline", "owner/missing")
    assert "Offline" in offline
