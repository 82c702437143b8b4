"""Do minutes become as much training as fits, and does a late plan still end in time, with its schedule?"""

import math
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from nin.data.images import LabelledImages, Splits
from nin.data.preprocessing import Preprocessing
from nin.errors import OptionError
from nin.networks.forward import compute_logits
from nin.training.budget import MIN_EPOCHS, Pace, fit_to_budget, keep_deadline, measure, rescale
from nin.training.events import Validation
from nin.training.network import initial_network
from nin.training.plan import Plan, resolve, resolve_schedule
from nin.training.recipe import quick

PACE = Pace(step=0.1, validation=1.0, ending=8.0)  # an epoch of 100 steps takes 10 s
IMAGES = 25_600
CPU = torch.device("cpu")


def plan_of(epochs: float = 10.0) -> Plan:
    recipe = quick(epochs)
    schedule = resolve_schedule(recipe, IMAGES)
    return Plan(recipe, 0, Preprocessing(67, (0.0,), (1.0,)), 10, *schedule, "cpu", "float32", 2, minutes=2.0)


def validated(plan: Plan, interval: int, seconds: float) -> Validation:
    step = sum(plan.steps_per_interval[:interval])
    return Validation(step, step / 100, 1.0, 0.5, 1.0, 0.5, 100.0, seconds)


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
    slow = Pace(step=2.0, validation=5.0, ending=20.0)
    epochs = slow.epochs_within(300.0, quick(), IMAGES)
    assert 1.0 < epochs < 1.5
    assert slow.intervals(epochs, quick(), IMAGES) == 5


def labelled(images: int) -> LabelledImages:
    return LabelledImages(torch.zeros(images, 1, 1, 1, dtype=torch.uint8), torch.zeros(images).long(), ("one",))


def test_a_budget_is_filled_from_the_moment_that_the_run_began():
    train = labelled(IMAGES)
    epochs, intervals = fit_to_budget(2.0, time.monotonic() - 2.0, PACE, quick(), train)
    assert epochs == pytest.approx(10.0, abs=0.05)
    assert intervals == math.ceil(epochs)
    epochs, _ = fit_to_budget(60.0, time.monotonic(), PACE, quick(), train)
    assert epochs == quick().max_epochs, "beyond them the network would overfit"


def test_minutes_that_are_too_few_are_one_line_with_a_number_that_is_enough():
    train = labelled(IMAGES)
    with pytest.raises(OptionError) as caught:
        fit_to_budget(0.15, time.monotonic(), PACE, quick(), train)
    said = str(caught.value)
    assert said.startswith("0.15 minutes are too few: here an epoch of nin at 67x67 takes 11 s, ")
    assert "\n" not in said
    enough = float(said.removesuffix(" or more").rpartition(" ")[2])
    assert enough < 0.5
    epochs, _ = fit_to_budget(enough, time.monotonic(), PACE, quick(), train)
    assert epochs >= MIN_EPOCHS


@pytest.mark.slow
def test_the_measured_pace_is_that_of_real_steps(splits: Splits):
    few = Splits(splits.train.first(64), splits.validation.first(60), splits.test.first(20), splits.origin)
    plan = resolve(replace(quick(epochs=1.0), batch_size=8), few.train, 0, CPU)
    began = time.monotonic()
    pace = measure(plan, few)
    took = time.monotonic() - began
    assert 0 < pace.step < took / 18, "18 steps are measured"
    assert 0 < pace.validation < took
    assert 4 < pace.ending < 4 + took


def test_nothing_is_planned_for_a_network_that_is_dead_at_its_start():
    # All images alike, a single class, and a last ReLU: about every second seed gives a logit below zero.
    data = LabelledImages(torch.zeros(8, 1, 28, 28, dtype=torch.uint8), torch.zeros(8).long(), ("one",))
    recipe = replace(
        quick(epochs=1.0), batch_size=8, batch_norm=False, final_relu=True, initialisation="default", bfloat16=False
    )
    plans = (resolve(recipe, data, seed, CPU) for seed in range(50))
    dead = next(
        plan for plan in plans if not compute_logits(initial_network(plan), data.images, plan.preprocessing).any()
    )
    with pytest.raises(OptionError, match=r"^nothing can be planned for: every logit .* in step 1 is exactly zero"):
        measure(dead, Splits(data, data, data, Path("synthetic")))


