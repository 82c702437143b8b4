"""Do minutes become as much training as fits, and does a late plan still end in time, with its schedule?"""

import math
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from nin import budget
from nin.budget import Pace, keeping, measure, stretched
from nin.data import Splits
from nin.errors import OptionError
from nin.experiment import build
from nin.plan import Plan, timetable
from nin.planning import resolve
from nin.recipe import LONGEST, quick
from nin.training import Epoch

# 100 steps a pass of 10 s at 67, 40 s at 99.
PACE = Pace(step={67: 0.1, 99: 0.4}, validation={67: 1.0, 99: 4.0}, ending=8.0)
IMAGES = 25_600


def plan(epochs: float = 10.0) -> Plan:
    recipe = quick(epochs)
    return Plan(recipe, 0, *timetable(recipe, IMAGES), 10, (0.0,), (1.0,), "cpu", "float32", 2, minutes=2.0)


def ended(plan: Plan, epoch: int, seconds: float) -> Epoch:
    return Epoch(epoch, plan.sizes[epoch - 1], 1.0, 0.5, 1.0, 0.5, 100.0, seconds)


def test_what_fits_takes_the_seconds_that_there_are():
    for seconds in (20.0, 118.0, 300.0):
        epochs = PACE.epochs_within(seconds, quick(), IMAGES)
        parts = PACE.parts(epochs, quick(), IMAGES)
        assert parts == math.ceil(epochs)
        assert seconds - 2 < PACE.seconds(epochs, quick(), IMAGES, parts) <= seconds + 1e-6
    assert PACE.epochs_within(118.0, quick(), IMAGES) == pytest.approx(10.0)


def test_nothing_fits_into_no_time():
    assert PACE.epochs_within(5.0, quick(), IMAGES) == 0.0
    assert PACE.epochs_within(-5.0, quick(), IMAGES) == 0.0


def test_a_recipe_of_two_sizes_costs_by_their_shares():
    grown = replace(quick(), sizes=((67, 0.5), (99, 0.5)))
    assert PACE.seconds(1.0, grown, IMAGES) == pytest.approx(25 + 2.5 + 8)


def test_on_a_slow_machine_epochs_are_parts_of_a_pass_so_that_lateness_shows():
    slow = Pace(step={67: 2.0}, validation={67: 5.0}, ending=20.0)
    epochs = slow.epochs_within(300.0, quick(), IMAGES)
    assert 1.0 < epochs < 1.5
    assert slow.parts(epochs, quick(), IMAGES) == 5


def test_the_measured_pace_is_that_of_real_steps(splits: Splits):
    recipe = replace(quick(epochs=1.0), batch_size=32, sizes=((67, 0.5), (99, 0.5)))
    pace = measure(resolve(recipe, splits.train, 0, torch.device("cpu")), splits)
    assert set(pace.step) == set(pace.validation) == {67, 99}
    assert min(*pace.step.values(), *pace.validation.values(), pace.ending) > 0


def test_nothing_is_planned_for_a_network_that_is_dead_at_its_start(splits: Splits, monkeypatch: pytest.MonkeyPatch):
    def dead(plan: Plan, channels: int) -> nn.Module:
        network = build(plan, channels)
        nn.init.constant_(network.n4[4].bias, -1e6)
        return network

    monkeypatch.setattr(budget, "build", dead)
    recipe = replace(quick(epochs=1.0), batch_size=32, batch_norm=False, final_relu=True)
    with pytest.raises(OptionError, match="exactly zero"):
        measure(resolve(recipe, splits.train, 0, torch.device("cpu")), splits)


@pytest.mark.parametrize("slower", [1.5, 0.6])
def test_a_plan_that_is_late_or_early_is_stretched_to_end_in_time_and_an_exact_one_stays(slower: float):
    planned = plan()
    epoch = ended(planned, 4, 10 * slower)
    rest = 6 * 10 * slower + slower * (8.0 + 6 * 1.0)  # of the whole plan at this pace
    assert keeping(time.monotonic() + rest, PACE)(planned, epoch) == planned
    revised = keeping(time.monotonic() + rest * 0.7, PACE)(planned, epoch)
    assert revised.steps_by_epoch[:4] == planned.steps_by_epoch[:4]
    needs = 0.1 * slower * sum(revised.steps_by_epoch[4:]) + slower * (8.0 + 6 * 1.0)
    assert needs == pytest.approx(rest * 0.7, rel=0.02)


def test_a_plan_at_its_longest_is_not_stretched_into_minutes_that_it_cannot_use():
    longest = plan(LONGEST["quick"])
    epoch = ended(longest, 1, 10.0)
    assert keeping(time.monotonic() + 3600, PACE)(longest, epoch) == longest
    assert keeping(time.monotonic() + 60, PACE)(longest, epoch).steps < longest.steps
    nearly = plan(LONGEST["quick"] - 1)
    assert keeping(time.monotonic() + 3600, PACE)(nearly, ended(nearly, 1, 10.0)).steps == pytest.approx(2000, abs=30)


def test_a_run_that_goes_on_is_not_made_longer():
    planned = plan()
    assert keeping(time.monotonic() + 3600, PACE, longer=False)(planned, ended(planned, 1, 10.0)) == planned


@pytest.mark.parametrize("ratio", [0.3, 0.999, 1.7])
def test_a_stretched_plan_keeps_what_was_done_and_its_rate_still_ends(ratio: float):
    planned = plan()
    for epoch in (1, 2, 7):
        revised = stretched(planned, epoch, ratio)
        done = sum(planned.steps_by_epoch[:epoch])
        assert revised.steps == pytest.approx(done + (1000 - done) * ratio, abs=10)
        assert [revised.rate(step + 0.5) for step in range(done)] == [planned.rate(step + 0.5) for step in range(done)]
        rates = [revised.rate(step + 0.5) for step in range(done, revised.steps)]
        assert rates[0] == pytest.approx(planned.rate(done + 0.5), abs=0.02)
        assert 0 < rates[-1] < 0.02
        assert max(abs(after - before) for before, after in pairwise(rates)) < 0.03


def test_a_plan_without_time_left_ends_within_a_step_an_epoch():
    revised = keeping(time.monotonic() - 100, PACE)(plan(), ended(plan(), 8, 10.0))
    assert revised.steps_by_epoch[8:] == (1, 1)
    assert revised.rate(float(revised.steps)) == 0
