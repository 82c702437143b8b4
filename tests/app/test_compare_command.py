"""Does `nin compare` compare, print the table, and refuse what it cannot do?"""

import json
import os
from pathlib import Path

import pytest
from app.program import Nin
from runs.test_compare import pretend

from nin.networks.registry import NETWORKS
from nin.runs.comparing import compare as compare_module


@pytest.mark.slow
def test_the_command_compares_all_networks_unless_some_are_named(
    nin: Nin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compare_module, "run_job", pretend)
    answer = nin("compare", "--epochs", "1", "--seeds", "1", "--out", tmp_path / "new")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert set(NETWORKS) == {
        line["network"] for line in json.loads((tmp_path / "new" / "results.json").read_text())["rows"]
    }
    assert answer.stdout.endswith(f"page {tmp_path / 'new' / 'comparison.html'}\n")


def test_wrong_options_are_one_line(nin: Nin, tmp_path: Path):
    for options, said in (
        (("--size", "big"), "fastest"),
        (("--epochs", "1", "--minutes", "2"), "either minutes or epochs"),
    ):
        answer = nin("compare", "lenet", *options, "--out", tmp_path / "new")
        assert answer.returncode == 2
        assert said in answer.stderr
        assert answer.stderr.count("\n") == 1
    assert not os.path.lexists(tmp_path / "new")
