"""Does the learning rate go where the plan says, and is a plan from elsewhere checked, or upgraded?"""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from msgspec.structs import replace

from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing, channel_statistics
from nin.errors import FileError, OptionError
from nin.files import write_json
from nin.training.named_recipes import d2l, long_67, quick
from nin.training.plan import Plan, resolve, resolve_schedule
from nin.training.plan_file import read_plan
from nin.training.recipe import Recipe

CPU = torch.device("cpu")


def plan_of(recipe: Recipe, images: int = 25_600, intervals: int = 1) -> Plan:
    schedule = resolve_schedule(recipe, images, intervals)
    return Plan(recipe, 0, Preprocessing(recipe.size, (0.0,), (1.0,)), 10, *schedule, "cpu", "float32", 2)


def learning_rate_factors(plan: Plan) -> list[float]:
    return [plan.learning_rate_factor(step + 0.5) for step in range(plan.steps)]


# --- The schedule ---


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_nearly_nothing():
    plan = plan_of(quick(epochs=5.0))
    factors = learning_rate_factors(plan)
    assert (plan.steps, plan.warm_up_steps) == (500, 100)
    assert factors[:100] == sorted(factors[:100])
    assert factors[100:] == sorted(factors[100:], reverse=True)
    assert 0.99 < max(factors) <= 1
    assert 0 < factors[0] < 0.01
    assert 0 < factors[-1] < 0.01


def test_the_textbooks_learning_rate_stays_where_it_is():
    assert set(learning_rate_factors(plan_of(d2l()))) == {1.0}


def test_the_warm_up_ends_where_the_highest_rate_of_the_executed_schedule_is():
    plan = plan_of(quick(epochs=5.0))
    for revisions, steps in (
        ([[(50.0, 0.5), (80.0, 1.0), (300.0, 0.0)]], 80),
        ([[(50.0, 0.5), (80.0, 1.0), (300.0, 0.0)], [(90.0, 0.9), (200.0, 0.0)]], 80),
        ([[(200.0, 0.75), (300.0, 0.0)]], 100),
        ([[(1.0, 0.2), (2.0, 1.0), (500.0, 0.0)]], 2),
    ):
        assert replace(plan, revisions=tuple(map(tuple, revisions))).warm_up_steps == steps
    higher = replace(plan, schedule=((0.0, 0.0), (1.0, 0.5), (500.0, 0.0)), revisions=(((1.0, 0.2), (2.0, 1.0)),))
    assert higher.warm_up_steps == 2


def test_a_plan_may_be_all_warm_up():
    factors = learning_rate_factors(plan_of(replace(quick(epochs=1.0), warm_up=1.0)))
    assert factors == sorted(factors)
    assert factors[-1] > 0.99


def test_intervals_are_epochs_of_equal_length_or_shorter():
    assert plan_of(quick(epochs=4.0)).steps_per_interval == (100, 100, 100, 100)
    assert plan_of(quick(epochs=2.5)).steps_per_interval == (83, 84, 83)
    assert plan_of(quick(epochs=0.5)).steps_per_interval == (50,)
    assert plan_of(quick(epochs=2.0), intervals=4).steps_per_interval == (50, 50, 50, 50)
    assert plan_of(quick(epochs=0.001)).steps_per_interval == (1,)
    assert plan_of(quick(epochs=0.02), intervals=9).steps_per_interval == (1, 1)
    assert plan_of(quick(epochs=2.5)).intervals == 3


# --- Resolving ---


def test_a_recipe_is_resolved_by_the_training_images(splits: Splits):
    plan = resolve(replace(quick(epochs=2.0), batch_size=100), splits.train, 7, CPU, intervals=5)
    assert plan.preprocessing == Preprocessing(67, *channel_statistics(splits.train.images))
    assert (plan.seed, plan.num_classes, plan.device, plan.minutes) == (7, 4, "cpu", None)
    assert (plan.steps, plan.intervals) == (10, 5)
    assert plan.threads == torch.get_num_threads()


def test_the_d2l_recipe_neither_normalises_nor_rounds(splits: Splits):
    plan = resolve(d2l(), splits.train, 0, CPU)
    assert plan.preprocessing == Preprocessing(224, (0.0,), (1.0,))
    assert plan.precision == "float32"


def test_a_batch_larger_than_the_data_is_one_clear_error(splits: Splits):
    with pytest.raises(OptionError, match=r"batch of 1000 .* 512"):
        resolve(replace(quick(), batch_size=1000), splits.train, 0, CPU)


