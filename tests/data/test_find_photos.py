"""Which files do paths stand for?"""

import os
from pathlib import Path

import pytest

from nin.data.photos.find_photos import find_photos


def test_folders_stand_for_the_files_below_them_in_order(tmp_path: Path):
    for name in ("f/b.png", "f/a.jpg", "f/notes.txt", "f/sub/c.png", "f/.hidden.png", "f/.git/d.png", "z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "f/circle").symlink_to(tmp_path / "f", target_is_directory=True)
    (tmp_path / "f/loop").symlink_to(tmp_path / "f/loop")
    (tmp_path / "empty").mkdir()
    (tmp_path / "f/nothing").mkdir()
    missing, last = tmp_path / "missing.png", tmp_path / "z.png"
    found = list(find_photos([last, tmp_path / "f", missing, tmp_path / "empty", last]))
    below = [tmp_path / "f" / name for name in ("a.jpg", "b.png", "loop", "notes.txt", "sub/c.png")]
    assert found == [last, *below, missing, tmp_path / "empty", last]


def test_the_order_is_that_of_sorted_paths(tmp_path: Path):
    for name in ("a/b", "a-b", "a.png", "a/c/d", "a/c.png", "B/x", "ä/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list(find_photos([tmp_path]))
    assert found == sorted(found)
    assert len(found) == 7


def test_photos_are_yielded_before_all_are_found(tmp_path: Path):
    def paths():
        yield tmp_path / "first"
        raise AssertionError("asked for before the first was taken")

    assert next(find_photos(paths())) == tmp_path / "first"


def test_folders_may_be_nested_deeply(tmp_path: Path):
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "x.png").touch()
    assert list(find_photos([tmp_path])) == [folder / "x.png"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_what_can_be_no_name_stands_for_itself(name: str):
    assert list(find_photos([Path(name)])) == [Path(name)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_stands_for_itself(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0)
    assert list(find_photos([tmp_path])) == [folder]
    folder.chmod(0o700)
