"""Do options become the plan that they say, and are wrong ones refused before anything is done?"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nin.budget import Pace
from nin.data import Splits
from nin.errors import NinError, OptionError
from nin.planning import FEWEST_EPOCHS, enough, read_plan, resolve, train
from nin.preprocessing import channel_statistics
from nin.recipe import LONGEST, quick, seed

CPU = torch.device("cpu")
SMALL = replace(quick(epochs=3.0), batch_size=100)


def test_a_plan_is_resolved_from_the_training_images(splits: Splits):
    plan = resolve(SMALL, splits.train, 7, CPU)
    assert (plan.seed, plan.sizes, plan.steps_by_epoch, plan.classes) == (7, (67, 67, 67), (5, 5, 5), 4)
    assert (plan.mean, plan.std) == channel_statistics(splits.train.images)
    assert plan.device == "cpu"
    assert plan.minutes is None


def test_the_seed_recipe_is_never_sped_up(splits: Splits):
    assert resolve(seed(), splits.train, 0, CPU).precision == "float32"


# 100 steps a pass of 10 s, 8 s of evaluation and report.
PACE = Pace(step={67: 0.1}, validation={67: 1.0}, ending=8.0)


def test_minutes_become_the_epochs_that_fit_and_no_more_than_the_recipe_can_use():
    epochs, parts = enough(2.0, time.monotonic(), PACE, quick(), 25_600)
    assert epochs == pytest.approx(10.1, abs=0.2)
    assert parts == 11
    assert enough(600.0, time.monotonic(), PACE, quick(), 25_600) == (LONGEST["quick"], LONGEST["quick"])


@pytest.mark.parametrize("validation", [1.0, 37.0])
def test_the_minutes_that_a_refusal_proposes_are_enough(validation: float):
    slow = Pace(step={67: 11.0}, validation={67: validation}, ending=8.0)
    with pytest.raises(OptionError, match=r"^1 minutes are too few: .* give \S+ or more$") as refusal:
        enough(1.0, time.monotonic(), slow, quick(), 25_600)
    proposed = float(str(refusal.value).split()[-3])
    assert enough(proposed, time.monotonic(), slow, quick(), 25_600)[0] >= FEWEST_EPOCHS


@pytest.mark.parametrize("content", ["", "[]", '{"recipe": 1}', "{}", "\0"])
def test_a_file_that_is_no_plan_is_one_line_with_its_name(tmp_path: Path, content: str):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(NinError, match=r"^\S*plan\.json.*$"):
        read_plan(tmp_path / "plan.json")


def test_an_existing_run_folder_is_refused_before_the_data_is_looked_for(tmp_path: Path):
    with pytest.raises(NinError, match="is there already"):
        train(run=tmp_path, data=tmp_path / "nowhere")


def test_wrong_options_from_python_are_one_line_each():
    # In a process of its own, without the shape checks of these tests: they would refuse the values before we do.
    program = """
import nin, json
for options in json.loads(input()):
    try:
        nin.train(**options, data="/nonexistent")
    except nin.NinError as error:
        print(error)
"""
    wrong = [
        {"recipe": "slow"},
        {"network": "resnet"},
        {"epochs": 0},
        {"epochs": "many"},
        {"minutes": -5},
        {"minutes": float("inf")},
        {"minutes": 1e308},
        {"run": 5},
        {"minutes": 5, "epochs": 3},
        {"plan": "plan.json", "network": "vgg"},
        {"resume": "runs/1", "seed": 1},
        {"plan": "nowhere.json"},
        {"seed": -1},
        {"seed": 1.5},
        {"device": "tpu"},
        {},
    ]
    answer = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(wrong), capture_output=True, text=True, check=True
    )
    lines = answer.stdout.splitlines()
    assert len(lines) == len(wrong)
    said = [
        "'slow'", "'resnet'", "epochs", "'many'", "-5", "inf", "1e+308", "run is a path", "minutes and epochs",
        "network cannot", "seed cannot", "nowhere.json", "-1", "1.5", "'tpu'", "/nonexistent",
    ]  # fmt: skip
    for line, named in zip(lines, said, strict=True):
        assert named in line
