"""Do recipes refuse nonsense, and are the named ones what they say?"""

import re
from typing import get_args

import msgspec
import pytest
import torch
from msgspec.structs import replace

import nin
from nin.data.images import Splits
from nin.errors import OptionError
from nin.training.plan import resolve
from nin.training.recipe import RECIPES, Recipe, RecipeName, d2l, for_images, named_recipe, quick, with_epochs


def test_the_d2l_recipe_is_the_textbooks_training():
    recipe = d2l()
    assert (recipe.size, recipe.epochs, recipe.batch_size, recipe.learning_rate) == (224, 10, 128, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.label_smoothing, recipe.dropout) == (0, 0, 0, 0.5)
    assert recipe.initialisation == "xavier"
    assert not any((recipe.batch_norm, recipe.normalise, recipe.bfloat16, recipe.decay, recipe.warm_up))
    assert not any((recipe.muon_learning_rate, recipe.flip, recipe.shift))
    assert recipe.final_relu


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0.0),
        ("epochs", -1),
        ("max_epochs", 0.0),
        ("batch_size", 1),
        ("size", 0),
        ("size", 5000),
        ("muon_learning_rate", -1.0),
        ("learning_rate", -1.0),
        ("dropout", 1.0),
        ("momentum", 1.0),
        ("shift", -1),
        ("learning_rate", float("nan")),
        ("weight_decay", float("inf")),
        ("size", 67.0),
        ("batch_size", 32.5),
        ("shift", 0.5),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: float):
    with pytest.raises(OptionError, match=f"^{field} .*{re.escape(str(value))}$"):
        replace(quick(), **{field: value})


@pytest.mark.parametrize("value", ["many", "8", None, [8]])
def test_a_value_that_is_no_number_is_refused_by_name(value: object):
    with pytest.raises(OptionError, match=f"^epochs .*{re.escape(repr(value))}$"):
        replace(quick(), epochs=value)
    content = msgspec.to_builtins(quick()) | {"epochs": value}
    with pytest.raises(msgspec.ValidationError, match="epochs"):
        msgspec.convert(content, Recipe)


def test_without_batch_norm_a_batch_may_be_a_single_image():
    assert replace(quick(), batch_norm=False, batch_size=1).batch_size == 1


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="'resnet': the networks are nin, "):
        named_recipe("quick", "resnet")


def test_a_named_recipe_may_have_another_network_and_another_length():
    assert named_recipe("quick") == quick()
    assert named_recipe("d2l", "vgg", 3.0) == replace(d2l(3.0), network="vgg")
    with pytest.raises(OptionError, match=f"'seed': the recipes are {', '.join(RECIPES)}"):
        named_recipe("seed")


def test_every_recipe_is_named_by_the_name_it_is_found_under_and_may_be_typed():
    assert get_args(RecipeName) == tuple(RECIPES)
    assert {name: named_recipe(name).name for name in RECIPES} == {name: name for name in RECIPES}


def test_a_named_recipe_of_another_length_is_the_one_of_that_name_and_ones_own_keeps_its_fields():
    assert with_epochs(quick(1.0), 5.0) == quick(5.0)
    assert with_epochs(named_recipe("long", "vgg"), 3.0) == named_recipe("long", "vgg", 3.0)
    own = replace(quick(1.0), shift=3)
    assert with_epochs(own, 5.0) == replace(own, epochs=5.0)


def test_quick_shows_images_mirrored_only_where_there_is_time_for_it():
    assert not quick(3.9).flip
    assert quick(4.0).flip


def test_a_recipe_of_ones_own_may_be_written_in_whole_numbers(splits: Splits):
    own = nin.Recipe("mine", epochs=1, size=67, learning_rate=1, momentum=0, batch_size=100)
    plan = resolve(own, splits.train, 0, torch.device("cpu"))
    assert plan.steps == 5
    assert plan.recipe == own
    assert plan.schedule == ((0.0, 0.0), (1.0, 1.0), (5.0, 0.0))
    assert msgspec.json.decode(msgspec.json.encode(own), type=Recipe) == own


def test_a_recipe_made_for_many_images_takes_smaller_batches_and_more_epochs_of_few():
    assert for_images(quick(), 55_000) == quick()
    few = for_images(quick(), 300)
    assert 300 / few.batch_size >= 10
    assert few.max_epochs * 300 / few.batch_size >= 1000
    assert for_images(quick(), 7).batch_size == 7
    sizes = [for_images(quick(), images).batch_size for images in range(2, 20_000, 7)]
    assert sizes == sorted(sizes)


def test_a_named_recipe_fitted_to_data_still_chooses_by_its_length_whether_to_mirror():
    few = replace(for_images(quick(1.0), 300), size=99, network="vgg")
    assert with_epochs(few, 5.0) == replace(few, epochs=5.0, flip=True)
