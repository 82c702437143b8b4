"""Is a run that does not learn noticed, and one that does left in peace?"""

import math

import pytest
import torch

from nin.data.preprocessing import Preprocessing
from nin.training.events import Trouble
from nin.training.health import STALL_WINDOW, Health
from nin.training.named_recipes import long, quick
from nin.training.plan import Plan
from nin.training.recipe import Recipe

CHANCE = math.log(4)
LOGITS = torch.ones(32, 4)


def plan_of(recipe: Recipe) -> Plan:
    return Plan(
        recipe, 0, Preprocessing(recipe.size, (0.0,), (1.0,)), 4, (400,), ((0.0, 0.0), (80.0, 1.0), (400.0, 0.0)),
        "cpu", "float32", 2,
    )  # fmt: skip


PLAN = plan_of(quick())


def checked(losses: list[float], every: int = 1) -> list[Trouble]:
    """Return the troubles of a run with such a mean loss in each `every` steps."""
    health = Health()
    found = [health.check(PLAN, step * every, loss, every, LOGITS) for step, loss in enumerate(losses, start=1)]
    return [trouble for trouble in found if trouble]


def test_a_loss_that_stays_at_guessing_after_the_warm_up_is_warned_of_once():
    [trouble] = checked([CHANCE] * 400)
    assert (trouble.step, trouble.kind) == (PLAN.warm_up_steps + STALL_WINDOW, "stalled")
    assert "ln(4) = 1.386" in trouble.message
    assert f"for {STALL_WINDOW} steps" in trouble.message


def test_on_an_accelerator_which_is_asked_every_20_steps_the_warning_comes_in_the_same_step():
    assert [trouble.step for trouble in checked([CHANCE] * 20, every=20)] == [PLAN.warm_up_steps + STALL_WINDOW]


def test_a_loss_that_falls_however_slowly_is_not_warned_of():
    assert checked([CHANCE - step / 400 for step in range(1, 401)]) == []


def test_a_loss_that_is_at_guessing_only_in_the_warm_up_is_not_warned_of():
    assert checked([CHANCE] * 80 + [CHANCE - 0.1] * 320) == []


def test_a_loss_that_leaves_and_comes_back_is_warned_of_when_it_stays():
    assert [trouble.step for trouble in checked([1.0] * 200 + [CHANCE] * 200)] == [380]


def test_logits_that_are_all_exactly_zero_are_a_dead_network():
    trouble = Health().check(PLAN, 7, CHANCE, 1, torch.zeros(32, 4))
    assert trouble is not None
    assert (trouble.kind, trouble.step) == ("dead", 7)
    assert trouble.message.startswith("every logit of the batch in step 7 is exactly zero: ")
    one_alive = torch.zeros(32, 4)
    one_alive[3, 1] = 1e-30
    assert Health().check(PLAN, 7, CHANCE, 1, one_alive) is None


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_a_dead_network_in_the_warm_up_too(loss: float):
    trouble = Health().check(PLAN, 1, loss, 1, LOGITS)
    assert trouble is not None
    assert (trouble.kind, trouble.step) == ("dead", 1)
    assert trouble.message.startswith(f"the loss became {loss} in step 1: ")


def test_the_advice_is_something_that_the_run_is_not_already_doing():
    messages = []
    for recipe in (quick(), long()):
        trouble = Health().check(plan_of(recipe), 1, math.nan, 1, LOGITS)
        assert trouble is not None
        messages.append(trouble.message)
    assert messages[0].endswith("Try another seed.")
    assert messages[1].endswith("Try another seed, or the recipe quick.")


def test_every_trouble_is_one_line():
    troubles = checked([CHANCE] * 400) + checked([math.nan])
    assert len(troubles) == 2
    assert not any("\n" in trouble.message for trouble in troubles)
