"""Do options become the plan that they say, and are wrong ones refused before anything is done?"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nin.data import Splits
from nin.errors import NinError, OptionError
from nin.planning import find_device, resolve, train
from nin.preprocessing import channel_statistics
from nin.recipe import quick, seed


def test_a_plan_is_resolved_from_the_training_images(splits: Splits):
    plan = resolve(replace(quick(epochs=3), batch_size=100), splits.train, 7, torch.device("cpu"))
    assert (plan.seed, plan.sizes, plan.steps_per_epoch, plan.classes) == (7, (67, 67, 67), 5, 4)
    assert (plan.mean, plan.std) == channel_statistics(splits.train.images)
    assert plan.device == "cpu"


def test_the_seed_recipe_is_never_sped_up(splits: Splits):
    assert resolve(seed(), splits.train, 0, torch.device("cpu")).precision == "float32"


def test_a_device_that_is_not_here_is_refused():
    here = torch.accelerator.current_accelerator(check_available=True)
    missing = "mps" if here is not None and here.type == "cuda" else "cuda"
    with pytest.raises(OptionError, match=f"device {missing} is not here"):
        find_device(missing)
    assert find_device("cpu").type == "cpu"


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
    for line, named in zip(lines, ("'slow'", "'resnet'", "epochs", "-1", "1.5", "'tpu'", "/nonexistent"), strict=True):
        assert named in line
