"""Do recipes refuse nonsense, and does the learning rate go where the plan says?"""

import json
from dataclasses import asdict, replace

import pytest

from nin.errors import OptionError
from nin.recipe import Plan, Recipe, named, quick, seed


def plan(recipe: Recipe) -> Plan:
    return Plan(recipe, 0, (recipe.size,) * recipe.epochs, 100, 10, (0.0,), (1.0,), "cpu", "float32", 2)


def test_the_rate_rises_over_the_warm_up_and_falls_to_nearly_nothing():
    resolved = plan(quick(epochs=5))
    rates = [resolved.learning_rate(step) for step in range(resolved.steps)]
    assert resolved.warm_up_steps == 100
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 100
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 < rates[0] < 0.002
    assert 0 < rates[-1] < 0.001


def test_the_seeds_rate_stays_where_it_is():
    resolved = plan(seed())
    assert {resolved.learning_rate(step) for step in range(resolved.steps)} == {0.1}


def test_the_seed_recipe_is_the_seeds_job():
    recipe = seed()
    assert (recipe.size, recipe.epochs, recipe.batch_size, recipe.learning_rate) == (224, 10, 128, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.label_smoothing, recipe.dropout) == (0, 0, 0, 0.5)
    assert recipe.initialisation == "xavier"
    assert not any((recipe.batch_norm, recipe.normalise, recipe.bfloat16, recipe.decay, recipe.warm_up))
    assert recipe.final_relu


def test_a_plan_survives_json():
    resolved = plan(quick())
    read = json.loads(json.dumps(asdict(resolved)))
    assert Recipe(**read.pop("recipe")) == resolved.recipe
    assert read["sizes"] == [67] * 4
    assert read["seed"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch_size", 1), ("learning_rate", -1.0), ("dropout", 1.0), ("learning_rate", float("nan"))],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: float):
    with pytest.raises(OptionError, match=f"{field} .*{value}"):
        replace(quick(), **{field: value})


def test_named_recipes():
    assert named("quick") == quick()
    assert named("seed", "vgg", 3) == replace(seed(3), network="vgg")
