"""Does any source become training, validation and test images, and a wrong one a single line?"""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.idx_files import SMALL, write_files
from drawings import SHAPES, draw, write_photos
from PIL import Image

import nin
from nin.data.images import LabelledImages, Splits
from nin.data.load import NAMED, load_dataset
from nin.data.photos.preparation import Preparation, prepare
from nin.errors import DataError, NinError, OptionError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep images in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 20)


# --- Folders of photos ---


def test_a_folder_is_split_by_class_and_each_image_is_its_photo_prepared(photos: Path):
    splits = load_dataset(photos, size=24)
    assert splits.train.names == tuple(sorted(SHAPES))
    assert {name: len(part) for name, part in splits.parts().items()} == {"train": 48, "validation": 6, "test": 6}
    keys = [key for part in splits.parts().values() for key in part.keys.tolist()]
    assert sorted(keys) == sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))
    for part in splits.parts().values():
        assert part.images.shape[1:] == (3, 24, 24)
        for image, label, key in zip(part.images, part.labels.tolist(), part.keys, strict=True):
            assert Path(key).parent.name == part.names[label]
            with Image.open(photos / key) as photo:
                expected = prepare(photo, Preparation("photo"), 3, 24).image
            assert np.abs(image.numpy().astype(int) - expected).max() <= 1
    assert set(Counter(splits.test.labels.tolist()).values()) == {2}
    assert splits.origin.cut == {"test": 0.1, "validation": 0.1}


def test_the_second_time_no_photo_is_read(photos: Path):
    first = load_dataset(photos, size=24)
    read: list[str] = []
    again = load_dataset(photos, size=24, on_progress=lambda what, done, total: read.append(what))
    assert read == []
    assert all(
        torch.equal(one.images, other.images) and one.keys.tolist() == other.keys.tolist()
        for one, other in zip(first.parts().values(), again.parts().values(), strict=True)
    )


def test_images_are_slices_of_one_file_and_not_copies(photos: Path):
    splits = load_dataset(photos, size=24)
    places = sorted((part.images.data_ptr(), part.images.nbytes) for part in splits.parts().values())
    assert [begin for begin, _ in places[1:]] == [begin + size for begin, size in places[:-1]]


def test_another_share_or_seed_holds_out_others_and_equal_photos_stay_together(photos: Path):
    for number in range(20):
        shutil.copy(photos / "circle" / f"{number}.{['png', 'jpg', 'webp', 'gif', 'bmp', 'tif'][number % 6]}",
                    photos / "square" / f"copy-{number}.png")  # fmt: skip
    for seed in (0, 1):
        splits = load_dataset(photos, size=24, validation=0.3, test=0.2, seed=seed)
        sides = {}
        for name, part in splits.parts().items():
            for key in part.keys.tolist():
                number = Path(key).stem.removeprefix("copy-")
                if "copy" in key or key.startswith("circle"):
                    sides.setdefault(number, set()).add(name)
        assert all(len(side) == 1 for side in sides.values())
        assert abs(len(splits.validation) - 24) <= 1
    other = load_dataset(photos, size=24, validation=0.3, test=0.2, seed=0)
    assert set(other.test.keys.tolist()) != set(splits.test.keys.tolist())


def test_grey_photos_become_one_channel_and_a_model_may_ask_for_three(tmp_path: Path):
    folder = write_photos(tmp_path / "grey", 6, grey=True)
    assert load_dataset(folder, size=16).train.channels == 1
    assert load_dataset(folder, size=16, channels=3).train.channels == 3


def test_given_splits_are_kept_and_what_is_missing_is_cut(tmp_path: Path):
    folder = tmp_path / "photos"
    write_photos(folder / "train", 12)
    write_photos(folder / "test", 3, first=100)
    splits = load_dataset(folder, size=16)
    assert {name: len(part) for name, part in splits.parts().items()} == {"train": 32, "validation": 4, "test": 9}
    assert all(key.startswith("test/") for key in splits.test.keys)
    assert list(splits.origin.cut) == ["validation"]
    (folder / "test").rename(folder / "val")
    splits = load_dataset(folder, size=16)
    assert splits.test is None
    assert all(key.startswith("val/") for key in splits.validation.keys)
    cut = load_dataset(folder, size=16, test=0.25)
    assert len(cut.test) == 9


def test_photos_that_cannot_be_read_are_listed_and_the_rest_is_used(photos: Path):
    for number in range(0, 20, 3):
        path = next((photos / "square").glob(f"{number}.*"))
        path.write_bytes(path.read_bytes()[:30])
    splits = load_dataset(photos, size=16)
    assert sum(map(len, splits.parts().values())) == 53
    assert len(splits.origin.unreadable) == 7
    assert all(key.startswith("square/") and reason for key, reason in splits.origin.unreadable.items())


def test_a_folder_of_which_nothing_can_be_read_is_one_line(photos: Path):
    for path in photos.rglob("*.*"):
        path.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"^[^\n]*none of [^\n]*$"):
        load_dataset(photos, size=16)