@pytest.mark.parametrize("slower", [1.5, 0.6])
def test_a_plan_that_is_late_or_early_is_rescaled_to_end_in_time_and_an_exact_one_stays(slower: float):
    planned = plan_of()
    validation = validated(planned, 4, 10 * slower)
    rest = 6 * 10 * slower + slower * (8.0 + 6 * 1.0)  # of the whole plan at this pace
    assert keep_deadline(time.monotonic() + rest, PACE)(planned, validation) == planned
    revised = keep_deadline(time.monotonic() + rest * 0.7, PACE)(planned, validation)
    assert revised.steps_per_interval[:4] == planned.steps_per_interval[:4]
    needs = 0.1 * slower * sum(revised.steps_per_interval[4:]) + slower * (8.0 + 6 * 1.0)
    assert needs == pytest.approx(rest * 0.7, rel=0.02)


def test_a_plan_at_its_longest_is_not_extended_into_minutes_that_it_cannot_use():
    most = quick().max_epochs
    longest = plan_of(most)
    validation = validated(longest, 1, 10.0)
    assert keep_deadline(time.monotonic() + 3600, PACE)(longest, validation) == longest
    assert keep_deadline(time.monotonic() + 60, PACE)(longest, validation).steps < longest.steps
    nearly = plan_of(most - 1)
    revised = keep_deadline(time.monotonic() + 3600, PACE)(nearly, validated(nearly, 1, 10.0))
    assert revised.steps == pytest.approx(100 * most, abs=30)


def test_a_plan_that_was_made_shorter_may_get_as_long_again_and_no_longer():
    planned = plan_of(quick().max_epochs)
    revise = keep_deadline(time.monotonic() + 100, PACE)
    shorter = revise(planned, validated(planned, 1, 10.0))
    assert shorter.steps < planned.steps
    # As if the machine had become ten times faster.
    longer = revise(shorter, validated(shorter, 2, 0.001 * shorter.steps_per_interval[1]))
    assert shorter.steps < longer.steps <= planned.steps


def test_a_run_that_is_resumed_is_not_extended():
    planned = plan_of()
    revise = keep_deadline(time.monotonic() + 3600, PACE, may_extend=False)
    assert revise(planned, validated(planned, 1, 10.0)) == planned


@pytest.mark.parametrize("ratio", [0.3, 0.999, 1.7])
def test_a_rescaled_plan_keeps_what_was_done_and_its_schedule_still_ends(ratio: float):
    planned = plan_of()
    for interval in (1, 2, 7):
        revised = rescale(planned, interval, ratio)
        done = sum(planned.steps_per_interval[:interval])
        assert revised.intervals == planned.intervals
        assert revised.steps == pytest.approx(done + (1000 - done) * ratio, abs=10)
        before, after = ([plan.learning_rate_factor(step + 0.5) for step in range(done)] for plan in (planned, revised))
        assert before == after
        factors = [revised.learning_rate_factor(step + 0.5) for step in range(done, revised.steps)]
        assert factors[0] == pytest.approx(planned.learning_rate_factor(done + 0.5), abs=0.02)
        assert 0 < factors[-1] < 0.02
        assert max(abs(after - before) for before, after in pairwise(factors)) < 0.03


def test_a_plan_without_time_left_ends_within_a_step_an_interval():
    planned = plan_of()
    revised = keep_deadline(time.monotonic() - 100, PACE)(planned, validated(planned, 8, 10.0))
    assert revised.steps_per_interval[8:] == (1, 1)
    assert revised.learning_rate_factor(float(revised.steps)) == 0


def test_a_recipe_that_wants_less_than_the_least_run_gets_what_it_wants():
    train = LabelledImages(
        torch.zeros(IMAGES, 1, 1, 1, dtype=torch.uint8), torch.zeros(IMAGES, dtype=torch.int64), ("a",)
    )
    recipe = replace(quick(0.1), max_epochs=0.1)
    assert fit_to_budget(2.0, time.monotonic(), PACE, recipe, train) == (0.1, 1)
