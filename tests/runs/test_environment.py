"""Does a run say truly what it was made with?"""

import os
import platform
import subprocess
from pathlib import Path

import pytest
import torch
from runs.small import tiny_plan, tiny_splits

import nin
from nin.data.images import Origin
from nin.data.photos.preparation import Preparation
from nin.files import write_json
from nin.runs.environment import commit, environment, in_words, processor

PACKAGE = Path(nin.__file__).parent


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *map(str, arguments)], capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout_that_runs():
    found = commit()
    assert found is not None, "the tests run from a checkout"
    assert found.rstrip("+") == git("-C", PACKAGE, "rev-parse", "HEAD")


def test_a_package_inside_somebody_elses_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    git("init", tmp_path)
    git("-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "theirs")
    (tmp_path / "nin" / "runs").mkdir(parents=True)
    (tmp_path / "nin" / "__init__.py").touch()
    monkeypatch.setattr("nin.runs.environment.__file__", str(tmp_path / "nin" / "runs" / "environment.py"))
    assert commit() is None
    git("-C", tmp_path, "add", ".")
    assert commit() is not None, "with its files in the repository, it is theirs to call a checkout"


def test_versions_machine_and_names_are_those_in_use():
    splits = tiny_splits()
    found = environment(tiny_plan(splits), splits, "nin train")
    assert (found["command"], found["nin"], found["torch"]) == ("nin train", nin.__version__, torch.__version__)
    assert (found["python"], found["device"]) == (platform.python_version(), "cpu")
    assert found["threads"] == torch.get_num_threads()
    assert found["names"] == splits.train.names
    assert processor()


def test_the_data_are_described():
    unreadable = {f"cats/{number}.png": "cut off" for number in range(150)}
    origin = Origin(
        "photos", "/photos", preparation=Preparation("photo", "crop"), order="names, sorted as text",
        cut={"validation": 0.25}, seed=3, unreadable=unreadable, notes=("eval is taken as test",),
    )  # fmt: skip
    splits = tiny_splits()._replace(test=None, origin=origin)
    data = environment(tiny_plan(splits), splits, "nin train")["data"]
    assert (data["name"], data["place"]) == ("photos", "/photos")
    assert data["images"] == {"train": 128, "validation": 32}
    assert (data["width"], data["height"], data["channels"]) == (28, 28, 1)
    assert (data["cut"], data["cut_seed"]) == ({"validation": 0.25}, 3)
    assert (data["order"], data["notes"]) == ("names, sorted as text", ["eval is taken as test"])
    assert data["unreadable_photos"] == 150
    assert len(data["unreadable"]) < 150
    assert data["unreadable"][0] == ("cats/0.png", "cut off")


@pytest.mark.parametrize(
    ("preparation", "said"),
    [
        (Preparation("garment"), "light on dark"),
        (Preparation("photo", "pad"), "padded to a square"),
        (Preparation("photo", "crop"), "cropped to the square"),
        (Preparation("photo", "stretch"), "stretched"),
    ],
)
def test_every_preparation_is_told_in_words_of_its_own(preparation: Preparation, said: str):
    assert said in in_words(preparation)


def test_names_that_are_no_utf_8_are_escaped(tmp_path: Path):
    odd = os.fsdecode(b"dat\xe9")
    origin = Origin(odd, odd, order=odd, unreadable={odd: odd}, notes=(odd,))
    splits = tiny_splits()._replace(origin=origin)
    found = environment(tiny_plan(splits), splits, os.fsdecode(b"nin train --run caf\xe9"))
    assert found["command"] == "nin train --run caf\\udce9"
    assert found["data"]["name"] == found["data"]["place"] == "dat\\udce9"
    write_json(tmp_path / "environment.json", found)