def test_a_path_may_be_bytes_or_text_and_tilde_is_no_news(photos: Path):
    assert load_dataset(str(photos), size=16).origin.source == str(photos)
    os.chdir(photos.parent)
    assert load_dataset("photos", size=16).origin.source == str(photos)


# --- Sources in memory ---


def arrays(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([np.asarray(draw(SHAPES[i % 3], i).resize((20, 20))) for i in range(count)])
    return images, np.array([SHAPES[i % 3] for i in range(count)])


def test_arrays_and_labelled_images_are_split_too():
    images, labels = arrays()
    splits = load_dataset((images, labels))
    assert [len(part) for part in splits.parts().values()] == [48, 6, 6]
    for part in splits.parts().values():
        assert torch.equal(part.images.permute(0, 2, 3, 1), torch.from_numpy(images[part.keys]))
        assert [part.names[label] for label in part.labels] == labels[part.keys].tolist()
    same = load_dataset(LabelledImages(*(getattr(splits.train, name) for name in ("images", "labels", "names"))))
    assert len(same.train) == 38
    named = load_dataset((images, np.arange(60) % 3, ["a", "b", "c"]), test=0.0)
    assert named.train.names == ("a", "b", "c")
    assert named.test is None


def test_splits_are_taken_as_they_are(splits: Splits):
    assert load_dataset(splits).parts() == splits.parts()
    kept = splits._replace(origin=replace(splits.origin, cache=Path("somewhere")))
    assert load_dataset(kept).origin.cache is None, "the images may not be those that lie there any more"
    with pytest.raises(OptionError, match="split already"):
        load_dataset(splits, validation=0.2)


def test_photos_become_images_as_the_network_sees_those_that_are_not_square():
    for shape, fit in (((60, 32, 100, 3), "stretch"), ((60, 32, 32, 3), "pad")):
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        splits = load_dataset((images, ["a", "b"] * 30))
        assert splits.origin.preparation == Preparation("photo", fit)
        plain = Splits(splits.train, splits.validation, splits.test)
        assert load_dataset(plain).origin.preparation == Preparation("photo", fit)


def test_arrays_sorted_by_class_are_not_split_or_begun_by_class():
    images, _ = arrays()
    splits = load_dataset((images, np.repeat([0, 1, 2], 20)))
    assert set(splits.train.first(12).labels.tolist()) == {0, 1, 2}


# --- IDX files, and named sets in a folder ---


def test_a_folder_of_idx_files_is_read_with_its_own_test_split(tmp_path: Path):
    splits = load_dataset(write_files(tmp_path / "digits", SMALL))
    assert sum(map(len, (splits.train, splits.validation))) == 30
    assert len(splits.test) == 20
    assert splits.origin.name == "digits"
    assert splits.origin.preparation.kind == "photo"


def test_the_files_of_fashion_mnist_are_known_in_any_folder(fashion_mnist_folder: str):
    splits = load_dataset(fashion_mnist_folder)
    assert splits.origin.name == "Fashion-MNIST"
    assert splits.origin.preparation.kind == "garment"
    assert torch.equal(splits.validation.images, NAMED["fashion-mnist"](Path(fashion_mnist_folder)).validation.images)


# --- What is wrong ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": 0.0}, "validation cannot be 0"),
        ({"validation": 1.0}, "validation is a share"),
        ({"test": -0.1}, "test is a share"),
        ({"validation": 0.5, "test": 0.5}, "take all the images"),
        ({"fit": "squeeze"}, "fit must be one of pad, crop, stretch"),
        ({"size": 0}, "size must be a whole number from 1 to 4096, not 0"),
        ({"size": 5000}, "size must be a whole number"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": 2**32}, "seed must be a whole number from 0"),
        ({"channels": 2}, "channels must be 1 or 3, not 2"),
    ],
)
def test_options_out_of_range_are_one_line(photos: Path, options: dict[str, object], said: str):
    with pytest.raises(OptionError, match=said):
        load_dataset(photos, **{"size": 16} | options)


def test_splits_that_do_not_fit_each_other_are_one_line(splits: Splits):
    with pytest.raises(DataError, match="the test images have other classes"):
        load_dataset(splits._replace(test=LabelledImages(splits.test.images, splits.test.labels, tuple("abcd"))))


def test_what_is_no_source_is_one_line(tmp_path: Path):
    for source in (None, 3, {"a": 1}, (1, 2, 3, 4), object()):
        with pytest.raises(NinError, match=r"^[^\n]+$"):
            load_dataset(source)
    with pytest.raises(DataError, match="a path cannot hold a NUL"):
        load_dataset("a\0b")
    with pytest.raises(DataError, match="nowhere"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(OptionError, match="fit is for photos of your own"):
        load_dataset("fashion-mnist", fit="crop")


def test_images_too_few_to_hold_any_out_are_refused():
    images, _ = arrays(2)
    with pytest.raises(DataError, match="too few"):
        load_dataset((np.concatenate([images[:1]] * 4), ["a"] * 2 + ["b"] * 2))


def test_the_names_are_public():
    assert nin.load_dataset is load_dataset
