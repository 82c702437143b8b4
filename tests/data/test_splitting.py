"""Are images always split the same way, each class by its share, and equal images never on both sides?"""

from collections import Counter

import numpy as np
import pytest
import torch
from data.numbered import numbered, numbers
from hypothesis import given
from hypothesis import strategies as st

from nin.data.splitting import edge, groups_of_equal, split, stratified_order
from nin.errors import DataError


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


# --- Groups of equal images ---


def test_equal_images_have_the_same_number_and_others_have_not() -> None:
    images = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
    images[1, 0, 0, 0] = images[3, 0, 0, 0] = 1
    images[4, 0, 1, 1] = 1
    groups = groups_of_equal(images)
    assert [[one == other for other in groups] for one in groups] == [
        [bool((one == other).all()) for other in images] for one in images
    ]


@given(
    labels_and_groups=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=2, max_size=200),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_no_group_is_on_both_sides_of_a_cut(labels_and_groups: list[tuple[int, int]], share: float, seed: int) -> None:
    labels, groups = (np.array(column, dtype=np.int64) for column in zip(*labels_and_groups, strict=True))
    order = stratified_order(labels, groups, seed)
    assert sorted(order) == list(range(len(labels)))
    asked = round(share * len(labels))
    cut = edge(groups, order, asked)
    assert cut >= asked
    assert not set(groups[order[:cut]]) & set(groups[order[cut:]])
    assert cut - asked < max(Counter(groups.tolist()).values()), "a cut moves to the end of one group at most"


def test_a_class_in_pairs_gets_its_share_too() -> None:
    labels = np.repeat([0, 1], 100)
    groups = np.concatenate([np.repeat(np.arange(50), 2), np.arange(50, 150)])
    order = stratified_order(labels, groups)
    held_out = labels[order[: edge(groups, order, 20)]]
    assert abs(int((held_out == 0).sum()) - 10) <= 2


def test_another_seed_holds_out_others() -> None:
    labels = np.zeros(50, dtype=np.int64)
    orders = [stratified_order(labels, seed=seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