# --- Reading ---


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_plan_survives_its_file(tmp_path: Path):
    for plan in (plan_of(replace(quick(epochs=3.0), shift=2)), replace(plan_of(d2l()), minutes=1.5, seed=2**63 - 1)):
        write_json(tmp_path / "plan.json", plan)
        assert read_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "x"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"threads": 0}, "threads"),
        ({"colour": 1}, "colour"),
        ({"steps_per_interval": []}, "steps_per_interval is empty"),
        ({"preprocessing": {"size": 99, "mean": [0], "std": [1]}}, "size"),
        ({"preprocessing": {"size": 67, "mean": [0], "std": []}}, "channel"),
        ({"preprocessing": {"size": 67, "mean": [0], "std": [-1]}}, "std"),
        ({"preprocessing": 67}, "preprocessing"),
        ({"schedule": [[0, 0], [10, "Infinity"]]}, "schedule"),
        ({"schedule": [[0, 0], [10, -1]]}, "factors of schedule"),
        ({"minutes": -1.0}, "minutes"),
        ({"steps_per_interval": [10**12]}, "steps_per_interval"),
        ({"steps_per_interval": [0]}, "steps_per_interval"),
        ({"schedule": []}, "schedule"),
        ({"schedule": [[5, 1], [0, 0]]}, "schedule"),
        ({"revisions": [[]]}, "revisions"),
        ({"revisions": [[[5, 1], [0, 0]]]}, "revisions"),
        ({"revisions": [[[5, 1], [9, 0]], [[4, 1], [9, 0]]]}, "revisions"),
        ({"revisions": [[[5, 2], [9, 0]]]}, "factors"),
        ({"revisions": [[[5, "Infinity"]]]}, "revisions"),
        ({"revisions": "x"}, "revisions"),
        ({"thread_changes": [[5, 0]]}, "thread_changes"),
        ({"thread_changes": [[5, 1], [4, 2]]}, "thread_changes"),
        ({"thread_changes": [[5, 1.5]]}, "thread_changes"),
        ({"thread_changes": 1}, "thread_changes"),
        ({"num_classes": 0}, "num_classes"),
        ({"device": "toaster"}, "toaster"),
        ({"precision": "float16"}, "float16"),
        ({"recipe": None}, "recipe"),
        ({"recipe": {"name": "quick", "epochs": -1}}, "epochs"),
        ({"recipe": {"name": "quick", "network": "resnet"}}, "resnet"),
        ({"recipe": {"name": "quick", "colour": 1}}, "colour"),
    ],
)
def test_a_plan_from_elsewhere_is_checked_and_what_is_wrong_is_named(
    tmp_path: Path, change: dict[str, object], said: str
):
    path = written(tmp_path / "plan.json", msgspec.to_builtins(plan_of(quick(epochs=1.0))) | change)
    line = refusal(path)
    assert said in line
    assert line.endswith("; name the plan.json of a run")


def refusal(path: Path) -> str:
    """Return the one line of the error that reading must end in."""
    with pytest.raises(OptionError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("content", [None, [], "plan", 3])
def test_what_is_no_plan_at_all_is_refused(tmp_path: Path, content: object):
    assert "a plan is a JSON object" in refusal(written(tmp_path / "plan.json", content))


def test_a_plan_without_its_fields_names_one_of_them(tmp_path: Path):
    assert "missing required field `recipe`" in refusal(written(tmp_path / "plan.json", {}))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, None])
def test_a_file_that_is_not_json_or_not_there_is_a_file_error(tmp_path: Path, content: bytes | None):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=str(path)):
        read_plan(path)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, constant: str):
    content = json.dumps(msgspec.to_builtins(plan_of(quick(epochs=1.0))) | {"minutes": 77})
    path = tmp_path / "plan.json"
    path.write_text(content.replace("77", constant))
    with pytest.raises((OptionError, FileError), match=str(path)):
        read_plan(path)


# --- Plans of version 0.1 ---

