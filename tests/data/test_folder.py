"""Does a folder become the classes and splits that its owner meant, or one line that says what is wrong?"""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from data.photo_folders import classes_of, parts_of, problem, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin.data.preprocessing import Preprocessing
from nin.data.sources.folder import list_folder
from nin.inference.model_folder import Config


def test_each_folder_is_a_class_and_each_photo_has_its_path_as_key(tmp_path: Path):
    folder = put(tmp_path / "pets", "dog/2.png", "dog/1.JPG", "cat/deep/er/3.webp", "cat/1.png")
    listing = list_folder(folder)
    assert listing.names == ("cat", "dog")
    assert list(listing.keys) == ["cat/1.png", "cat/deep/er/3.webp", "dog/1.JPG", "dog/2.png"]
    assert listing.labels.tolist() == [0, 0, 1, 1]
    assert listing.labels.dtype == np.int64
    assert list(listing.parts) == [None] * 4
    assert list(listing.photos) == [folder / key for key in listing.keys]
    assert list(listing.photos[1:3]) == [folder / "cat/deep/er/3.webp", folder / "dog/1.JPG"]
    assert (listing.name, listing.place, listing.notes) == ("pets", str(folder), ())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".TIFF", ""])
def test_every_format_that_is_read_is_listed_and_files_without_suffix_too(tmp_path: Path, suffix: str):
    assert len(list_folder(put(tmp_path, f"a/x{suffix}", "b/y.png")).keys) == 2


def test_files_of_other_formats_are_left_out_and_counted(tmp_path: Path):
    listing = list_folder(put(tmp_path, "a/1.png", "b/2.png", "a/1.txt", "a/x/y.mp4", "b/c.heic", "b/d.xml", "b/e.123"))
    assert list(listing.keys) == ["a/1.png", "b/2.png"]
    assert listing.notes == (
        "files that are no photos by their names are left out (5): a/1.txt, a/x/y.mp4, b/c.heic and 2 more",
    )


def test_hidden_entries_are_skipped_everywhere_and_hidden_class_folders_noted(tmp_path: Path):
    hidden = [".ipynb_checkpoints/1.png", "__MACOSX/a/1.png", ".DS_Store", "Thumbs.db", "desktop.ini", "lost+found/"]
    inside = ["a/.ipynb_checkpoints/1.png", "a/._1.png", "a/Thumbs.db", "a/THUMBS.DB", "a/__x/1.png", "a/.x"]
    listing = list_folder(put(tmp_path, "a/1.png", "b/2.png", *hidden, *inside))
    assert listing.names == ("a", "b")
    assert list(listing.keys) == ["a/1.png", "b/2.png"]
    assert listing.notes == ("hidden folders are left out (3): .ipynb_checkpoints, __MACOSX, lost+found",)


def test_loose_files_that_are_no_photos_are_fine(tmp_path: Path):
    assert list_folder(put(tmp_path, "README.md", "LICENSE", "labels.json", "a/1.png", "b/1.png")).notes == ()


def test_a_relative_folder_has_the_name_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(put(tmp_path / "pets", "a/1.png", "b/1.png"))
    listing = list_folder(Path())
    assert (listing.name, list(listing.keys)) == ("pets", ["a/1.png", "b/1.png"])
    assert listing.photos[0].samefile(tmp_path / "pets/a/1.png")
    monkeypatch.chdir("a")
    assert list_folder(Path("..")).name == "pets"


# --- The order of the classes ---


def test_names_are_sorted_as_torchvision_does_and_the_order_says_where_natural_order_differs(tmp_path: Path):
    listing = list_folder(put(tmp_path, *(f"{name}/1.png" for name in ("1", "2", "10", "Z", "a"))))
    assert listing.names == ("1", "10", "2", "Z", "a")
    assert listing.order == "folder names, sorted as text: 10 before 2, unlike in natural order"


