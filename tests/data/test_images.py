"""Is a data set checked when it is made, and do its images keep their labels and keys?"""

import numpy as np
import pytest
import torch
from data.numbered import numbered, numbers

from nin.data.images import LabelledImages, Splits
from nin.errors import DataError


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


def test_keys_follow_their_images_and_are_positions_by_default() -> None:
    images = numbered([0, 1, 2, 1], classes=3)
    assert images.keys.tolist() == [0, 1, 2, 3]
    assert images.subset(torch.tensor([3, 0])).keys.tolist() == [3, 0]
    assert images.subset(images.labels == 1).first(1).keys.tolist() == [1]
    named = LabelledImages(images.images, images.labels, images.names, np.array(["a", "b/c", "d", "e"], dtype=object))
    assert named.slice(1, 3).keys.tolist() == ["b/c", "d"]
    with pytest.raises(DataError, match="4 images with 4 labels and 3 keys"):
        LabelledImages(images.images, images.labels, images.names, np.array(["a", "b", "c"]))


def test_a_slice_shares_its_pixels() -> None:
    images = numbered([0, 1, 2, 1], classes=3)
    assert images.slice(1, 3).images.data_ptr() == images.images[1:].data_ptr()


def test_splits_may_be_without_test_images() -> None:
    images = numbered([0, 1], classes=2)
    assert list(Splits(images, images).parts()) == ["train", "validation"]
    assert list(Splits(images, images, images).parts()) == ["train", "validation", "test"]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_splits_of_other_classes_or_channels_are_told_by_name(part: str) -> None:
    images = numbered([0, 1, 0, 1], classes=2)
    renamed = LabelledImages(images.images, images.labels, ("0", "1", "2"))
    grey = LabelledImages(images.images[:, :1], images.labels, images.names)
    whole = Splits(images, images, images)
    whole.check()
    for wrong in (renamed, grey):
        with pytest.raises(DataError, match=f"^the {part} images have other classes or channels"):
            whole._replace(**{part: wrong}).check()


def test_splits_without_validation_images_are_refused() -> None:
    images = numbered([0, 1], classes=2)
    with pytest.raises(DataError, match=r"^the validation images must be LabelledImages, not NoneType$"):
        Splits(images, images)._replace(validation=None).check()
