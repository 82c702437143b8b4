"""Are equal and nearly equal images found, in whatever splits, and images of one kind not taken for them?"""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance
from torch import Tensor

from nin.choices import Part
from nin.data.auditing import near_equal
from nin.data.auditing.duplicates import MEMO, Duplicates, find_duplicates
from nin.data.images import LabelledImages
from nin.files import read_json, write_json


def scenes(count: int, channels: int = 3, side: int = 40, seed: int = 0) -> Tensor:
    """Return images of clouds of all sizes, as scenes have: no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, channels, side, side)
    for cells in (2, 4, 8, 16):
        noise = torch.randn(count, channels, cells, cells, generator=generator) / cells**0.7
        total += F.interpolate(noise, size=side, mode="bilinear")
    low, high = total.amin((1, 2, 3), keepdim=True), total.amax((1, 2, 3), keepdim=True)
    return ((total - low) / (high - low) * 255).byte()


def labelled(images: Tensor, labels: list[int] | None = None, keys: list[str] | None = None) -> LabelledImages:
    numbers = torch.tensor(labels) if labels else torch.zeros(len(images), dtype=torch.int64)
    named = np.arange(0) if keys is None else np.array(keys, dtype=object)
    return LabelledImages(images, numbers, ("cat", "dog"), named)


def find(*parts: Tensor) -> Duplicates:
    names: tuple[Part, ...] = ("train", "validation", "test")
    return find_duplicates({name: labelled(part) for name, part in zip(names, parts, strict=False)})


def near(found: Duplicates) -> set[tuple[int, int]]:
    return {(pair.first.position, pair.second.position) for pair in found.near}


# --- Equal images ---


def test_equal_images_are_grouped_over_all_splits_with_their_keys_and_classes():
    images = scenes(6)
    train = labelled(images[:4], [0, 1, 0, 1], ["cat/a", "dog/b", "cat/c", "dog/d"])
    test = labelled(torch.stack([images[5], images[1], images[1]]), [0, 0, 1], ["cat/x", "cat/y", "dog/z"])
    found = find_duplicates({"train": train, "test": test})
    assert found.equal == ((("train", 1, "dog/b", "dog"), ("test", 1, "cat/y", "cat"), ("test", 2, "dog/z", "dog")),)
    assert found.near == ()
    assert found.complete


def test_images_that_differ_in_one_pixel_are_not_equal_but_nearly_so():
    images = scenes(10, side=120)
    images[7] = images[2]
    images[7, 0, 60, 60] ^= 1  # too little for the thumbnails to differ
    found = find(images)
    assert found.equal == ()
    assert near(found) == {(2, 7)}


def test_of_equal_images_only_the_first_is_in_pairs_of_nearly_equal_ones():
    images = scenes(10)
    images[4] = images[5] = images[1]
    images[8] = (images[1].float() * 0.8).byte()
    found = find(images)
    assert [[image.position for image in group] for group in found.equal] == [[1, 4, 5]]
    assert near(found) == {(1, 8)}


# --- Nearly equal images ---


def jpeg(photo: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=60)
    return Image.open(stream)


CHANGES = {
    "compressed": jpeg,
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.2),
    "flatter": lambda photo: ImageEnhance.Contrast(photo).enhance(0.6),
    "from a smaller copy": lambda photo: photo.resize((20, 20)).resize(photo.size),
    "cropped a little": lambda photo: photo.crop((1, 1, 39, 39)).resize(photo.size),
}


@pytest.mark.parametrize("count", [12, 400, near_equal.FEW + 200])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(change: str, count: int):
    images = scenes(count)
    copies = {position: count - 1 - position for position in range(5)}
    for position, copy in copies.items():
        photo = Image.fromarray(images[position].permute(1, 2, 0).numpy())
        images[copy] = torch.from_numpy(np.array(CHANGES[change](photo))).permute(2, 0, 1)
    assert near(find(images)) == set(copies.items())


def test_images_of_one_outline_are_not_taken_for_copies():
    """As trousers on black, which correlate by more than 0.9 whichever they are."""
    outline = torch.zeros(28, 28)
    outline[4:, 8:20] = 160
    images = (outline + 0.3 * (outline > 0) * scenes(600, channels=1, side=28).float()).byte()
    copy = images[3].clone()
    images[500] = (copy.float() * 0.9).byte()
    vectors = F.normalize(images.flatten(1).float() - images.flatten(1).float().mean(dim=1, keepdim=True))
    assert ((vectors @ vectors.T) > 0.9).float().mean() > 0.9
    assert near(find(images)) == {(3, 500)}


def test_a_burst_of_more_photos_than_are_compared_with_is_found():
    images = scenes(300)
    for position in range(100, 112):
        images[position] = (images[100].float() * (1 - 0.02 * (position - 100))).byte()
    assert near(find(images)) == {(one, other) for one in range(100, 112) for other in range(one + 1, 112)}


def test_among_many_images_that_are_much_alike_the_search_ends_and_says_that_there_may_be_more(
    monkeypatch: pytest.MonkeyPatch,
):
    images = scenes(1, side=12).repeat(2500, 1, 1, 1)
    images[:1250] = scenes(1250, side=12)
    images[:, :, 0, 0] = torch.randint(0, 9, (2500, 3), generator=torch.Generator().manual_seed(0)).byte()
    monkeypatch.setattr(near_equal, "PAIRS", 1000)
    found = find(images)
    assert not found.complete
    assert len(found.near) == 1000


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 2), (2, 9, 30), (4, 64, 31)])
def test_images_of_any_shape_are_searched(shape: tuple[int, int, int]):
    images = torch.randint(0, 256, (40, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[30] = images[3]
    found = find(images[:20], images[20:])
    equal = {frozenset((image.part, image.position) for image in group) for group in found.equal}
    assert shape == (1, 1, 1) or frozenset({("train", 3), ("validation", 10)}) in equal
    assert found.near == ()


# --- Blank images ---


def test_blank_images_are_found_and_are_no_copies_of_each_other():
    images = scenes(12)
    colours = torch.tensor([[0, 0, 0], [0, 0, 0], [255, 10, 0]], dtype=torch.uint8)
    images[3:6] = colours[:, :, None, None]
    images[6] = torch.randint(100, 105, (3, 40, 40), generator=torch.Generator().manual_seed(0))
    found = find(images[:4], images[4:])
    assert [(image.part, image.position) for image in found.blank] == [
        ("train", 3), ("validation", 0), ("validation", 1), ("validation", 2),
    ]  # fmt: skip
    assert found.equal == found.near == ()


def test_a_single_bright_pixel_is_not_blank():
    images = torch.zeros(3, 1, 200, 200, dtype=torch.uint8)
    images[1, 0, 150, 151] = 200
    assert [image.position for image in find(images).blank] == [0, 2]


# --- Images in a file, and what is kept ---


def test_images_in_a_file_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images = scenes(64)
    images[40] = images[7]
    images[50] = (images[9].float() * 0.8).byte()
    np.save(tmp_path / "images.npy", images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    monkeypatch.setattr("nin.data.auditing.duplicates.CHUNK", 10 * images[0].numel())
    assert find(mapped[:30], mapped[30:]) == find(images[:30], images[30:])


def test_what_was_found_is_read_again_when_the_images_are_split_in_another_way(tmp_path: Path):
    images, keys = scenes(40), [f"{number:02}.png" for number in range(40)]
    images[20], images[30] = images[5], (images[6].float() * 0.8).byte()
    images[12] = 0
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1)).tolist()
    whole = labelled(images[order], keys=[keys[position] for position in order])

    def named(found: Duplicates) -> object:
        pairs = {frozenset((pair.first.key, pair.second.key)) for pair in found.near}
        return [{image.key for image in group} for group in found.equal], pairs, [image.key for image in found.blank]

    first = find_duplicates({"train": labelled(images, keys=keys)}, tmp_path)
    parts: dict[Part, LabelledImages] = {"train": whole.slice(0, 15), "test": whole.slice(15, 40)}
    assert named(first) == ([{"05.png", "20.png"}], {frozenset({"06.png", "30.png"})}, ["12.png"])
    memo = read_json(tmp_path / MEMO)
    again = find_duplicates(parts, tmp_path)
    assert named(again) == named(first)
    assert {image.part for image in again.equal[0]} == {
        "train" if order.index(position) < 15 else "test" for position in (5, 20)
    }
    memo["found"]["blank"] = [3]
    write_json(tmp_path / MEMO, memo)
    assert [image.key for image in find_duplicates(parts, tmp_path).blank] == ["03.png"], "it was read"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe"])
def test_what_was_kept_and_is_damaged_is_found_anew(tmp_path: Path, content: bytes):
    (tmp_path / MEMO).write_bytes(content)
    images, keys = scenes(8), [f"{number}.png" for number in range(8)]
    images[4] = images[2]
    part: dict[Part, LabelledImages] = {"train": labelled(images, keys=keys)}
    assert len(find_duplicates(part, tmp_path).equal) == 1
    assert read_json(tmp_path / MEMO)["found"]["equal"] == [[2, 4]]


def test_what_was_kept_of_other_images_is_not_used(tmp_path: Path):
    images, keys = scenes(8), [f"{number}.png" for number in range(8)]
    images[4] = images[2]
    assert len(find_duplicates({"train": labelled(images, keys=keys)}, tmp_path).equal) == 1
    assert find_duplicates({"train": labelled(images[:4], keys=keys[:4])}, tmp_path).equal == ()


def test_nothing_is_kept_where_two_splits_number_their_images_alike_or_it_cannot_be_written(tmp_path: Path):
    images = scenes(8)
    parts: dict[Part, LabelledImages] = {"train": labelled(images[:4]), "test": labelled(images[4:])}
    find_duplicates(parts, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    find_duplicates({"train": labelled(images)}, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
