"""Is every image seen as often as any other, in an order and with flips that the seed and the place decide?"""

import itertools
from types import SimpleNamespace

import torch
from msgspec.structs import replace

from nin.data.preprocessing import Preprocessing
from nin.training.augmentation import Views, augment, views_of_interval
from nin.training.plan import Plan, resolve_schedule
from nin.training.recipe import Recipe, quick

IMAGES = 103


def plan_of(recipe: Recipe, seed: int = 0, intervals: int = 1) -> Plan:
    schedule = resolve_schedule(recipe, IMAGES, intervals)
    return Plan(recipe, seed, Preprocessing(67, (0.0,), (1.0,)), 10, *schedule, "cpu", "float32", 2)


RECIPE = replace(quick(epochs=4.0), batch_size=10, flip=True)
SHIFTED = replace(RECIPE, shift=2)


def intervals_of(plan: Plan) -> list[Views]:
    ends = [0, *itertools.accumulate(plan.steps_per_interval)]
    return [views_of_interval(plan, begin, end, IMAGES) for begin, end in itertools.pairwise(ends)]


def seen(plan: Plan) -> SimpleNamespace:
    """Return all that a plan shows, in order, without the division into steps."""
    views = [vars(interval) for interval in intervals_of(plan)]
    parts = [part for part, values in views[0].items() if values is not None]
    return SimpleNamespace(**{part: torch.cat([interval[part] for interval in views]).flatten(0, 1) for part in parts})


def test_each_pass_shows_each_image_once_in_an_order_of_its_own():
    index = seen(plan_of(RECIPE)).index
    passes = [index[begin : begin + IMAGES] for begin in range(0, 3 * IMAGES, IMAGES)]
    assert all(sorted(one.tolist()) == list(range(IMAGES)) for one in passes)
    assert not torch.equal(passes[0], passes[1])


def test_where_the_intervals_end_changes_nothing():
    whole, divided = (vars(seen(plan_of(SHIFTED, intervals=intervals))).values() for intervals in (1, 7))
    assert all(torch.equal(one, other) for one, other in zip(whole, divided, strict=True))


def test_another_seed_gives_another_order_and_another_augmentation():
    one, other = seen(plan_of(SHIFTED)), seen(plan_of(SHIFTED, seed=1))
    assert not torch.equal(one.index, other.index)
    same = [(one.shifted[one.index == i][0] == other.shifted[other.index == i][0]).all() for i in range(IMAGES)]
    assert sum(map(bool, same)) < IMAGES / 4
    same = [one.flipped[one.index == i][0] == other.flipped[other.index == i][0] for i in range(IMAGES)]
    assert 25 < sum(map(bool, same)) < 78


def test_an_image_is_shown_as_it_is_and_mirrored_in_turn():
    views = seen(plan_of(RECIPE))
    times = [views.flipped[views.index == image] for image in range(IMAGES)]
    assert all((one[1:] != one[:-1]).all() for one in times)
    begin_flipped = sum(bool(one[0]) for one in times)
    assert 30 < begin_flipped < 73


def test_a_recipe_without_augmentation_changes_no_image():
    [views, *_] = intervals_of(plan_of(replace(RECIPE, flip=False)))
    [(index, *augmentation), *_] = views.steps()
    assert augmentation == [None, None]
    images = torch.randint(0, 256, (IMAGES, 1, 4, 4), dtype=torch.uint8)[index]
    assert torch.equal(augment(images, *augmentation), images)


def test_the_steps_from_the_middle_of_an_interval_are_those_that_are_left():
    [views, *_] = intervals_of(plan_of(SHIFTED))
    rest = [*views.steps(3)]
    assert len(rest) == len(views.index) - 3
    for whole, step in zip([*views.steps()][3:], rest, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(whole, step, strict=True))


def test_shifts_reach_as_far_as_the_recipe_says_and_each_as_often():
    shifted = seen(plan_of(SHIFTED)).shifted
    counts = torch.bincount(shifted.flatten() + 2, minlength=5)
    assert shifted.abs().max() == 2
    assert counts.min() > 0.6 * counts.max()
    assert not torch.equal(shifted[:, 0], shifted[:, 1])


def test_what_a_plan_shows_is_the_same_in_every_release():
    # These are of version 0.1: a plan trains the same weights again only if they stay.
    views = seen(plan_of(SHIFTED, seed=3))
    assert views.index[:6].tolist() == [23, 45, 1, 56, 27, 81]
    assert views.flipped[:6].tolist() == [False, False, True, False, True, True]
    assert views.shifted[:6].tolist() == [[0, -2], [1, -2], [1, 2], [0, 0], [2, 1], [2, -2]]


def shift_all(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Shift every image alike."""
    return augment(images, None, torch.tensor([[down, right]] * len(images)))


NUMBERED = torch.arange(1, 25, dtype=torch.uint8).view(2, 1, 3, 4)


def test_flip_mirrors_those_that_are_marked():
    flipped = augment(NUMBERED, torch.tensor([False, True]), None)
    assert torch.equal(flipped[0], NUMBERED[0])
    assert flipped[1, 0, 0].tolist() == [16, 15, 14, 13]


def test_shift_moves_down_and_right_and_black_moves_in():
    assert shift_all(NUMBERED, 1, 0)[0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert shift_all(NUMBERED, 0, -2)[0, 0].tolist() == [[3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]]
    assert shift_all(NUMBERED.repeat(1, 3, 1, 1), 0, 1).shape == (2, 3, 3, 4)


def test_a_shift_beyond_the_image_leaves_black():
    assert not shift_all(NUMBERED, 5, 0).any()
    assert not shift_all(NUMBERED, 0, -9).any()


def test_each_image_has_a_shift_of_its_own_after_its_flip():
    both = augment(NUMBERED, torch.tensor([True, False]), torch.tensor([[0, 1], [-1, 0]]))
    assert both[0, 0].tolist() == [[0, 4, 3, 2], [0, 8, 7, 6], [0, 12, 11, 10]]
    assert both[1, 0].tolist() == [[17, 18, 19, 20], [21, 22, 23, 24], [0, 0, 0, 0]]
