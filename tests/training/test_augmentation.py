"""Is every image seen as often as any other, in an order and with flips that the seed and the place decide?"""

from dataclasses import replace
from types import SimpleNamespace

import torch

from nin.augmentation import order, varied
from nin.plan import Plan, timetable
from nin.recipe import Recipe, quick

IMAGES = 103


def plan(recipe: Recipe, seed: int = 0, parts: int = 1) -> Plan:
    return Plan(recipe, seed, *timetable(recipe, IMAGES, parts), 10, (0.0,), (1.0,), "cpu", "float32", 2)


RECIPE = replace(quick(epochs=4.0), batch_size=10, flip=True)
VARIED = replace(RECIPE, shift=2, erase=0.25)


def seen(plan: Plan) -> SimpleNamespace:
    """Give all that a plan shows, in order, without the division into steps."""
    epochs = [vars(order(plan, epoch, IMAGES)) for epoch in range(1, plan.epochs + 1)]
    parts = [part for part, values in epochs[0].items() if values is not None]
    return SimpleNamespace(**{part: torch.cat([epoch[part] for epoch in epochs]).flatten(0, 1) for part in parts})


def test_each_pass_shows_each_image_once_in_an_order_of_its_own():
    index = seen(plan(RECIPE)).index
    passes = [index[begin : begin + IMAGES] for begin in range(0, 3 * IMAGES, IMAGES)]
    assert all(sorted(one.tolist()) == list(range(IMAGES)) for one in passes)
    assert not torch.equal(passes[0], passes[1])


def test_where_the_epochs_end_changes_nothing():
    whole, parted = (vars(seen(plan(VARIED, parts=parts))).values() for parts in (1, 7))
    assert all(torch.equal(one, other) for one, other in zip(whole, parted, strict=True))


def test_another_seed_gives_another_order_and_other_variations():
    one, other = seen(plan(VARIED)), seen(plan(VARIED, seed=1))
    assert not torch.equal(one.index, other.index)
    same = [(one.shift[one.index == i][0] == other.shift[other.index == i][0]).all() for i in range(IMAGES)]
    assert sum(map(bool, same)) < IMAGES / 4


def test_an_image_is_shown_as_it_is_and_mirrored_in_turn():
    views = seen(plan(RECIPE))
    times = [views.flipped[views.index == image] for image in range(IMAGES)]
    assert all((one[1:] != one[:-1]).all() for one in times)
    begin_flipped = sum(bool(one[0]) for one in times)
    assert 30 < begin_flipped < 73


def test_a_recipe_without_variations_varies_nothing():
    views = order(plan(replace(RECIPE, flip=False)), 1, IMAGES)
    [(index, *variation), *_] = views.steps()
    assert variation == [None, None, None]
    images = torch.randint(0, 256, (IMAGES, 1, 4, 4), dtype=torch.uint8)[index]
    assert torch.equal(varied(images, *variation), images)


def test_the_steps_from_the_middle_of_an_epoch_are_those_that_are_left():
    views = order(plan(VARIED), 1, IMAGES)
    for whole, rest in zip([*views.steps()][3:], views.steps(3), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(whole, rest, strict=True))


def test_shifts_reach_as_far_as_the_recipe_says_and_each_as_often():
    shift = seen(plan(VARIED)).shift
    counts = torch.bincount(shift.flatten() + 2, minlength=5)
    assert shift.abs().max() == 2
    assert counts.min() > 0.6 * counts.max()
    assert not torch.equal(shift[:, 0], shift[:, 1])


def test_so_many_pictures_lose_a_rectangle_and_it_lies_within_them():
    box = seen(plan(VARIED)).box
    erased = box[box[:, 2] > 0]
    assert 0.15 < len(erased) / len(box) < 0.35
    assert (erased[:, 2:4] >= 1 / 8).all()
    assert (erased[:, 2:4] <= 1 / 2).all()
    assert (erased[:, :2] + erased[:, 2:4] <= 1).all()


def shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Shift every picture alike."""
    return varied(images, None, torch.tensor([[down, right]] * len(images)), None)


PICTURES = torch.arange(1, 25, dtype=torch.uint8).view(2, 1, 3, 4)


def test_flip_mirrors_those_that_are_marked():
    flipped = varied(PICTURES, torch.tensor([False, True]), None, None)
    assert torch.equal(flipped[0], PICTURES[0])
    assert flipped[1, 0, 0].tolist() == [16, 15, 14, 13]


def test_shift_moves_down_and_right_and_black_moves_in():
    assert shifted(PICTURES, 1, 0)[0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert shifted(PICTURES, 0, -2)[0, 0].tolist() == [[3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]]
    assert shifted(PICTURES.repeat(1, 3, 1, 1), 0, 1).shape == (2, 3, 3, 4)


def test_a_box_is_filled_with_its_grey():
    boxes = torch.tensor([[1 / 3, 0.5, 1 / 3, 0.5, 0.9], [0.0, 0.0, 0.0, 0.0, 0.9]])
    erased = varied(PICTURES, None, None, boxes)
    assert erased[0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 229, 229], [9, 10, 11, 12]]
    assert torch.equal(erased[1], PICTURES[1])