@pytest.mark.parametrize("names", [("cat", "dog"), ("01", "02", "10"), ("class 1", "class 9"), ("v1.2", "v1.9")])
def test_the_order_says_nothing_of_natural_order_where_that_is_the_same(tmp_path: Path, names: tuple[str, ...]):
    listing = list_folder(put(tmp_path, *(f"{name}/1.png" for name in names)))
    assert (listing.names, listing.order) == (names, "folder names, sorted as text")


def test_classes_txt_gives_the_order_of_the_classes(tmp_path: Path):
    put(tmp_path, "a/1.png", "b/1.png", "é è/1.png")
    (tmp_path / "classes.txt").write_bytes("\ufeffé è\r\nb\r\n a \r\n\r\n".encode())
    listing = list_folder(tmp_path)
    assert (listing.names, listing.order) == (("é è", "b", "a"), "classes.txt")
    assert classes_of(listing) == {"a/1.png": "a", "b/1.png": "b", "é è/1.png": "é è"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a\nb\n", "it lacks the class c"),
        (b"a\nb\nc\nd\n", "there are no photos of d"),
        (b"a\nb\nc\na\n", "a stands in it more than once"),
        (b"a\n\nb\nc\n", "line 2 is blank"),
        (b"", "it has no classes"),
        (b"a\nb\nc\xff\n", "it is not UTF-8"),
        (b"a\nb\nc\x1b[2J\n", r"c\x1b[2J holds \x1b"),
        (b"".join(b"%d\n" % number for number in range(1001)), "it has 1,001 classes"),
        (b"a" * 2_000_000, "it is too long"),
    ],
)
def test_a_classes_txt_that_is_wrong_is_one_line(tmp_path: Path, text: bytes, says: str):
    put(tmp_path, "a/1.png", "b/1.png", "c/1.png")
    put(tmp_path, "classes.txt", content=text)
    assert problem(tmp_path).startswith(f"{tmp_path / 'classes.txt'}: ")
    assert says in problem(tmp_path)


# --- Splits ---


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "validation", "test"), ("train", "dev", "")],
)
def test_split_folders_are_recognised(tmp_path: Path, train: str, validation: str, test: str):
    for split in filter(None, (train, validation, test)):
        put(tmp_path / split, "cat/1.png", "dog/1.png")
    listing = list_folder(tmp_path)
    assert listing.names == ("cat", "dog")
    expected = {f"{train}/cat/1.png": "train", f"{validation}/cat/1.png": "validation"}
    expected |= {f"{test}/cat/1.png": "test"} if test else {}
    assert {key: part for key, part in parts_of(listing).items() if "cat" in key} == expected
    assert listing.notes == ()


def test_a_train_folder_alone_is_split(tmp_path: Path):
    listing = list_folder(put(tmp_path, "train/cat/1.png", "train/dog/1.png", ".cache/x/1.png"))
    assert (listing.names, set(listing.parts)) == (("cat", "dog"), {"train"})


@pytest.mark.parametrize(("others", "part"), [((), "test"), (("val",), "test"), (("test",), "validation")])
def test_eval_is_the_split_that_is_missing_and_it_is_said(tmp_path: Path, others: tuple[str, ...], part: str):
    for split in ("train", "Evaluation", *others):
        put(tmp_path / split, "cat/1.png", "dog/1.png")
    listing = list_folder(tmp_path)
    assert parts_of(listing)["Evaluation/cat/1.png"] == part
    assert listing.notes == (f"Evaluation is taken as the {part} split",)


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (("train", "val", "validation"), "val and validation mean the same split, validation"),
        (("train", "test", "testing"), "test and testing mean the same split, test"),
        (("train", "eval", "evaluation"), "eval and evaluation mean the same split, test"),
        (("train", "val", "test", "eval"), "test and eval mean the same split, test"),
        (("test",), "it has the split test and none to train on"),
        (("test", "val"), "none to train on"),
        (("train", "cats"), "folders that are named as splits, train, stand beside others, cats"),
    ],
)
def test_split_folders_that_are_unclear_are_one_line(tmp_path: Path, splits: tuple[str, ...], says: str):
    for split in splits:
        put(tmp_path / split, "cat/1.png", "dog/1.png")
    assert says in problem(tmp_path)


