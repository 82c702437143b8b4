"""Does the learning rate go where the plan says, and is a plan from elsewhere checked?"""

import json
from dataclasses import asdict, replace

import pytest

from nin.errors import OptionError
from nin.plan import Plan, plan_from_json, timetable
from nin.recipe import Recipe, quick, seed


def plan(recipe: Recipe, images: int = 25_600, parts: int = 1) -> Plan:
    return Plan(recipe, 0, *timetable(recipe, images, parts), 10, (0.0,), (1.0,), "cpu", "float32", 2)


def test_the_rate_rises_over_the_warm_up_and_falls_to_nearly_nothing():
    resolved = plan(quick(epochs=5.0))
    rates = [resolved.rate(step + 0.5) for step in range(resolved.steps)]
    assert (resolved.steps, resolved.warm_up_steps) == (500, 100)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0.99 < max(rates) <= 1
    assert 0 < rates[0] < 0.01
    assert 0 < rates[-1] < 0.01


def test_the_seeds_rate_stays_where_it_is():
    resolved = plan(seed())
    assert {resolved.rate(step + 0.5) for step in range(resolved.steps)} == {1.0}


def test_epochs_are_passes_of_equal_length_or_shorter():
    assert plan(quick(epochs=4.0)).steps_by_epoch == (100, 100, 100, 100)
    assert plan(quick(epochs=2.5)).steps_by_epoch == (83, 84, 83)
    assert plan(quick(epochs=0.5)).steps_by_epoch == (50,)
    assert plan(quick(epochs=2.0), parts=4).steps_by_epoch == (50, 50, 50, 50)
    assert plan(quick(epochs=0.001)).steps_by_epoch == (1,)


def test_sizes_follow_their_shares_and_the_last_is_the_one_that_ships():
    recipe = replace(quick(epochs=10.0), sizes=((67, 0.7), (99, 0.2), (131, 0.1)))
    assert plan(recipe).sizes == (67,) * 7 + (99,) * 2 + (131,)
    assert recipe.size == 131
    assert plan(replace(recipe, epochs=1.0)).sizes == (67, 67, 131)
    assert recipe.at(99).sizes == ((99, 1.0),)


def test_a_plan_survives_json():
    resolved = plan(replace(quick(epochs=3.0), sizes=((67, 0.5), (99, 0.5))))
    assert plan_from_json(json.loads(json.dumps(asdict(resolved)))) == resolved


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "x"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
        ({"colour": 1}, "colour"),
        ({"sizes": []}, "sizes"),
        ({"sizes": [67, 67]}, "each epoch"),
        ({"sizes": [99]}, "pixels"),
        ({"schedule": [[0, 0], [float("inf"), 1]]}, "finite"),
        ({"schedule": [[0, 0], [10, -1]]}, "shares"),
        ({"minutes": float("nan")}, "finite"),
        ({"minutes": -1.0}, "minutes"),
        ({"steps_by_epoch": [10**12]}, "steps_by_epoch"),
        ({"steps_by_epoch": [0]}, "steps_by_epoch"),
        ({"schedule": []}, "schedule"),
        ({"schedule": [[5, 1], [0, 0]]}, "schedule"),
        ({"classes": 0}, "classes"),
        ({"std": []}, "channel"),
        ({"device": "toaster"}, "toaster"),
        ({"recipe": None}, "recipe"),
        ({"recipe": {"name": "quick", "epochs": -1}}, "epochs"),
        ({"recipe": {"name": "quick", "colour": 1}}, "colour"),
    ],
)
def test_a_plan_from_elsewhere_is_checked_and_what_is_wrong_is_named(change: dict[str, object], said: str):
    content = json.loads(json.dumps(asdict(plan(quick(epochs=1.0)))))
    with pytest.raises(OptionError, match=said):
        plan_from_json(content | change)


@pytest.mark.parametrize("content", [None, [], "plan", {}])
def test_what_is_no_plan_at_all_is_refused(content: object):
    with pytest.raises(OptionError, match=r"plan|missing"):
        plan_from_json(content)
