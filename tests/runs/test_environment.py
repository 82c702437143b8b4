"""Does a run say truly what it was made with?"""

import os
import platform
import subprocess
from pathlib import Path

import pytest
import torch
from runs.small import tiny_plan, tiny_splits

import nin
from nin.files import write_json
from nin.runs.environment import commit, environment, processor

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
    assert (found["data"], found["names"]) == ("synthetic", splits.train.names)
    assert processor()


def test_a_command_and_a_folder_that_are_no_utf_8_are_escaped(tmp_path: Path):
    splits = tiny_splits(os.fsdecode(b"dat\xe9"))
    found = environment(tiny_plan(splits), splits, os.fsdecode(b"nin train --run caf\xe9"))
    assert (found["command"], found["data"]) == ("nin train --run caf\\udce9", "dat\\udce9")
    write_json(tmp_path / "environment.json", found)
