"""Is every image seen as often as any other, in an order and with flips that the seed and the place decide?"""

from dataclasses import replace

import torch

from nin.augmentation import flip, order
from nin.recipe import Plan, Recipe, quick, timetable

IMAGES = 103


def plan(recipe: Recipe, seed: int = 0, parts: int = 1) -> Plan:
    return Plan(recipe, seed, *timetable(recipe, IMAGES, parts), 10, (0.0,), (1.0,), "cpu", "float32", 2)


RECIPE = replace(quick(epochs=4.0), batch_size=10, flip=True)


def seen(plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """Give all indices and flips of a plan, in the order of the steps."""
    batches, flips = zip(*(order(plan, epoch, IMAGES) for epoch in range(1, plan.epochs + 1)), strict=True)
    return torch.cat(batches).flatten(), torch.cat(flips).flatten()


def test_each_pass_shows_each_image_once_in_an_order_of_its_own():
    indices, _ = seen(plan(RECIPE))
    passes = [indices[begin : begin + IMAGES] for begin in range(0, 3 * IMAGES, IMAGES)]
    assert all(sorted(one.tolist()) == list(range(IMAGES)) for one in passes)
    assert not torch.equal(passes[0], passes[1])


def test_where_the_epochs_end_changes_nothing():
    whole, parted = seen(plan(RECIPE)), seen(plan(RECIPE, parts=7))
    assert all(torch.equal(one, other) for one, other in zip(whole, parted, strict=True))


def test_another_seed_gives_another_order():
    assert not torch.equal(seen(plan(RECIPE))[0], seen(plan(RECIPE, seed=1))[0])


def test_an_image_is_shown_as_it_is_and_mirrored_in_turn():
    indices, flips = seen(plan(RECIPE))
    times = [flips[indices == image] for image in range(IMAGES)]
    assert all((one[1:] != one[:-1]).all() for one in times)
    begin_flipped = sum(bool(one[0]) for one in times)
    assert 30 < begin_flipped < 73


def test_a_recipe_without_flips_flips_nothing():
    assert not seen(plan(replace(RECIPE, flip=False)))[1].any()


def test_flip_mirrors_those_that_are_marked():
    images = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    flipped = flip(images, torch.tensor([False, True]))
    assert torch.equal(flipped[0], images[0])
    assert flipped[1, 0, 0].tolist() == [15, 14, 13, 12]
