"""Do recipes refuse nonsense, and are the named ones what they say?"""

import re
from typing import get_args

import msgspec
import pytest
import torch
from msgspec.structs import replace

import nin
from nin.data.images import LabelledImages, Splits
from nin.errors import OptionError
from nin.networks.registry import NETWORKS
from nin.training.named_recipes import (
    RECIPES,
    RecipeName,
    d2l,
    for_images,
    long,
    named_recipe,
    quick,
    with_augmentation,
)
from nin.training.plan import resolve
from nin.training.recipe import Recipe


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
    with pytest.raises(OptionError, match="'resnet': the networks are lenet, "):
        named_recipe("quick", "resnet")


def test_a_named_recipe_may_have_another_network_and_another_length():
    assert named_recipe("quick") == quick()
    assert named_recipe("d2l", "vgg", 3.0) == replace(d2l(3.0), network="vgg")
    assert named_recipe("long", "nin-2013", 3.0) == long(3.0, "nin-2013")
    with pytest.raises(OptionError, match=f"'seed': the recipes are {', '.join(RECIPES)}"):
        named_recipe("seed")


def test_every_recipe_is_named_by_the_name_it_is_found_under_and_may_be_typed():
    assert get_args(RecipeName) == tuple(RECIPES)
    assert {name: named_recipe(name).name for name in RECIPES} == {name: name for name in RECIPES}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_every_network_has_a_size_that_it_takes(name: str, network: str):
    known = NETWORKS[network]
    if name == "long-67" and not known.enlarges:
        with pytest.raises(OptionError, match=f"{known.title} does not; take quick or long"):
            named_recipe(name, network)
        return
    recipe = named_recipe(name, network)
    assert recipe.network == network
    assert recipe.size in (*known.sizes, known.default_size, 67)
    assert known.smallest_size <= min(known.sizes)
    assert list(known.sizes) == sorted(known.sizes)


@pytest.mark.parametrize("network", NETWORKS)
def test_augmentation_grows_with_the_epochs(network: str):
    def amount(epochs: float) -> tuple[bool, int, int]:
        recipe = quick(epochs, network)
        return recipe.flip, recipe.shift, recipe.erase

    amounts = [amount(epochs) for epochs in (0.1, 1.0, 3.9, 4.0, 7.9, 8.0, 13.9, 14.0, 20.0, 100.0)]
    assert amounts == sorted(amounts)
    assert amounts[-1] > amounts[0]


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


def splits_of(images: int, side: int = 28, channels: int = 1) -> Splits:
    """Return so many black training images."""
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(images, channels, side, side)
    train = LabelledImages(pixels, torch.zeros(images).long(), ("one",))
    return Splits(train, train)


def test_a_recipe_made_for_many_images_takes_smaller_batches_and_more_epochs_of_few():
    assert for_images(quick(), splits_of(55_000)) == quick()
    few = for_images(quick(), splits_of(300))
    assert 300 / few.batch_size >= 10
    assert few.max_epochs * 300 / few.batch_size >= 1000
    assert for_images(quick(), splits_of(7)).batch_size == 7
    sizes = [for_images(quick(), splits_of(images)).batch_size for images in range(2, 20_000, 77)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(("side", "size"), [(4, 8), (8, 8), (28, 28), (32, 32), (96, 32)])
def test_the_papers_network_takes_small_images_as_they_are(side: int, size: int):
    assert for_images(quick(8.0, "nin-2013"), splits_of(100, side)).size == size
    assert for_images(quick(), splits_of(100, side)).size == 67


def test_colour_photos_are_shifted_with_reflection_and_others_with_black():
    assert for_images(quick(), splits_of(100, channels=3)).reflect
    assert not for_images(quick(), splits_of(100)).reflect


def test_augmentation_may_do_without_flips_or_altogether():
    recipe = quick(20.0, "nin-2013")
    assert (recipe.shift, recipe.erase) == (4, 8)
    assert with_augmentation(recipe, "full") == recipe
    assert with_augmentation(recipe, "no-flip") == replace(recipe, flip=False)
    assert with_augmentation(recipe, "none") == replace(recipe, flip=False, shift=0, erase=0)


@pytest.mark.parametrize(("side", "shift", "erase"), [(32, 4, 8), (96, 4, 8), (28, 3, 7), (8, 1, 2), (2, 0, 0)])
def test_small_images_are_shifted_and_erased_by_no_more_than_a_part_of_them(side: int, shift: int, erase: int):
    recipe = for_images(quick(20.0, "nin-2013"), splits_of(100, side))
    assert (recipe.shift, recipe.erase) == (shift, erase)