def test_labels_are_mapped_by_name_where_a_split_lacks_a_class_and_that_is_noted(tmp_path: Path):
    put(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/2.png", "test/c/2.png", "val/b/3.png")
    put(tmp_path, "val/a/", "val/c/notes.txt")
    listing = list_folder(tmp_path)
    assert {key: name for key, name in classes_of(listing).items() if "train" not in key} == {
        "test/a/2.png": "a", "test/c/2.png": "c", "val/b/3.png": "b",
    }  # fmt: skip
    assert listing.notes == (
        "files that are no photos by their names are left out (1): val/c/notes.txt",
        "there are no photos of the class a, c in validation",
        "there are no photos of the class b in test",
    )


def test_names_are_equal_across_splits_in_any_unicode_form(tmp_path: Path):
    for split, form in (("train", "NFC"), ("test", "NFD")):
        put(tmp_path / split, *(f"{unicodedata.normalize(form, name)}/1.png" for name in ("café", "이름")))
    listing = list_folder(tmp_path)
    assert listing.names == ("café", "이름")
    assert listing.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["test/a/1.png", "test/c/1.png"], "no photos of the class c in train, but there are some in test"),
        (["test/a/1.png", "test/c/"], "no photos of the class c"),
        (["test/1.png", "test/2.png"], "photos lie directly in it, such as 1.png, 2.png"),
        (["test/"], "test: there are no photos in it"),
        (["test/a/", "test/b/"], "there are no photos in test"),
        (["train/c/"], "no photos of the class train/c, no files"),
        (["1.png"], "photos lie beside the split folders, such as 1.png"),
        (["test/a/1.png", "test/2.png"], "photos lie beside the class folders, such as 2.png"),
        (["test/metadata.csv", "test/a/1.png"], "train has no metadata.csv or .jsonl as the other splits have"),
    ],
)
def test_splits_that_do_not_fit_together_are_one_line(tmp_path: Path, keys: list[str], says: str):
    assert says in problem(put(tmp_path, "train/a/1.png", "train/b/1.png", *keys))


# --- What is wrong with a folder ---


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "there are no photos in it; make a folder for each class"),
        (["README.md", ".x/1.png", "__y/2.png"], "there are no photos in it"),
        (["1.png", "2.JPG"], "photos lie directly in it, such as 1.png, 2.JPG; make a folder for each class"),
        (["a/1.png", "b/1.png", "1.png", "2.png", "3.png", "4.png"], "such as 1.png, 2.png, 3.png and 1 more; move"),
        (["cat/1.png"], "it has only one class folder, cat; make a folder for each class"),
        (["a/1.png", "b/"], "there are no photos of the class b, no files"),
        (["a/1.png", "b/1.heic", "b/2.txt"], "no photos of the class b, only files of other formats, such as b/1.heic"),
        (["a/1.png", "b/.hidden.png"], "there are no photos of the class b, no files"),
    ],
)
def test_a_folder_that_gives_no_classes_is_one_line(tmp_path: Path, keys: list[str], says: str):
    put(tmp_path / "x", *keys)
    (tmp_path / "x").mkdir(exist_ok=True)
    assert problem(tmp_path / "x").startswith(f"{tmp_path / 'x'}: ")
    assert says in problem(tmp_path / "x")


@pytest.mark.parametrize("keys", [["a/1.png", "b/1.png"], ["train/a/1.png"], ["metadata.csv", "1.png"]])
def test_a_folder_around_the_one_that_holds_the_classes_is_told_apart(tmp_path: Path, keys: list[str]):
    put(tmp_path / "unpacked", *keys)
    put(tmp_path, "__MACOSX/x/1.png")
    assert f"name {tmp_path / 'unpacked'} if that holds the classes" in problem(tmp_path)


