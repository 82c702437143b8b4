"""Do labels of any kind name the classes that were meant, or is it one line?"""

from typing import Any

import numpy as np
import pytest
import torch

from nin.data.sources.labels import read_labels
from nin.errors import NinError


@pytest.mark.parametrize(
    "given",
    [
        [2, 0, 1, 2],
        (2, 0, 1, 2),
        iter([2, 0, 1, 2]),
        np.array([2, 0, 1, 2], np.uint8),
        np.array([[2], [0], [1], [2]]),
        [[2], [0], [1], [2]],
        np.array([2.0, 0, 1, 2], np.float16),
        [2.0, 0, 1, 2],
        torch.tensor([2, 0, 1, 2], dtype=torch.int8),
        torch.tensor([2.0, 0, 1, 2], dtype=torch.bfloat16).requires_grad_(),
        [torch.tensor(2), np.int64(0), 1, np.float32(2)],
        np.array([2, 0, 1, 2], object),
    ],
)
def test_integers_of_any_kind_are_classes(given: Any):
    positions, names = read_labels(given)
    assert positions.dtype == np.int64
    assert positions.tolist() == [2, 0, 1, 2]
    assert names == ("0", "1", "2")


@pytest.mark.parametrize(
    "given",
    [
        ["b", "ä", "a", "b"],
        np.array(["b", "ä", "a", "b"]),
        np.array(["b", "ä", "a", "b"], object),
        [b"b", "ä".encode(), b"a", b"b"],
        ["b", "a\u0308", "a", "b"],  # the same letter, in two pieces
    ],
)
def test_texts_are_the_names_of_the_classes_sorted(given: Any):
    positions, names = read_labels(given)
    assert names == ("a", "b", "ä")
    assert positions.tolist() == [1, 2, 0, 1]


def test_without_names_the_classes_are_the_values_that_there_are():
    positions, names = read_labels([10, -1, 2, 10])
    assert names == ("-1", "2", "10")
    assert positions.tolist() == [2, 0, 1, 2]
    assert read_labels(np.array([True, False]))[1] == ("False", "True")


def test_with_names_integers_are_positions_in_them_and_texts_are_among_them():
    positions, names = read_labels([2, 0], ["c", "b", "a"])
    assert (positions.tolist(), names) == ([2, 0], ("c", "b", "a"))
    positions, names = read_labels(["a", "c"], np.array(["c", "b", "a"]))
    assert (positions.tolist(), names) == ([2, 0], ("c", "b", "a"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0.5], "label 1 is 0.5, which is no integer"),
        ([0, float("nan")], "label 1 is nan"),
        (np.array([1e300]), "label 0 is 1e+300"),
        ([0, None], "label 1 is None"),
        ([0, "cat"], "label 1 is 'cat', where label 0 is 0"),
        (["cat", 0], "label 1 is 0, where label 0 is 'cat'"),
        ([2**70], "label 0 is 1180591620717411303424"),
        ([object], "label 0 is <class 'object'>"),
        ([b"\xff"], "no UTF-8"),
        (["a\nb"], r"the class name a\nb holds \n"),
        (["a", " "], "is blank"),
        (np.eye(3), "(images,), not (3, 3): of one-hot labels, give labels.argmax(1)"),
        (torch.eye(3), "argmax(1)"),
        (np.eye(3).tolist(), "argmax(1)"),
        (np.zeros((2, 3, 4)), "not (2, 3, 4)"),
        ([[0], [1, 2]], "different lengths"),
        (np.array(3), "not ()"),
        (np.zeros(2, "i4,i4"), "not (2, 2)"),
        (np.array([1j]), "label 0 is 1j"),
        (np.zeros(2, "M8[s]"), "label 0 is datetime"),
        (torch.zeros(3, device="meta"), "cannot be read"),
        ("abc", "not str"),
        ({"a": 1}, "not dict"),
        (None, "not None"),
        (7, "not int"),
    ],
)
def test_labels_that_name_no_class_are_one_clear_line(labels: Any, message: str):
    with pytest.raises(NinError) as caught:
        read_labels(labels)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("names", ["abc", 3, [], ["a", "a"], ["a", 1], ["\u00e4", "a\u0308"]])
def test_names_are_different_texts(names: Any):
    with pytest.raises(NinError, match="names are a list of texts"):
        read_labels([0, 1], names)
    with pytest.raises(NinError, match="label 1 is 'x', which is none of the 2 names"):
        read_labels(["a", "x"], ["a", "b"])
