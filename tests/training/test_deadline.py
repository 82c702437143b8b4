"""Does a run end in time on a machine that wavers, with its learning rate at nearly nothing, and replay bit for bit?"""

import copy
from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.training.deadline import SECONDS_PER_REVISION, keep_deadline, rescale
from nin.training.events import Revision
from nin.training.fit import Training
from nin.training.named_recipes import d2l, quick
from nin.training.pace import SECONDS_FOR_REPORT, Pace
from nin.training.plan import Plan, resolve, resolve_schedule

PACE = Pace(step=0.1, validation=1.0, evaluation=3.0)
IMAGES = 25_600
SLOW = 8  # times slower


class Machine:
    """A machine whose clock stands still but for what is computed on it, at a speed that depends on the time.

    Args:
        budget: seconds of the run.
        pace: of the machine when it is calm.
        slowness: how many times slower it is at a time, as a share of the budget.

    """

    def __init__(self, slowness: Callable[[float], float], budget: float = 120.0, pace: Pace = PACE) -> None:
        self.now, self.slowness, self.budget, self.pace = 0.0, slowness, budget, pace

    def clock(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        """Let pass what takes so many seconds on the calm machine."""
        while seconds > 0:
            part = min(seconds, self.pace.step / 2)
            self.now += part * self.slowness(self.now / self.budget)
            seconds -= part


def train(splits: Splits, machine: Machine, epochs: float = 7.5) -> tuple[Training, nn.Module]:
    """Train a small network for the machine's budget; return the training, and the network it began with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, 4))
    begun = copy.deepcopy(network)
    recipe = replace(quick(epochs), batch_size=4, size=16, max_epochs=1000.0, batch_norm=False, bfloat16=False, shift=1)
    plan = replace(resolve(recipe, splits.train, 0, torch.device("cpu")), minutes=machine.budget / 60)

    def passes(module: nn.Module, *_: object) -> None:
        machine.work(machine.pace.step if module.training else machine.pace.validation)

    network.register_forward_hook(passes)
    training = Training(network, splits.train, splits.validation, plan, clock=machine.clock)
    for _ in training.fit(keep_deadline(machine.budget, machine.pace, clock=machine.clock)):
        pass
    machine.work(machine.pace.evaluation)
    machine.now += SECONDS_FOR_REPORT * min(2.0, machine.slowness(machine.now / machine.budget))  # on one thread
    return training, begun


def slow_for(begin: float, end: float) -> Callable[[float], float]:
    return lambda share: SLOW if begin <= share < end else 1.0


WAVERING = {
    "calm": slow_for(0, 0),
    "slow in the first half": slow_for(0, 0.5),
    "slow in the middle": slow_for(0.25, 0.75),
    "slow in the second half": slow_for(0.5, 2),
    "slow in every second sixth": lambda share: SLOW if share * 6 % 2 < 1 else 1.0,
    "slow in every second sixtieth": lambda share: SLOW if share * 60 % 2 < 1 else 1.0,
    "measured in a slow moment": lambda share: 2 / SLOW,
    "always slow": slow_for(0, 2),
}
wavering = pytest.mark.parametrize("slowness", WAVERING.values(), ids=WAVERING.keys())


@pytest.mark.slow
@wavering
def test_a_run_ends_in_time_with_its_learning_rate_at_nearly_nothing(
    splits: Splits, slowness: Callable[[float], float]
):
    machine = Machine(slowness, budget=600.0, pace=Pace(step=1.0, validation=2.0, evaluation=6.0))
    training, _ = train(splits, machine)
    assert 0.9 * machine.budget < machine.now < 1.1 * machine.budget
    assert training.step == training.plan.steps
    factors = factors_of(training.plan)
    assert max(factors) > 0.9
    assert factors[-1] < 0.01
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


@pytest.mark.slow
@wavering
def test_two_minutes_are_not_overrun_although_the_end_may_take_eight_times_as_long(
    splits: Splits, slowness: Callable[[float], float]
):
    machine = Machine(slowness, pace=Pace(step=0.2, validation=1.0, evaluation=3.0))
    training, _ = train(splits, machine)
    # Where the machine is slow until it is too late to train on, time is left over.
    assert 0.8 * machine.budget < machine.now < 1.1 * machine.budget
    assert factors_of(training.plan)[-1] < 0.01


@pytest.mark.slow
def test_a_run_uses_the_steps_that_a_wavering_machine_leaves(splits: Splits):
    calm, slow = (train(splits, Machine(WAVERING[name]))[0] for name in ("calm", "slow in every second sixth"))
    assert slow.step > 0.75 * calm.step * (1 / 2 + 1 / 2 / SLOW)
    assert len(slow.validations) < len(calm.validations), "slow validations are fewer"


@pytest.mark.slow
def test_on_a_calm_machine_the_plan_stays_as_it_is(splits: Splits):
    training, _ = train(splits, Machine(WAVERING["calm"]))
    assert len(training.plan.revisions) <= 3


@pytest.mark.slow
def test_one_stall_of_a_second_costs_about_a_second(splits: Splits):
    def stalls(share: float) -> float:
        return 100.0 if 0.5 < share < 0.51 else 1.0

    calm, stalled = (train(splits, Machine(slowness))[0].step for slowness in (WAVERING["calm"], stalls))
    assert stalled > 0.93 * calm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slow in the middle", "slow in every second sixtieth"])
def test_what_was_executed_is_the_plan_and_replays_bit_for_bit(splits: Splits, name: str):
    training, begun = train(splits, Machine(WAVERING[name]))
    assert training.plan.revisions
    again = Training(begun, splits.train, splits.validation, training.plan)
    assert not any(isinstance(event, Revision) for event in again.fit())
    pairs = zip(begun.parameters(), training.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    timeless = [
        [replace(one, seconds=0.0, images_per_second=0.0) for one in run.validations] for run in (training, again)
    ]
    assert timeless[0] == timeless[1]


def test_validations_are_of_the_intervals_of_the_executed_plan(splits: Splits):
    training, _ = train(splits, Machine(WAVERING["slow in the second half"]))
    ends = list(accumulate(training.plan.steps_per_interval))
    assert [validation.step for validation in training.validations] == ends


def factors_of(plan: Plan) -> list[float]:
    return [plan.learning_rate_factor(step + 0.5) for step in range(plan.steps)]


# --- Rescaling ---


def plan_of(epochs: float = 10.0, **changes: object) -> Plan:
    recipe = replace(quick(epochs), **changes)
    return Plan(
        recipe, 0, Preprocessing(67, (0.0,), (1.0,)), 10, *resolve_schedule(recipe, IMAGES), "cpu", "float32", 2,
        minutes=2.0,
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 137, 199, 200, 201, 555, 600, 999])
@pytest.mark.parametrize("left", [1, 300, 445, 2000])
@pytest.mark.parametrize("intervals", [1, 5, 30])
def test_a_rescaled_plan_keeps_what_was_done_and_its_schedule_still_ends(step: int, left: int, intervals: int):
    planned = plan_of()
    revised = rescale(planned, step, left, intervals)
    assert revised.steps == step + left
    begin, _ = planned.interval_at(step)
    assert revised.steps_per_interval[: begin // 100] == (100,) * (begin // 100)
    assert revised.interval_at(step)[0] == begin, "the interval that was begun goes on"
    assert revised.intervals - begin // 100 == min(intervals, left)
    before, after = ([plan.learning_rate_factor(at + 0.5) for at in range(step)] for plan in (planned, revised))
    assert before == after
    factors = [
        planned.learning_rate_factor(float(step)),
        *(revised.learning_rate_factor(at + 0.5) for at in range(step, step + left)),
    ]
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    if step < 200:
        assert left < 10 or max(factors) > 0.9
    else:
        assert factors == sorted(factors, reverse=True)
    steepest = 1.2 * max(1 / 200, (1000 - step) / left / 200 if step < 200 else factors[0] / left)
    assert max(abs(after - before) for before, after in pairwise(factors)) < max(steepest, 0.01) or left == 1


def test_a_plan_may_be_rescaled_again_and_again_without_changing_what_was_done():
    plan, factors = plan_of(), []
    for step, left in [(50, 700), (51, 2000), (300, 100), (330, 900), (1000, 3), (1001, 50)]:
        factors += [plan.learning_rate_factor(at + 0.5) for at in range(len(factors), step)]
        plan = rescale(plan, step, left, 3)
        assert [plan.learning_rate_factor(at + 0.5) for at in range(step)] == factors
    assert plan.steps == 1051
    assert plan.warm_up_steps == pytest.approx(51 + 2000 * 0.15, rel=0.3)


def test_a_run_resumed_before_its_last_revision_is_rescaled_from_where_it_is():
    plan = rescale(rescale(plan_of(), 300, 400, 4), 500, 50, 1)
    again = rescale(plan, 400, 75, 1)  # at half the speed
    assert [revision[0][0] for revision in again.revisions] == [300.0, 400.0]
    assert again.steps == 475
    middle = plan.learning_rate_factor(500.0)  # after 100 of the 150 steps that were left
    assert again.learning_rate_factor(450.0) == pytest.approx(middle, rel=0.02)


def test_a_constant_learning_rate_stays_constant():
    recipe = replace(d2l(10.0), size=67, batch_size=256)
    plan = Plan(
        recipe, 0, Preprocessing(67, (0.0,), (1.0,)), 10, *resolve_schedule(recipe, IMAGES), "cpu", "float32", 2
    )
    revised = rescale(plan, 100, 50, 1)
    assert {revised.learning_rate_factor(step + 0.5) for step in range(revised.steps)} == {1.0}
    assert revised.warm_up_steps == 0


# --- When it is revised ---


def revised_at(plan: Plan, per_step: float, deadline: float, **options: bool) -> Plan:
    """Return the plan after 100 steps of `per_step` seconds."""
    now = 0.0
    revise = keep_deadline(deadline, PACE, clock=lambda: now, **options)
    for step in range(1, 101):
        now += per_step
        plan = revise(plan, step, now)
    return plan


def test_a_plan_at_its_longest_is_not_extended_into_minutes_that_it_cannot_use():
    longest = plan_of(20.0, max_epochs=20.0)
    assert revised_at(longest, 0.1, 3600.0) == longest
    assert revised_at(longest, 0.1, 60.0).steps < longest.steps
    nearly = plan_of(19.0, max_epochs=20.0)
    assert revised_at(nearly, 0.1, 3600.0).steps == pytest.approx(2000, abs=1)


def test_a_plan_that_was_made_shorter_may_get_as_long_again():
    plan, now = plan_of(20.0, max_epochs=20.0), 0.0
    revise = keep_deadline(200.0, PACE, clock=lambda: now)
    steps = []
    for step in range(1, 401):
        now += 0.3 if step <= 200 else 0.02
        plan = revise(plan, step, now)
        steps.append(plan.steps)
    assert min(steps) < 1000
    assert steps[-1] == 2000


def test_a_run_that_is_resumed_is_made_shorter_and_never_longer_than_it_was():
    plan = plan_of()
    assert revised_at(plan, 0.1, 3600.0, may_extend=False) == plan
    assert revised_at(plan, 0.1, 60.0, may_extend=False).steps < plan.steps
    now, planned = 0.0, plan_of(20.0)
    revise = keep_deadline(250.0, PACE, may_extend=False, clock=lambda: now)
    for step in range(1, 401):  # slow at first
        now += 0.5 if step <= 200 else 0.05
        plan = revise(planned if step == 1 else plan, step, now)
    assert plan.steps == planned.steps


def test_a_schedule_that_ends_before_the_plan_keeps_its_last_factor():
    plan = replace(plan_of(), schedule=((0.0, 0.0), (100.0, 0.5)))
    revised = rescale(plan, 300, 50, 1)
    assert {revised.learning_rate_factor(step + 0.5) for step in range(300, 350)} == {0.5}


def test_a_tiny_first_plan_does_not_lead_to_a_validation_after_every_few_steps():
    plan, now, step = plan_of(0.03, max_epochs=1000.0), 0.0, 0
    revise = keep_deadline(100.0, PACE, clock=lambda: now)
    while step < plan.steps:
        step, now = step + 1, now + PACE.step
        plan = revise(plan, step, now)
    assert now > 70
    assert plan.intervals * PACE.validation <= 0.15 * 100


def followed(deadline: float, pace: Pace, stop: float = 0.0, validating: bool = False) -> tuple[Plan, float]:
    """Return the plan that a training ends with, and when, if it is stopped once in the fourth of its intervals."""
    plan, now, seconds, step = plan_of(), 0.0, 0.0, 0
    revise = keep_deadline(deadline, pace, clock=lambda: now)
    while step < plan.steps:
        begin, end = plan.interval_at(step)
        fourth = list(accumulate(plan.steps_per_interval)).index(end) == 3
        step += 1
        took = pace.step + (stop if fourth and step == begin + 10 and not validating else 0.0)
        now, seconds = now + took, seconds + took
        if step == end:
            now += pace.validation + (stop if fourth and validating else 0.0)
        if step < plan.steps:
            plan = revise(plan, step, seconds)
    return plan, now


@pytest.mark.parametrize("validating", [False, True])
@pytest.mark.parametrize("stop", [40.0, 3600.0])
def test_a_process_that_was_stopped_goes_on_with_its_plan(stop: float, validating: bool):
    calm, ended = followed(125.0, PACE)
    plan, stopped = followed(125.0, PACE, stop, validating)
    assert plan.steps == pytest.approx(calm.steps, rel=0.02)
    assert stopped == pytest.approx(ended + stop, abs=3)


def test_a_long_validation_is_no_stop():
    _, ended = followed(1000.0, Pace(step=0.1, validation=40.0, evaluation=40.0))
    assert ended == pytest.approx(1000 - 40 - SECONDS_FOR_REPORT, abs=15)


def test_a_machine_that_becomes_slower_by_far_is_believed_at_the_second_look():
    plan, now, step = plan_of(), 0.0, 0
    revise = keep_deadline(125.0, PACE, clock=lambda: now)
    while step < plan.steps:
        step += 1
        now += PACE.step if step < 300 else 40.0
        plan = revise(plan, step, now)
    assert now < 125 + 2 * 40


def test_a_plan_without_time_left_ends_with_the_next_step():
    now = 0.0
    revise = keep_deadline(-100.0, PACE, clock=lambda: now)
    plan, step = plan_of(), 0
    while step < plan.steps:
        step, now = step + 1, now + 0.1
        plan = revise(plan, step, now)
    assert now < 2 * SECONDS_PER_REVISION