def test_what_is_no_folder_is_one_line(tmp_path: Path):
    assert "there is no such folder" in problem(tmp_path / "x")
    assert "a file, not a folder" in problem(put(tmp_path, "file.zip") / "file.zip")
    assert "embedded null byte" in problem(tmp_path / "a\0b")
    assert "cannot be read" in problem(tmp_path / ("x" * 5000))
    assert r"no\nsuch: there" in problem(tmp_path / "no\nsuch")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_class_folder_that_may_not_be_read_is_one_line(tmp_path: Path):
    put(tmp_path, "a/1.png", "b/c/1.png")
    (tmp_path / "b/c").chmod(0)
    try:
        assert "b/c: it cannot be read (Permission denied)" in problem(tmp_path)
    finally:
        (tmp_path / "b/c").chmod(0o700)


def test_more_than_a_thousand_classes_are_refused_before_any_is_read(tmp_path: Path):
    for number in range(1001):
        (tmp_path / f"{number}").mkdir()
    assert "it has 1,001 classes; keep at most 1,000" in problem(tmp_path)


# --- Names ---


@pytest.mark.parametrize(
    "name", ["ankle boot", "T-shirt, (top)", "猫", "می‌خواهم", "日本　語", "l'été\u00a0!", "🐈‍⬛", "a.b", "-"]
)
def test_names_of_any_script_are_classes(tmp_path: Path, name: str):
    listing = list_folder(put(tmp_path, f"{name}/1.png", "other/1.png"))
    assert set(listing.names) == {unicodedata.normalize("NFC", name), "other"}
    assert Config("nin", Preprocessing(67, (0.3,), (0.4,)), 28, listing.names).labels == listing.names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb holds \n"),
        ("\x1b[31mred", r"\x1b[31mred holds \x1b"),
        ("a\u202eb", r"a\u202eb"),
        (" ", "' ' is"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_that_are_no_text_are_refused_in_one_line(tmp_path: Path, name: str, shown: str):
    assert shown in problem(put(tmp_path, f"{name}/1.png", "b/1.png"))


needs_bytes = pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")


@needs_bytes
def test_a_class_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path):
    put(tmp_path, os.fsdecode(b"caf\xe9/1.png"), "b/1.png")
    assert r"caf\udce9 holds \udce9" in problem(tmp_path)


@needs_bytes
def test_photos_that_are_not_utf8_are_listed_under_keys_that_differ(tmp_path: Path):
    names = [os.fsdecode(b"\xe9.png"), r"\udce9.png", "a\nb.png", r"a\nb.png", r"a\nb.png (2)", "a\u200bb"]
    put(tmp_path, *(f"a/{name}" for name in names), "b/1.png")
    listing = list_folder(tmp_path)
    assert len(set(listing.keys)) == 6  # ".png (2)" is no photo's suffix
    assert all(key.isprintable() for key in listing.keys)
    assert {photo.name for photo in listing.photos} == {*names, "1.png"} - {r"a\nb.png (2)"}
    assert set(listing.keys) >= {r"a/\udce9.png", r"a/\udce9.png (2)"}
    assert list_folder(tmp_path).keys == listing.keys


@needs_bytes
def test_two_names_that_are_equal_in_unicode_are_one_line(tmp_path: Path):
    put(tmp_path, *(f"{unicodedata.normalize(form, 'é')}/1.png" for form in ("NFC", "NFD")))
    assert "two class folders are named é, in different Unicode forms" in problem(tmp_path)


@needs_bytes
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.binary(min_size=1, max_size=12), min_size=2, max_size=4))
def test_any_names_are_listed_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]):
    folder = tmp_path_factory.mktemp("names")
    texts = {os.fsdecode(name.replace(b"\0", b"0").replace(b"/", b"1")) for name in names} - {".", ".."}
    for text in texts:
        put(folder, f"{text}/1.png", f"{text}/{text}.png")
    try:
        listing = list_folder(folder)
    except ValueError:
        problem(folder)
    else:
        assert len(set(listing.keys)) == len(listing.photos)
        assert all(photo.is_file() for photo in listing.photos)
        assert "".join(listing.keys).isprintable()
        "".join((*listing.names, *listing.notes, listing.order)).encode()


