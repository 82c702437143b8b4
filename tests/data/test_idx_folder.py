"""Are the splits of a folder of IDX files found by their names, and is every mistake in it told in one line?"""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data.idx_files import SMALL, any_idx, write_files

from nin.data.sources.idx_folder import is_idx_folder, read_idx_folder
from nin.errors import DataError

DRAW = np.random.default_rng(0)
TRAIN = DRAW.integers(0, 256, (12, 5, 4), dtype=np.uint8)
TEST = DRAW.integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3
TEST_LABELS = np.arange(6, dtype=np.uint8) % 2
GOOD = {
    "train-images-idx3-ubyte": any_idx(TRAIN),
    "train-labels-idx1-ubyte": any_idx(LABELS),
    "t10k-images-idx3-ubyte": any_idx(TEST),
    "t10k-labels-idx1-ubyte": any_idx(TEST_LABELS),
}


def folder_of(folder: Path, contents: dict[str, bytes], suffix: str = "", classes: str | None = None) -> Path:
    write_files(folder, contents, suffix)
    if classes is not None:
        (folder / "classes.txt").write_text(classes, encoding="utf-8")
    return folder


def message(folder: Path) -> str:
    """Return the one line of the DataError that reading must end in, without the folder's name."""
    with pytest.raises(DataError) as caught:
        read_idx_folder(folder)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(str(folder))
    return told.removeprefix(str(folder)).lstrip("/:").strip()


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("names", [
    "{part}-images-idx3-ubyte {part}-labels-idx1-ubyte",
    "emnist-letters-{part}-images-idx3-ubyte emnist-letters-{part}-labels-idx1-ubyte",
    "{part}-images.idx3-ubyte {part}-labels.idx1-ubyte",
    "K49_{part}_images.idx K49_{part}_labels.idx",
])  # fmt: skip
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_the_splits_are_found_by_the_names_of_the_files(tmp_path: Path, suffix: str, names: str, test: str):
    contents = iter(GOOD.values())
    folder = folder_of(
        tmp_path, {name: next(contents) for part in ("train", test) for name in names.format(part=part).split()}, suffix
    )
    (folder / "readme.txt").write_text("not looked at")
    assert is_idx_folder(folder)
    parts, order, notes = read_idx_folder(folder)
    assert (list(parts), order, notes) == (["train", "test"], "the labels' numbers", ())
    for part, images, labels in (("train", TRAIN, LABELS), ("test", TEST, TEST_LABELS)):
        assert np.array_equal(parts[part].images[:, 0].numpy(), images)
        assert parts[part].labels.tolist() == labels.tolist()
        assert parts[part].names == ("0", "1", "2")
        assert parts[part].keys.tolist() == list(range(len(images)))


@pytest.mark.parametrize("name", ["val", "validation"])
def test_a_validation_split_is_one_and_a_test_split_may_be_missing(tmp_path: Path, name: str):
    contents = {file.replace("t10k", name): content for file, content in GOOD.items()}
    parts, _, _ = read_idx_folder(folder_of(tmp_path / "both", contents))
    assert list(parts) == ["train", "validation"]
    parts, _, _ = read_idx_folder(folder_of(tmp_path / "one", dict(list(GOOD.items())[:2])))
    assert list(parts) == ["train"]


@pytest.mark.parametrize("shape", [(12, 3, 5, 4), (12, 1, 5, 4), (12, 5, 4, 3), (12, 5, 4, 1)])
def test_channels_stand_before_the_rows_or_last(tmp_path: Path, shape: tuple[int, ...]):
    values = DRAW.integers(0, 256, shape, dtype=np.uint8)
    contents = {"train-images-idx4-ubyte": any_idx(values), "train-labels-idx1-ubyte": any_idx(LABELS)}
    images = read_idx_folder(folder_of(tmp_path, contents))[0]["train"].images
    expected = torch.from_numpy(values if shape[1] in (1, 3) else values.transpose(0, 3, 1, 2).copy())
    assert torch.equal(images, expected)
    assert images.is_contiguous()


def test_classes_txt_names_the_labels_of_all_splits(tmp_path: Path):
    classes = "\ufeffcat\r\nsmall dog\r\nкот\r\nfourth\r\n\r\n"
    parts, order, notes = read_idx_folder(folder_of(tmp_path, GOOD, classes=classes))
    assert (order, notes) == ("classes.txt", ("labels that no image has are left out (1): fourth",))
    assert parts["train"].names == parts["test"].names == ("cat", "small dog", "кот")


def test_labels_that_no_image_has_are_no_classes(tmp_path: Path):
    contents = {**GOOD, "t10k-labels-idx1-ubyte": any_idx(np.array([0, 1, 2, 3, 299, 5], "i4"), 0x0C)}
    parts, _, _ = read_idx_folder(folder_of(tmp_path, contents))
    assert parts["train"].names == parts["test"].names == ("0", "1", "2", "3", "5", "299")
    assert parts["train"].labels.tolist() == LABELS.tolist()
    assert parts["test"].labels.tolist() == [0, 1, 2, 3, 5, 4]


def test_the_plain_file_goes_before_the_packed_one(tmp_path: Path):
    write_files(folder_of(tmp_path, GOOD), dict.fromkeys(GOOD, b"not looked at"))
    assert len(read_idx_folder(tmp_path)[0]["train"]) == 12


