"""Do options become the plan that they say, and are wrong ones refused before anything is done?"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from runs.small import RECIPE, tiny_plan, weights
from synthetic import small_splits

import nin
from nin.data.images import Splits
from nin.data.load import NAMED
from nin.errors import NinError, OptionError
from nin.files import write_json
from nin.runs.start import choose_recipe
from nin.runs.train import train
from nin.training.events import Event, Step
from nin.training.named_recipes import for_images, named_recipe
from nin.training.pace import Pace
from nin.training.plan import Plan
from nin.training.plan_file import read_plan
from nin.training.recipe import Recipe

# --- The plan ---


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Return a function that takes the options of `train`, and returns the plan that would be carried out."""
    plans: list[Plan] = []

    def stop(plan: Plan, *_: object, **__: object) -> None:
        plans.append(plan)
        raise InterruptedError

    def plan_of(**options: object) -> Plan:
        with pytest.raises(InterruptedError):
            train(**options)
        return plans.pop()

    monkeypatch.setitem(NAMED, "fashion-mnist", lambda on_progress: small_splits())
    pace = Pace(step=1.0, validation=1.0, evaluation=4.0)
    monkeypatch.setattr("nin.training.budget.measure", lambda plan, data: pace)
    monkeypatch.setattr("nin.runs.train.run_plan", stop)
    return plan_of


def test_without_a_length_quick_takes_five_minutes_and_the_others_their_own_epochs(planned: Callable[..., Plan]):
    assert planned().minutes == 5
    for name in ("long", "long-67", "d2l"):
        plan = planned(recipe=name)
        assert (plan.minutes, plan.recipe) == (None, for_images(named_recipe(name), small_splits()))


def test_minutes_become_the_epochs_that_fit(planned: Callable[..., Plan]):
    plan = planned(recipe="long", minutes=2.0)
    assert plan.minutes == 2
    # 512 images are sixteen steps of a second, and validated after each epoch.
    assert plan.recipe.epochs == pytest.approx((120 - 8) / 17, abs=1)
    assert plan.steps == int(plan.recipe.epochs * 16)
    assert plan.schedule[-1] == (plan.steps, 0.0)


def test_options_are_in_the_plan(planned: Callable[..., Plan]):
    plan = planned(recipe="d2l", network="vgg", epochs=3.0, seed=7, device="cpu")
    assert plan.recipe == for_images(named_recipe("d2l", "vgg", 3.0), small_splits())
    assert (plan.seed, plan.device, plan.steps) == (7, "cpu", 48)


def test_options_beside_a_recipe_of_ones_own_replace_what_it_says(planned: Callable[..., Plan]):
    assert planned(recipe=RECIPE).recipe == RECIPE
    changed = planned(recipe=RECIPE, network="alexnet", epochs=5.0).recipe
    assert changed == replace(RECIPE, network="alexnet", epochs=5.0)
    assert planned(recipe=RECIPE, minutes=1.0).recipe.epochs != RECIPE.epochs


def test_a_plan_is_carried_out_as_it_is_but_for_another_seed_and_the_minutes(
    planned: Callable[..., Plan], tmp_path: Path
):
    plan = replace(tiny_plan(small_splits()), minutes=3.0)
    write_json(tmp_path / "plan.json", plan)
    assert planned(source="fashion-mnist", plan=tmp_path / "plan.json") == replace(plan, minutes=None)
    assert planned(source="fashion-mnist", plan=str(tmp_path / "plan.json"), seed=5) == replace(
        plan, minutes=None, seed=5
    )


# Written by version 0.1 for `quick`.
OLD_PLAN = """
{"recipe": {"name": "quick", "network": "nin", "epochs": 1.5, "sizes": [[67, 1.0]], "batch_size": 256, "learning_rate":
0.1, "muon": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "warm_up": 0.2, "decay": true, "label_smoothing": 0.1,
"dropout": 0.0, "flip": false, "shift": 0, "erase": 0.0, "initialisation": "he", "normalise": true, "batch_norm": true,
"final_relu": false, "bfloat16": true}, "seed": 3, "sizes": [67, 67], "steps_by_epoch": [2, 1], "schedule": [[0.0, 0.0],
[0.6000000000000001, 1.0], [3.0, 0.0]], "classes": 4, "mean": [0.4995180200986644], "std": [0.2899316599225804],
"device": "cpu", "precision": "bfloat16", "threads": 2, "minutes": null}
"""


