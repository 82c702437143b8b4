"""Is a data set checked when it is made, and is it always split the same way, each class by its share?"""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nin.data.images import LabelledImages, split
from nin.errors import DataError


def numbered(labels: list[int], classes: int) -> LabelledImages:
    """Make images of 1x1 in two channels, which spell out the image's number."""
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
def test_what_is_not_labelled_images_is_refused(images: torch.Tensor, labels: torch.Tensor, said: str) -> None:
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


def test_the_first_images_are_as_many_as_there_are_at_most() -> None:
    images = numbered([0, 1, 2, 1], classes=3)
    assert images.channels == 2
    assert numbers(images.first(2)) == [0, 1]
    assert images.first(2).labels.tolist() == [0, 1]
    assert len(images.first(9)) == 4
    assert images.first(9).names == images.names


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