def test_other_folders_are_none_of_idx_files(tmp_path: Path):
    assert not is_idx_folder(tmp_path)
    assert not is_idx_folder(tmp_path / "nowhere")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    for name in ("train-labels-idx1-ubyte", "retrain-images-idx3-ubyte", "train-images.png", ".train-images-idx3"):
        (tmp_path / name).write_bytes(b"")
    assert not is_idx_folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    assert is_idx_folder(tmp_path)


def without(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in GOOD.items() if name not in names}


TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS_NAME = GOOD
MISTAKES = {
    "no labels": (
        without(TEST_LABELS_NAME),
        "t10k-images-idx3-ubyte: there are no labels for these images; add a file such as t10k-labels-idx1-ubyte, ",
    ),
    "no images": (
        without(TEST_IMAGES),
        "t10k-labels-idx1-ubyte: there are no images for these labels; add a file such as t10k-images-idx3-ubyte, ",
    ),
    "other counts": (
        {**GOOD, TRAIN_LABELS: any_idx(TEST_LABELS)},
        "train-images-idx3-ubyte holds 12 images and train-labels-idx1-ubyte 6 labels; ",
    ),
    "negative labels": (
        {**GOOD, TRAIN_LABELS: any_idx(np.full(12, -3, "i2"), 0x0B)},
        "train-labels-idx1-ubyte: it holds the label -3; labels count from 0",
    ),
    "no training images": (without(TRAIN_IMAGES, TRAIN_LABELS), "it has no training images; add a file such as "),
    "several sets": (
        {**GOOD, "letters-train-images-idx3-ubyte": b""},
        "it holds several data sets (one without a name, letters); move each into a folder of its own",
    ),
    "two test splits": (
        {**GOOD, "test-images-idx3-ubyte": b""},
        "t10k-images-idx3-ubyte and test-images-idx3-ubyte are both the test images; move one of them away",
    ),
    "too many classes": (
        {**GOOD, TRAIN_LABELS: any_idx(np.arange(12, dtype="i2") * 1000, 0x0B)},
        "train-labels-idx1-ubyte: it holds the label 11,000, and at most 1,000 classes can be told apart",
    ),
    "one class": (
        {**GOOD, TRAIN_LABELS: any_idx(LABELS * 0 + 2)},
        "train-labels-idx1-ubyte: all its labels are 2; a classifier needs two classes or more",
    ),
    "other sizes": (
        {**GOOD, TEST_IMAGES: any_idx(TEST[:, :3])},
        "its test images are (channels, rows, columns) (1, 3, 4), and its training images (1, 5, 4); ",
    ),
    "four channels": (
        {**GOOD, TRAIN_IMAGES: any_idx(np.zeros((12, 5, 5, 4), np.uint8))},
        "train-images-idx3-ubyte: its shape is (12, 5, 5, 4), and images are (images, rows, columns), (images, ",
    ),
    "rows of pixels": (
        {**GOOD, TRAIN_IMAGES: any_idx(np.zeros((12, 20), np.uint8))},
        "train-images-idx3-ubyte: its shape is (12, 20), and images are ",
    ),
    "floats": (
        {**GOOD, TRAIN_IMAGES: any_idx(TRAIN.astype("f4"), 0x0D)},
        "train-images-idx3-ubyte: it holds 32-bit floats, and images are unsigned bytes; replace it, or move it away",
    ),
    "labels of floats": ({**GOOD, TRAIN_LABELS: any_idx(LABELS.astype("f4"), 0x0D)}, "train-labels-idx1-ubyte: it "),
    "cut off": ({**GOOD, TEST_IMAGES: GOOD[TEST_IMAGES][:-1]}, "t10k-images-idx3-ubyte: it holds 119 bytes after "),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_is_told(tmp_path: Path, kind: str):
    contents, said = MISTAKES[kind]
    assert message(folder_of(tmp_path, contents)).startswith(said)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("a\nb\n", "train-labels-idx1-ubyte: it holds the label 2, and classes.txt has the names of 0 to 1; "),
        ("a\nb\na\n", "classes.txt: .*a.* more than once"),
        ("a\n\nb\nc\n", "classes.txt: line 2 is blank; name a class on each line"),
        ("a\nb\x1b[31m\nc\n", r"classes.txt: .*b\\x1b\[31m"),
        ("", "classes.txt: "),
        ("".join(f"{number}\n" for number in range(1001)), "classes.txt: .*1,001 classes"),
    ],
)
def test_mistakes_in_classes_txt_are_told(tmp_path: Path, classes: str, said: str):
    assert re.match(said, message(folder_of(tmp_path, GOOD, classes=classes)))


def test_names_that_cannot_be_printed_are_escaped(tmp_path: Path):
    folder = folder_of(tmp_path, {**GOOD, "a\nb-train-images-idx3-ubyte": b""})
    assert r"several data sets (one without a name, a\nb)" in message(folder)


def test_a_damaged_gzip_file_is_named(tmp_path: Path):
    folder = folder_of(tmp_path, GOOD, suffix=".gz")
    (folder / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(SMALL[TEST_IMAGES])[:-12])
    assert message(folder).startswith(f"{TEST_IMAGES}.gz: it is cut off")