# --- Links ---

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@needs_links
def test_links_to_photos_and_to_class_folders_are_what_they_lead_to(tmp_path: Path):
    put(tmp_path, "elsewhere/cats/1.png", "elsewhere/x.png", "pets/dog/1.png")
    (tmp_path / "pets/cat").symlink_to(tmp_path / "elsewhere/cats")
    (tmp_path / "pets/dog/2.png").symlink_to("../../elsewhere/x.png")
    (tmp_path / "pets/dog/3.png").symlink_to("nowhere.png")
    listing = list_folder(tmp_path / "pets")
    assert list(listing.keys) == ["cat/1.png", "dog/1.png", "dog/2.png", "dog/3.png"]  # reading says of 3 that it fails


@needs_links
def test_links_to_folders_below_a_class_are_not_followed_and_counted(tmp_path: Path):
    put(tmp_path, "a/1.png", "a/deep/2.png", "b/1.png", "a/deep/er/3.png")
    (tmp_path / "a/deep/up").symlink_to("..")
    (tmp_path / "a/deep/er/top").symlink_to(tmp_path)
    (tmp_path / "a/b").symlink_to("../b")
    (tmp_path / "b/self.png").symlink_to("self.png")
    listing = list_folder(tmp_path)
    assert list(listing.keys) == ["a/1.png", "a/deep/2.png", "a/deep/er/3.png", "b/1.png", "b/self.png"]
    assert listing.notes == ("links to folders are left out (3): a/b, a/deep/er/top, a/deep/up",)


@needs_links
@pytest.mark.parametrize(
    ("link", "target", "says"),
    [
        ("loop", ".", "the class folder loop is a link to what holds it"),
        ("up", "..", "the class folder up is a link to what holds it"),
        ("c", "a", "a and c are the same folder"),
    ],
)
def test_a_class_folder_that_links_to_the_others_is_one_line(tmp_path: Path, link: str, target: str, says: str):
    (put(tmp_path, "a/1.png", "b/1.png") / link).symlink_to(target)
    assert says in problem(tmp_path)


@needs_links
def test_splits_that_are_the_same_folder_are_one_line(tmp_path: Path):
    put(tmp_path, "train/a/1.png", "train/b/1.png")
    (tmp_path / "test").symlink_to("train")
    assert "train/a and test/a are the same folder" in problem(tmp_path)
    (tmp_path / "test").unlink()
    (tmp_path / "val").symlink_to(".")
    assert "val/val is a link to what holds it" in problem(tmp_path)


# --- The stamp ---


def test_the_stamp_differs_when_a_photo_or_a_label_may_have_changed(tmp_path: Path):
    put(tmp_path, "a/1.png", "b/1.png")
    first = list_folder(tmp_path).stamp
    assert list_folder(tmp_path).stamp == first
    stamps = [first]
    put(tmp_path, "a/1.png", content=b"other")
    stamps.append(list_folder(tmp_path).stamp)
    os.utime(tmp_path / "a/1.png", ns=(1, 1))
    stamps.append(list_folder(tmp_path).stamp)
    (tmp_path / "a/1.png").rename(tmp_path / "a/2.png")
    stamps.append(list_folder(tmp_path).stamp)
    (tmp_path / "classes.txt").write_text("b\na\n")
    stamps.append(list_folder(tmp_path).stamp)
    (tmp_path / "b").rename(tmp_path / "c")
    (tmp_path / "classes.txt").unlink()
    stamps.append(list_folder(tmp_path).stamp)
    assert len(set(stamps)) == len(stamps)


def test_listing_a_folder_does_not_load_torch(tmp_path: Path):
    put(tmp_path, "a/1.png", "b/1.png")
    program = (
        "import sys; from pathlib import Path; from nin.data.sources.folder import list_folder; "
        f"list_folder(Path({str(tmp_path)!r})); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