def test_a_plan_of_version_0_1_is_still_carried_out(planned: Callable[..., Plan], tmp_path: Path):
    (tmp_path / "plan.json").write_text(OLD_PLAN)
    plan = planned(source="fashion-mnist", plan=tmp_path / "plan.json")
    assert plan.recipe == named_recipe("quick", epochs=1.5)
    assert (plan.seed, plan.steps_per_interval, plan.num_classes) == (3, (2, 1), 4)
    assert plan.preprocessing.mean == (0.4995180200986644,)


# --- The run ---


def test_a_recipe_of_ones_own_trains_a_classifier_inside_a_program_that_predicts(small_data: Splits, tmp_path: Path):
    recipe = nin.Recipe("mine", epochs=0.5, batch_size=32, muon_learning_rate=0.0)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        result = nin.train(recipe=recipe, seed=3, run=tmp_path / "run")
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert isinstance(result, nin.Result)
    assert result.folder == tmp_path / "run"
    assert (result.ended, result.epochs) == ("finished", 0.5)
    assert result.classifier.predict(small_data.test.images)[0].label in small_data.test.names
    plan = read_plan(result.folder / "plan.json")
    assert (plan.recipe, plan.seed) == (recipe, 3)
    command = json.loads((result.folder / "environment.json").read_text())["command"]
    assert command.startswith("nin.train(recipe=Recipe(name='mine', network='nin'")
    assert command.endswith("seed=3)")


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_a_stopped_run_is_resumed_to_the_weights_of_its_plan_replayed(tmp_path: Path):
    def press_ctrl_c(event: Event) -> None:
        if isinstance(event, Step) and event.step == 6:
            raise KeyboardInterrupt

    stopped = nin.train(recipe=RECIPE, seed=7, run=tmp_path / "run", on_event=press_ctrl_c)
    assert stopped.ended == "interrupted"
    assert nin.train(resume=tmp_path / "run").ended == "finished"
    nin.train(plan=tmp_path / "run" / "plan.json", run=tmp_path / "replayed")
    assert weights(tmp_path / "run") == weights(tmp_path / "replayed")
    with pytest.raises(NinError, match="has ended"):
        nin.train(resume=tmp_path / "run")


# --- Refusals ---


def test_an_existing_run_folder_is_refused_before_the_data_is_looked_for(tmp_path: Path):
    with pytest.raises(NinError, match="is there already"):
        train(tmp_path / "nowhere", run=tmp_path)


@pytest.mark.usefixtures("small_data")
def test_fewer_images_than_ones_own_batch_are_refused_before_a_folder_is_made(tmp_path: Path):
    with pytest.raises(OptionError, match="a batch of 256 needs as many training images, and there are 128"):
        train(recipe=replace(RECIPE, batch_size=256), run=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_wrong_options_from_python_are_one_line_each():
    # In a process of its own, without the shape checks of these tests: they would refuse the values before we do.
    program = """
import nin, json
for options in json.loads(input()):
    try:
        nin.train("/nonexistent", **options)
    except nin.NinError as error:
        print(error)
"""
    wrong = [
        ({"recipe": "slow"}, "'slow'"),
        ({"recipe": 5}, "recipe must be a name or a nin.Recipe, not 5"),
        ({"network": "resnet"}, "'resnet'"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": "many"}, "'many'"),
        ({"epochs": True}, "True"),
        ({"minutes": -5}, "-5"),
        ({"minutes": float("inf")}, "inf"),
        ({"minutes": 1e308}, "1e+308"),
        ({"run": 5}, "run must be a path"),
        ({"minutes": 5, "epochs": 3}, "minutes and epochs"),
        ({"plan": "plan.json", "network": "vgg"}, "network cannot"),
        ({"resume": "runs/1", "seed": 1}, "seed cannot"),
        ({"plan": "nowhere.json"}, "nowhere.json"),
        ({"seed": -1}, "-1"),
        ({"seed": 1.5}, "1.5"),
        ({"seed": 2**63}, str(2**63)),
        ({"device": "tpu"}, "'tpu'"),
        ({}, "/nonexistent"),
    ]
    given = json.dumps([options for options, _ in wrong])
    answer = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, text=True, check=True)
    lines = answer.stdout.splitlines()
    assert len(lines) == len(wrong)
    for line, (_, named) in zip(lines, wrong, strict=True):
        assert named in line


def test_a_recipe_of_ones_own_named_quick_keeps_its_epochs():
    assert choose_recipe(Recipe("quick", epochs=0.5), None)(None).epochs == 0.5
    assert choose_recipe("quick", "vgg")(5.0) == named_recipe("quick", "vgg", 5.0)
    assert choose_recipe(None, None)(None) == named_recipe("quick")
    assert choose_recipe(Recipe("mine", shift=3), "vgg")(2.0) == Recipe("mine", network="vgg", shift=3, epochs=2.0)
