"""Is every image seen as often as any other, in an order and with flips that the seed and the place decide?"""

import itertools
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from msgspec.structs import replace

from nin.data.preprocessing import Preprocessing
from nin.training.augmentation import Views, augment, views_of_steps
from nin.training.named_recipes import quick
from nin.training.plan import Plan, resolve_schedule
from nin.training.recipe import Recipe

IMAGES = 103


def plan_of(recipe: Recipe, seed: int = 0, intervals: int = 1) -> Plan:
    schedule = resolve_schedule(recipe, IMAGES, intervals)
    return Plan(recipe, seed, Preprocessing(67, (0.0,), (1.0,)), 10, *schedule, "cpu", "float32", 2)


RECIPE = replace(quick(epochs=4.0), batch_size=10, flip=True)
SHIFTED = replace(RECIPE, shift=2)
ERASED = replace(SHIFTED, erase=3)


def intervals_of(plan: Plan) -> list[Views]:
    ends = [0, *itertools.accumulate(plan.steps_per_interval)]
    return [views_of_steps(plan, begin, end, IMAGES) for begin, end in itertools.pairwise(ends)]


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
    [step, *_] = views.steps()
    assert (step.flipped, step.shifted, step.erased) == (None, None, None)
    images = torch.randint(0, 256, (IMAGES, 1, 4, 4), dtype=torch.uint8)[step.index]
    assert torch.equal(augmented(images, step), images)


def test_the_steps_from_the_middle_of_an_interval_are_those_that_are_left():
    plan = plan_of(ERASED)
    whole, rest = (list(views_of_steps(plan, begin, 9, IMAGES).steps()) for begin in (0, 3))
    assert len(rest) == 6
    for one, other in zip(whole[3:], rest, strict=True):
        parts = zip(vars(one).values(), vars(other).values(), strict=True)
        assert all(torch.equal(left, right) for left, right in parts)


def test_shifts_reach_as_far_as_the_recipe_says_and_each_as_often():
    shifted = seen(plan_of(SHIFTED)).shifted
    counts = torch.bincount(shifted.flatten() + 2, minlength=5)
    assert shifted.abs().max() == 2
    assert counts.min() > 0.6 * counts.max()
    assert not torch.equal(shifted[:, 0], shifted[:, 1])


def test_erasing_changes_no_other_view():
    shifted, erased = seen(plan_of(SHIFTED)), seen(plan_of(ERASED))
    assert all(torch.equal(vars(erased)[part], values) for part, values in vars(shifted).items())
    assert erased.erased.min() < 0.1 < 0.9 < erased.erased.max() < 1


def test_what_a_plan_shows_is_the_same_in_every_release():
    # These are of version 0.1: a plan trains the same weights again only if they stay.
    views = seen(plan_of(SHIFTED, seed=3))
    assert views.index[:6].tolist() == [23, 45, 1, 56, 27, 81]
    assert views.flipped[:6].tolist() == [False, False, True, False, True, True]
    assert views.shifted[:6].tolist() == [[0, -2], [1, -2], [1, 2], [0, 0], [2, 1], [2, -2]]


def augmented(images: torch.Tensor, views: Views, **changes: object) -> torch.Tensor:
    return augment(images, views, replace(RECIPE, **changes), [0.2] * images.shape[1])


def views_of(flipped: object = None, shifted: object = None, erased: object = None) -> Views:
    """Return the views of a step, whatever its images are."""
    parts = (None if part is None else torch.tensor(part) for part in (flipped, shifted, erased))
    return Views(torch.arange(2), *parts)


def shift_all(images: torch.Tensor, down: int, right: int, *, reflect: bool = False) -> torch.Tensor:
    """Shift every image alike."""
    return augmented(images, views_of(shifted=[[down, right]] * len(images)), reflect=reflect)


NUMBERED = torch.arange(1, 25, dtype=torch.uint8).view(2, 1, 3, 4)


def test_flip_mirrors_those_that_are_marked():
    flipped = augmented(NUMBERED, views_of(flipped=[False, True]))
    assert torch.equal(flipped[0], NUMBERED[0])
    assert flipped[1, 0, 0].tolist() == [16, 15, 14, 13]


def test_shift_moves_down_and_right_and_black_moves_in():
    assert shift_all(NUMBERED, 1, 0)[0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert shift_all(NUMBERED, 0, -2)[0, 0].tolist() == [[3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]]
    assert shift_all(NUMBERED.repeat(1, 3, 1, 1), 0, 1).shape == (2, 3, 3, 4)


def test_a_shift_beyond_the_image_leaves_black():
    assert not shift_all(NUMBERED, 5, 0).any()
    assert not shift_all(NUMBERED, 0, -9).any()


def test_with_reflection_the_image_mirrored_at_its_edge_moves_in():
    assert shift_all(NUMBERED, 1, 0, reflect=True)[0, 0].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert shift_all(NUMBERED, 0, -2, reflect=True)[0, 0].tolist() == [[3, 4, 3, 2], [7, 8, 7, 6], [11, 12, 11, 10]]
    padded = F.pad(NUMBERED.float(), (2, 2, 2, 2), mode="reflect").byte()
    for down in range(-2, 3):
        for right in range(-2, 3):
            expected = padded[:, :, 2 - down : 5 - down, 2 - right : 6 - right]
            assert torch.equal(shift_all(NUMBERED, down, right, reflect=True), expected)


def test_a_shift_beyond_the_image_is_reflected_into_something_of_it():
    for amount in (-9, 7, 100):
        moved = shift_all(NUMBERED, amount, amount, reflect=True)
        assert set(moved[0].unique().tolist()) <= set(NUMBERED[0].flatten().tolist())


def test_each_image_has_a_shift_of_its_own_after_its_flip():
    both = augmented(NUMBERED, views_of(flipped=[True, False], shifted=[[0, 1], [-1, 0]]))
    assert both[0, 0].tolist() == [[0, 4, 3, 2], [0, 8, 7, 6], [0, 12, 11, 10]]
    assert both[1, 0].tolist() == [[17, 18, 19, 20], [21, 22, 23, 24], [0, 0, 0, 0]]


def test_a_square_around_the_drawn_place_gets_the_mean_colour():
    erased = augmented(NUMBERED.repeat(1, 3, 1, 1), views_of(erased=[[0.4, 0.3], [0.99, 0.99]]), erase=3)
    assert erased[0, 2].tolist() == [[51, 51, 51, 4], [51, 51, 51, 8], [51, 51, 51, 12]]
    assert erased[1, 0].tolist() == [[13, 14, 15, 16], [17, 18, 51, 51], [21, 22, 51, 51]]


def test_every_pixel_is_the_middle_of_the_erased_square_equally_often():
    drawn = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(4000, 1, 4, 4, dtype=torch.uint8)
    views = Views(torch.arange(4000), erased=drawn)
    counts = (augmented(images, views, erase=1) == 51).sum(dim=(0, 1))
    assert counts.sum() == 4000
    assert ((counts > 200) & (counts < 300)).all()