OLD_RECIPE = {
    "name": "quick",
    "network": "nin",
    "epochs": 0.13964,
    "sizes": [[67, 1.0]],
    "batch_size": 256,
    "learning_rate": 0.1,
    "muon": 0.05,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "warm_up": 0.2,
    "decay": True,
    "label_smoothing": 0.1,
    "dropout": 0.3,
    "flip": True,
    "shift": 2,
    "erase": 0.0,
    "initialisation": "he",
    "normalise": True,
    "batch_norm": True,
    "final_relu": False,
    "bfloat16": True,
}
OLD = {
    "recipe": OLD_RECIPE,
    "seed": 5,
    "sizes": [67, 67, 67],
    "steps_by_epoch": [12, 10, 8],
    "schedule": [[0.0, 0.0], [6.0, 1.0], [30.0, 0.0]],
    "classes": 10,
    "mean": [0.2860443580159336],
    "std": [0.3529333434505015],
    "device": "cpu",
    "precision": "bfloat16",
    "threads": 2,
    "minutes": None,
}
UPGRADED = Plan(
    recipe=replace(quick(0.13964), dropout=0.3, flip=True, shift=2),
    seed=5,
    preprocessing=Preprocessing(67, (0.2860443580159336,), (0.3529333434505015,)),
    num_classes=10,
    steps_per_interval=(12, 10, 8),
    schedule=((0.0, 0.0), (6.0, 1.0), (30.0, 0.0)),
    device="cpu",
    precision="bfloat16",
    threads=2,
)


def old(of_recipe: dict[str, Any] | None = None, **changes: object) -> dict[str, Any]:
    """Return the old plan with changes to its recipe and to itself."""
    return copy.deepcopy(OLD | {"recipe": OLD_RECIPE | (of_recipe or {})} | changes)


def test_an_old_plan_is_read_as_the_equal_new_one(tmp_path: Path):
    assert read_plan(written(tmp_path / "plan.json", old())) == UPGRADED
    minutes = read_plan(written(tmp_path / "plan.json", old(minutes=2.5, device="cuda")))
    assert minutes == replace(UPGRADED, minutes=2.5, device="cuda")


def test_the_old_seed_recipe_is_now_d2l(tmp_path: Path):
    recipe = {
        "name": "seed",
        "epochs": 0.06982,
        "sizes": [[224, 1.0]],
        "batch_size": 128,
        "muon": 0.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "warm_up": 0.0,
        "decay": False,
        "label_smoothing": 0.0,
        "dropout": 0.5,
        "flip": False,
        "shift": 0,
        "initialisation": "xavier",
        "normalise": False,
        "batch_norm": False,
        "final_relu": True,
        "bfloat16": False,
    }
    content = old(recipe, sizes=[224], steps_by_epoch=[30], schedule=[[0.0, 1.0], [30.0, 1.0]], mean=[0.0], std=[1.0])
    plan = read_plan(written(tmp_path / "plan.json", content))
    assert plan.recipe == d2l(0.06982)
    assert plan.preprocessing == Preprocessing(224, (0.0,), (1.0,))
    assert (plan.steps_per_interval, plan.schedule) == ((30,), ((0.0, 1.0), (30.0, 1.0)))


def test_an_old_recipe_has_the_longest_length_of_its_name(tmp_path: Path):
    recipe = {"name": "long-67", "epochs": 24.0, "dropout": 0.0}
    assert read_plan(written(tmp_path / "plan.json", old(recipe))).recipe == long_67()
    own = read_plan(written(tmp_path / "plan.json", old({"name": "mine"}))).recipe
    assert own == replace(UPGRADED.recipe, name="mine", max_epochs=100.0)


@pytest.mark.parametrize("recipe", [{"erase": 0.25}, {"sizes": [[67, 0.7], [99, 0.3]]}])
def test_an_old_plan_that_did_what_is_no_longer_done_is_one_clear_line(tmp_path: Path, recipe: dict[str, object]):
    line = refusal(written(tmp_path / "plan.json", old(recipe)))
    assert "older version" in line
    assert "image sizes or erasing are no longer supported" in line


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ({"sizes": []}, {}),
        ({"sizes": None}, {}),
        ({"sizes": [67]}, {}),
        ({"sizes": [["67", 1.0]]}, {}),
        ({"sizes": [[[67], 1.0]]}, {}),
        ({"name": ["quick"]}, {}),
        ({"name": None}, {}),
        ({"muon": None}, {}),
        ({"colour": 1}, {}),
        ({}, {"colour": 1}),
        ({}, {"recipe": {}}),
        ({}, {"recipe": None}),
        ({}, {"recipe": {"name": "quick", "sizes": [[67, 1.0]]}}),
        ({}, {"mean": None}),
        ({}, {"steps_by_epoch": []}),
    ],
)
def test_an_old_plan_that_was_damaged_is_refused(tmp_path: Path, recipe: dict[str, object], changes: dict[str, object]):
    refusal(written(tmp_path / "plan.json", old(recipe, **changes)))


@pytest.mark.parametrize("field", [field for field in OLD if field != "minutes"])
def test_an_old_plan_without_one_of_its_fields_is_refused(tmp_path: Path, field: str):
    content = old()
    del content[field]
    refusal(written(tmp_path / "plan.json", content))
