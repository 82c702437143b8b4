"""Do the threads make way where another process has a core, and come back when it is gone?"""

from collections.abc import Callable

import pytest
import torch
from msgspec.structs import replace

from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.device import usable_threads
from nin.training.fit import Training
from nin.training.named_recipes import quick
from nin.training.plan import Plan, resolve_schedule
from nin.training.threads import ThreadTuner, thread_counts

ALONE, BESIDE = {2: 0.28, 1: 0.52}, {2: 2.6, 1: 0.54}  # seconds of a step, as measured on two cores


def plan_of(threads: int = 2) -> Plan:
    recipe = quick(20.0)
    schedule = resolve_schedule(recipe, 25_600)
    return Plan(recipe, 0, Preprocessing(67, (0.0,), (1.0,)), 10, *schedule, "cpu", "float32", threads)


def train(neighbour: Callable[[float], bool], threads: int = 2, seconds: float = 300.0) -> tuple[Plan, dict[int, int]]:
    """Follow a machine with a neighbour at some times; return the plan, and the steps in each number of threads."""
    plan, now, step, steps = plan_of(threads), 0.0, 0, {1: 0, 2: 0}
    revise = ThreadTuner(ALONE, clock=lambda: now)
    while now < seconds:
        count = plan.threads_at(step)
        now += (BESIDE if neighbour(now) else ALONE)[count]
        step, steps[count] = step + 1, steps[count] + 1
        plan = revise(plan, step, now)
    return plan, steps


def test_alone_on_the_machine_all_threads_stay():
    plan, _ = train(lambda now: False)
    assert plan.thread_changes == ()


def test_beside_another_process_half_of_the_threads_are_faster_and_stay():
    plan, steps = train(lambda now: True)
    assert plan.thread_changes[0][1] == 1
    most = 300 / BESIDE[1]
    assert sum(steps.values()) > 0.85 * most
    assert steps[2] < 20


def test_they_come_back_when_the_other_process_is_gone():
    plan, _ = train(lambda now: 60 < now < 150)
    assert next(threads for _, threads in plan.thread_changes) == 1
    assert plan.thread_changes[-1][1] == 2
    _, steps = train(lambda now: 60 < now < 150)
    most = 210 / ALONE[2] + 90 / BESIDE[1]
    assert sum(steps.values()) > 0.8 * most


def test_short_bursts_of_another_process_cost_little():
    plan, steps = train(lambda now: now % 30 < 6, seconds=600.0)
    assert plan.thread_changes
    always_two = 600 * (0.8 / ALONE[2] + 0.2 / BESIDE[2])
    assert sum(steps.values()) > 0.85 * always_two


def test_a_run_that_began_in_one_thread_takes_the_other_when_it_is_free():
    plan, _ = train(lambda now: now < 30, threads=1)
    assert plan.thread_changes[-1][1] == 2


def test_one_slow_step_changes_nothing():
    plan, _ = train(lambda now: 60 < now < 60.3)
    assert plan.thread_changes == ()


def test_where_there_is_one_thread_nothing_is_tried():
    plan, now = plan_of(1), 0.0
    revise = ThreadTuner({1: 0.5}, clock=lambda: now)
    for step in range(1, 200):
        now += 0.5 if step < 50 else 5.0
        assert revise(plan, step, now) is plan


@pytest.mark.parametrize(("threads", "counts"), [(4, [4, 2]), (7, [7, 3])])
def test_all_or_half_of_the_threads_are_tried(monkeypatch: pytest.MonkeyPatch, threads: int, counts: list[int]):
    monkeypatch.setattr("nin.training.threads.usable_threads", lambda: 8)
    assert thread_counts(plan_of(threads)) == counts
    assert thread_counts(plan_of(64)) == [8, 4]
    assert thread_counts(replace(plan_of(threads), device="cuda")) == counts[:1]


def test_the_changes_of_a_plan_are_carried_out_from_their_steps_on(splits: Splits):
    recipe = replace(quick(2.0), batch_size=64, size=16, batch_norm=False, bfloat16=False)
    schedule = resolve_schedule(recipe, 512)
    plan = Plan(
        recipe, 0, Preprocessing(16, (0.0,), (1.0,)), 4, *schedule, "cpu", "float32", 2,
        thread_changes=((3, 1), (6, 2)),
    )  # fmt: skip
    assert [plan.threads_at(step) for step in (0, 2, 3, 5, 6, 100)] == [2, 2, 1, 1, 2, 2]
    used: list[int] = []
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 4))
    network.register_forward_hook(lambda module, *_: used.append(torch.get_num_threads()) if module.training else None)
    before = torch.get_num_threads()
    try:
        list(Training(network, splits.train, splits.validation, plan).fit())
    finally:
        torch.set_num_threads(before)
    available = min(2, usable_threads())
    assert used[:6] == [available] * 3 + [1] * 3
    assert set(used[6:]) == {available}
