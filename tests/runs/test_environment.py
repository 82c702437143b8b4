"""Does a run say truly what it was made with?"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch

import nin
from nin.data import Splits
from nin.environment import commit, environment, processor
from nin.planning import resolve
from nin.recipe import quick


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *map(str, arguments)], capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout_that_runs():
    found = commit()
    assert found is not None, "the tests run from a checkout"
    assert found.rstrip("+") == git("-C", Path(nin.__file__).parent, "rev-parse", "HEAD")


def test_a_package_inside_somebody_elses_repository_has_no_commit(tmp_path: Path):
    git("init", tmp_path)
    git("-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "theirs")
    shutil.copytree(Path(nin.__file__).parent, tmp_path / "nin")
    program = "from nin.environment import commit; print(commit())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert answer.stdout.strip() == "None"


def test_versions_machine_and_names_are_those_in_use(splits: Splits):
    plan = resolve(quick(), splits.train, 0, torch.device("cpu"))
    found = environment(plan, splits, "nin train")
    assert (found["command"], found["nin"], found["torch"]) == ("nin train", nin.__version__, torch.__version__)
    assert (found["python"], found["device"]) == (platform.python_version(), "cpu")
    assert found["threads"] == torch.get_num_threads()
    assert found["names"] == splits.train.names
    assert processor()
