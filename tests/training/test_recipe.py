"""Do recipes refuse nonsense, and are the named ones what they say?"""

import re
from dataclasses import replace

import pytest

from nin.errors import OptionError
from nin.recipe import named, quick, seed


def test_the_seed_recipe_is_the_seeds_job():
    recipe = seed()
    assert (recipe.size, recipe.epochs, recipe.batch_size, recipe.learning_rate) == (224, 10, 128, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.label_smoothing, recipe.dropout) == (0, 0, 0, 0.5)
    assert recipe.initialisation == "xavier"
    assert not any((recipe.batch_norm, recipe.normalise, recipe.bfloat16, recipe.decay, recipe.warm_up))
    assert not any((recipe.muon, recipe.flip))
    assert recipe.final_relu


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0.0),
        ("batch_size", 1),
        ("sizes", ()),
        ("sizes", ((0, 1.0),)),
        ("muon", -1.0),
        ("learning_rate", -1.0),
        ("dropout", 1.0),
        ("learning_rate", float("nan")),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: object):
    with pytest.raises(OptionError, match=f"{field} .*{re.escape(str(value))}"):
        replace(quick(), **{field: value})


def test_named_recipes():
    assert named("quick") == quick()
    assert named("seed", "vgg", 3.0) == replace(seed(3.0), network="vgg")
