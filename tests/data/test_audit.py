"""Does an audit count what is there, and say what is wrong in lines that one can act on?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_duplicates import scenes
from torch import Tensor

from nin.data.auditing.audit import Audit, audit
from nin.data.images import LabelledImages, Origin, Splits
from nin.data.load import load_dataset
from nin.errors import DataError

NAMES = ("cat", "dog")


def splits_of(
    counts: list[list[int]], images: Tensor | None = None, names: tuple[str, ...] = NAMES, origin: Origin | None = None
) -> Splits:
    """Return splits with so many images of each class, such as [[train cats, train dogs], [validation cats, ...]]."""
    total = sum(map(sum, counts))
    images = scenes(total, side=16) if images is None else images
    parts: list[LabelledImages] = []
    begin = 0
    for part, numbers in zip(("train", "validation", "test"), counts, strict=False):
        labels = torch.repeat_interleave(torch.tensor(numbers))
        keys = np.array([f"{names[label]}/{part}-{place}.png" for place, label in enumerate(labels)], dtype=object)
        parts.append(LabelledImages(images[begin : begin + len(labels)], labels, names, keys))
        begin += len(labels)
    train, validation, *test = parts
    return Splits(train, validation, *(test or [None]), origin=origin or Origin())


def lines(found: Audit) -> list[str]:
    for finding in found.findings:
        assert finding.text.isprintable()
    return [f"{finding.severity}: {finding.text}" for finding in found.findings]


def test_nothing_is_found_where_nothing_is_wrong():
    found = audit(splits_of([[5, 6], [2, 2], [2, 1]], origin=Origin(name="pets", place="/here", order="by name")))
    assert lines(found) == []
    assert found.counts == {"train": (5, 6), "validation": (2, 2), "test": (2, 1)}
    assert (found.name, found.place, found.order, found.shape) == ("pets", "/here", "by name", (3, 16, 16))


# --- Classes ---


@pytest.mark.parametrize(
    ("counts", "names", "line"),
    [
        ([[5], [2]], ("cat",), "error: there is one class only, cat; a classifier chooses among two or more, add "
                               "another"),
        ([[4, 1], [2, 0]], NAMES, "error: the class dog has a single image; add images, or leave the class out"),
        ([[4, 0], [2, 3]], NAMES, "error: the class dog has no images to train on; add some, or leave the class out"),
        (
            [[4, 0, 0, 1, 0, 1], [2, 3, 0, 0, 2, 0]], tuple("abcdef"),
            "error: 3 classes, b, c, e, have no images to train on; add some, or leave the class out",
        ),
        (
            [[22, 2, 30], [2, 3, 2]], ("a", "b", "c"),
            "warning: the classes are very unequal: c has 30 training images, and b (2) the fewest; look at balanced "
            "accuracy and recall, or add images",
        ),
        ([[4, 3], [2, 2], [0, 3]], NAMES, "warning: the class cat has no test images: add some, or recall is not "
                                          "measured there"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_classes_is_said(counts: list[list[int]], names: tuple[str, ...], line: str):
    assert line in lines(audit(splits_of(counts, names=names)))


def test_a_class_that_cannot_be_trained_on_is_named_once():
    found = lines(audit(splits_of([[30, 1, 0, 12], [2, 0, 0, 2], [1, 0, 3, 2]], names=tuple("abcd"))))
    assert found == [
        "error: the class b has a single image; add images, or leave the class out",
        "error: the class c has no images to train on; add some, or leave the class out",
    ]


def test_classes_of_ten_times_the_images_of_others_are_not_too_unequal():
    assert lines(audit(splits_of([[40, 4], [1, 1]]))) == []


def test_more_classes_than_can_be_trained_on_are_an_error():
    names = tuple(f"class {number}" for number in range(1001))
    found = audit(splits_of([[2] * 1001, [1] * 1001], scenes(3003, channels=1, side=12), names))
    assert lines(found) == ["error: there are 1,001 classes; keep at most 1,000"]


# --- Copies ---


def with_copies() -> Splits:
    """Return 10 training cats and 10 dogs, 3 and 3 to validate, 3 and 3 to test, some of which are copies."""
    images = scenes(32)
    images[23] = images[26] = images[0]  # validation dog 0 and test cat 0 are training cat 0
    images[2] = images[1]  # two training cats
    images[29] = (images[21].float() * 0.8).byte()  # test dog 0 is nearly validation cat 1
    images[12] = (images[1].float() * 0.4).byte()  # a training dog is nearly the two cats
    return splits_of([[10, 10], [3, 3], [3, 3]], images)


def test_copies_are_counted_by_the_splits_that_they_lie_in():
    found = audit(with_copies())
    assert found.equal.pairs == {
        ("train", "train"): 1, ("train", "validation"): 1, ("train", "test"): 1, ("validation", "test"): 1,
    }  # fmt: skip
    assert found.near.pairs == {("train", "train"): 2, ("validation", "test"): 1}
    held_out = {part: [image.key for image, _ in pairs] for part, pairs in found.equal.held_out.items()}
    assert held_out == {"validation": ["dog/validation-3.png"], "test": ["cat/test-0.png"]}
    assert [(image.key, copy.key) for image, copy in found.near.held_out["test"]] == [
        ("dog/test-3.png", "cat/validation-1.png")
    ]
    assert found.equal.mask("test", 6).tolist() == [True, False, False, False, False, False]
    assert found.near.mask("test", 6).tolist() == [False, False, False, True, False, False]
    assert not found.near.mask("validation", 6).any()


def test_copies_are_said_with_what_differs_first():
    assert lines(audit(with_copies())) == [
        "warning: 1 group of equal images has different labels, cat/train-0.png in train as cat with "
        "dog/validation-3.png in validation as dog; correct the labels, or remove the images",
        "warning: 2 pairs of nearly equal images have different labels, cat/validation-1.png in validation as cat with "
        "dog/test-3.png in test as dog, cat/train-1.png in train as cat with dog/train-12.png in train as dog; look at "
        "them in the --report of nin data, and correct the labels",
        "warning: 1 of 6 validation images is equal to training images, dog/validation-3.png in validation with "
        "cat/train-0.png in train: accuracy there is inflated; keep one of each, or all in one split",
        "warning: 1 of 6 test images is equal to training or validation images, cat/test-0.png in test with "
        "cat/train-0.png in train: accuracy there is inflated; keep one of each, or all in one split",
        "warning: 1 of 6 test images is nearly equal to training or validation images, dog/test-3.png in test with "
        "cat/validation-1.png in validation: accuracy there is inflated; keep one of each, or all in one split",
        "note: 1 group of equal training images, 2 images in all, cat/train-1.png in train with cat/train-2.png in "
        "train; one of each is enough",
        "note: 1 pair of nearly equal training images, cat/train-1.png in train with dog/train-12.png in train",
    ]


def test_three_examples_are_given_of_many():
    images = scenes(40)
    images[30:37] = images[:7]
    warning = lines(audit(splits_of([[15, 15], [5, 5]], images)))[1]
    assert warning.startswith(
        "warning: 7 of 10 validation images are equal to training images, such as cat/validation-0"
    )
    assert warning.count(" with ") == 3


# --- Photos ---


def test_unreadable_photos_blank_images_and_notes_are_said():
    images = scenes(26)
    images[:5] = 7
    origin = Origin(
        unreadable={"cat/a\x1b[31m.jpg": "it is empty; save it again", "dog/b.png": "cut off; get it again"},
        notes=("3 hidden files were left out",),
    )
    found = audit(splits_of([[10, 10], [3, 3]], images, origin=origin))
    assert lines(found) == [
        r"warning: 2 of 28 photos cannot be read, cat/a\x1b[31m.jpg (it is empty), dog/b.png (cut off); they are left "
        "out, replace or remove them",
        "warning: 5 images show one colour only, such as cat/train-0.png in train, cat/train-1.png in train, "
        "cat/train-2.png in train; remove what is no image",
        "note: 3 hidden files were left out",
    ]


def test_errors_come_before_warnings_and_these_before_notes():
    splits = with_copies()
    origin = replace(splits.origin, notes=("a note",))
    three = [LabelledImages(part.images, part.labels, (*NAMES, "bird"), part.keys) for part in splits[:3] if part]
    found = audit(Splits(*three, origin=origin))
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert severities[0] == "error"
    assert severities[-1] == "note"


def test_splits_of_different_shapes_are_refused():
    splits = splits_of([[5, 6], [2, 2]])
    smaller = replace(splits.validation, images=splits.validation.images[:, :, 1:])
    with pytest.raises(
        DataError, match=r"^images have the shape \(3, 16, 16\) in train and \(3, 15, 16\) in validation;"
    ):
        audit(splits._replace(validation=smaller))


# --- For programs ---


def test_everything_is_there_for_programs():
    splits = with_copies()
    splits = splits._replace(origin=Origin(unreadable={"x": "y"}, sizes={(640, 480): 3, (20, 30): 1}))
    values = json.loads(json.dumps(audit(splits).to_json()))
    assert values["classes"] == [{"name": name, "train": 10, "validation": 3, "test": 3} for name in NAMES]
    assert values["images"] == {"train": 20, "validation": 6, "test": 6}
    assert values["sizes"][0] == {"width": 640, "height": 480, "photos": 3}
    assert values["unreadable"] == {"x": "y"}
    assert {"splits": ["train", "test"], "pairs": 1} in values["copies"]["equal"]["pairs"]
    assert values["copies"]["nearly_equal"]["held_out"] == {"test": 1}
    assert [image["key"] for image in values["equal"][0]] == [
        "cat/train-0.png",
        "dog/validation-3.png",
        "cat/test-0.png",
    ]
    (first, *_) = values["nearly_equal"]
    assert set(first) == {"first", "second", "correlation"}
    assert set(first["first"]) == {"part", "position", "key", "label"}
    assert values["findings"][0]["severity"] == "warning"


def test_what_is_found_is_kept_beside_the_images(tmp_path: Path):
    splits = with_copies()._replace(origin=Origin(cache=tmp_path))
    first = audit(splits)
    assert [path.name for path in tmp_path.iterdir()] == ["duplicates.json"]
    assert audit(splits) == first


# --- Real data: docs/data-sets.md ---


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist_folder")
def test_fashion_mnist_has_no_equal_images_and_few_nearly_equal_ones():
    found = audit(load_dataset("fashion-mnist"))
    assert found.duplicates.equal == found.duplicates.blank == ()
    assert found.duplicates.complete
    assert found.duplicates.near[0].correlation > 0.999
    # 389 and 76 on the machine of docs/data-sets.md; another may round another way.
    assert len(found.duplicates.near) == pytest.approx(389, abs=5)
    assert len(found.near.held_out["test"]) == pytest.approx(76, abs=3)
