"""Do minutes become as much training as fits, also where a machine is measured in a slow moment?"""

import math
import time

import pytest
import torch
from msgspec.structs import replace

from nin.data.images import LabelledImages, Splits
from nin.errors import OptionError
from nin.networks.registry import find_architecture
from nin.training import budget
from nin.training.budget import EPOCHS_TO_ENLARGE, FEWEST_STEPS, fit_to_budget, plan_for_minutes
from nin.training.health import MIN_EPOCHS
from nin.training.named_recipes import quick
from nin.training.pace import Pace
from nin.training.plan import Plan, resolve

PACE = Pace(step=0.1, validation=1.0, evaluation=4.0)  # an epoch of 100 steps takes 10 s
IMAGES = 25_600
CPU = torch.device("cpu")


def test_what_fits_takes_the_seconds_that_there_are():
    for seconds in (20.0, 118.0, 300.0):
        epochs = PACE.epochs_within(seconds, quick(), IMAGES)
        intervals = PACE.intervals(epochs, quick(), IMAGES)
        assert intervals == math.ceil(epochs)
        assert seconds - 2 < PACE.seconds(epochs, quick(), IMAGES, intervals) <= seconds + 1e-6
    assert PACE.epochs_within(118.0, quick(), IMAGES) == pytest.approx(10.0)


def test_nothing_fits_into_no_time():
    assert PACE.epochs_within(5.0, quick(), IMAGES) == 0.0
    assert PACE.epochs_within(-5.0, quick(), IMAGES) == 0.0


def test_on_a_slow_machine_intervals_are_parts_of_an_epoch_so_that_lateness_shows():
    slow = Pace(step=2.0, validation=5.0, evaluation=16.0)
    epochs = slow.epochs_within(300.0, quick(), IMAGES)
    assert 1.0 < epochs < 1.5
    assert slow.intervals(epochs, quick(), IMAGES) == 5


def test_a_budget_is_filled_from_the_moment_that_the_run_began():
    assert fit_to_budget(2.0, time.monotonic() - 2.0, PACE, quick(), IMAGES) == pytest.approx(10.0, abs=0.05)
    epochs = fit_to_budget(60.0, time.monotonic(), PACE, quick(), IMAGES)
    assert epochs == quick().max_epochs, "beyond them the network would overfit"


def test_minutes_that_are_too_few_are_one_line_with_a_number_that_is_enough():
    with pytest.raises(OptionError) as caught:
        fit_to_budget(0.05, time.monotonic(), PACE, quick(), IMAGES)
    said = str(caught.value)
    assert said.startswith("0.05 min is too short: here an epoch of nin at 67x67 takes 11 s, ")
    assert "\n" not in said
    enough = float(said.removesuffix(" or more").rpartition(" ")[2])
    assert enough < 0.5
    assert fit_to_budget(enough, time.monotonic(), PACE, quick(), IMAGES) >= MIN_EPOCHS


@pytest.mark.parametrize("slower", [1, 2, 5.6, 7.9])
def test_no_run_is_refused_because_of_one_slow_moment(slower: float):
    """Two minutes, on a machine whose epoch takes 60 s, when it was measured while others used it."""
    pace = Pace(step=0.28 * slower, validation=1.0 * slower, evaluation=4.0 * slower)
    epochs = fit_to_budget(2.0, time.monotonic(), pace, quick(), 55_000)
    assert FEWEST_STEPS * 256 / 55_000 <= epochs < 2


def test_a_recipe_that_wants_less_than_the_least_run_gets_what_it_wants():
    recipe = replace(quick(0.1), max_epochs=0.1)
    assert fit_to_budget(2.0, time.monotonic(), PACE, recipe, IMAGES) == 0.1


# --- The size ---


@pytest.mark.parametrize(("minutes", "size"), [(2, 67), (5, 67), (12, 99), (60, 131)])
def test_more_minutes_buy_a_larger_size(monkeypatch: pytest.MonkeyPatch, minutes: int, size: int):
    """On a machine whose epoch takes 45 s at 67x67."""
    data = of_fashion_mnists_size(28)
    plan = resolve(quick(), data.train, 0, CPU)
    measured = []

    def pace_of(plan: Plan, data: Splits) -> Pace:
        measured.append((plan.recipe.size, plan.minutes))
        cost = {67: 1.0, 99: 2.5, 131: 4.7}[plan.recipe.size]
        return Pace(0.21 * cost, 1.0 * cost, 4.0 * cost, threads=1)

    monkeypatch.setattr(budget, "measure", pace_of)
    sizes = find_architecture("nin").sizes
    made, pace = plan_for_minutes(float(minutes), time.monotonic(), plan, quick, data, sizes)
    assert (made.recipe.size, made.preprocessing.size, made.minutes) == (size, size, minutes)
    assert measured == ([(67, minutes)] if size == 67 else [(67, minutes), (size, minutes)])
    assert pace == pace_of(made, data)
    assert size == 67 or made.recipe.epochs >= 0.9 * EPOCHS_TO_ENLARGE
    assert made.recipe == replace(quick(made.recipe.epochs), size=size)
    needs = pace.seconds(made.recipe.epochs, made.recipe, len(data.train), made.intervals)
    assert needs == pytest.approx(60 * minutes, rel=0.1)


def test_images_that_are_large_already_keep_their_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "measure", lambda plan, data: Pace(0.01, 0.1, 1.0))
    data = of_fashion_mnists_size(96)
    plan = resolve(quick(), data.train, 0, CPU)
    assert plan_for_minutes(30.0, time.monotonic(), plan, quick, data, (67, 99, 131))[0].recipe.size == 67


def of_fashion_mnists_size(side: int) -> Splits:
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(55_000, 1, side, side)
    train = LabelledImages(pixels, torch.zeros(55_000).long(), ("one",))
    return Splits(train, train.first(5000))
