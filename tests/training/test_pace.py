"""Is the measured pace that of real steps, and is measuring short where the minutes are few?"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from nin.data.images import LabelledImages, Splits
from nin.errors import OptionError
from nin.networks.forward import compute_logits
from nin.training import pace as pace_module
from nin.training.events import Event, Step
from nin.training.fit import Revise, Training, keep_plan
from nin.training.named_recipes import quick
from nin.training.network import initial_network
from nin.training.pace import measure
from nin.training.plan import resolve

CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_measured_pace_is_that_of_real_steps(splits: Splits):
    few = Splits(splits.train.first(64), splits.validation.first(60), splits.test.first(20), splits.origin)
    plan = resolve(replace(quick(epochs=1.0), batch_size=8), few.train, 0, CPU)
    began = time.monotonic()
    pace = measure(plan, few)
    took = time.monotonic() - began
    assert 0 < pace.step < took / 10, "ten steps are measured"
    assert pace.step == min(pace.fastest.values())
    assert pace.threads in pace.fastest
    assert 0 < pace.validation < took
    assert 0 < pace.evaluation < took


@pytest.mark.parametrize(("minutes", "steps"), [(0.001, 2), (None, 10)])
def test_few_minutes_are_not_spent_on_measuring_but_a_step_besides_the_warm_up_is_timed(
    splits: Splits, monkeypatch: pytest.MonkeyPatch, minutes: float | None, steps: int
):
    monkeypatch.setattr(pace_module, "SECONDS_TO_MEASURE", 60.0)
    monkeypatch.setattr(pace_module, "thread_counts", lambda plan: [1])
    taken: list[Event] = []

    class Counted(Training):
        def fit(self, revise: Revise = keep_plan) -> Iterator[Event]:
            for event in super().fit(revise):
                taken.append(event)
                yield event

    monkeypatch.setattr(pace_module, "Training", Counted)
    plan = resolve(replace(quick(epochs=1.0), batch_size=8), splits.train.first(64), 0, CPU)
    pace = measure(replace(plan, minutes=minutes), splits)
    assert [event.step for event in taken if isinstance(event, Step)] == list(range(1, steps + 1))
    assert pace.step == min(8 / event.images_per_second for event in taken[1:] if isinstance(event, Step))


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


def test_a_run_measured_on_resuming_takes_nothing_from_what_the_plan_went_through(splits: Splits):
    few = Splits(splits.train.first(64), splits.validation.first(60), splits.test.first(20), splits.origin)
    plan = resolve(replace(quick(epochs=1.0), batch_size=8, decay=False), few.train, 0, CPU)
    plan = replace(plan, revisions=(((2.0, 1.0), (9.0, 1.0)),), thread_changes=((1, 1),))
    assert measure(plan, few).step > 0
