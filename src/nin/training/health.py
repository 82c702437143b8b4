"""Does a training learn? Notices a dead network, a loss that stays at chance, and too few epochs."""

import math

from torch import Tensor

from nin.training.events import Trouble
from nin.training.plan import Plan

MIN_EPOCHS = 0.25  # less teaches too little to be worth a run
STALL_WINDOW = 100  # steps over which the loss must have left ln(classes)
STALL_MARGIN = 0.01  # nats


class Health:
    """Watches losses and logits: `check` is called after each step, or some steps, in order."""

    def __init__(self) -> None:
        self.total, self.steps = 0.0, 0  # sum of the losses of the current window, and its steps
        self.warned = False

    def check(self, plan: Plan, step: int, loss: float, steps: int, alive: Tensor) -> Trouble | None:
        """Return what is wrong after `step`, if anything is.

        Args:
            plan: of the training.
            step: steps taken.
            loss: mean over the last `steps`.
            steps: see there.
            alive: logits of the batch, or anything else that is 0 where all of them are.

        """
        if not math.isfinite(loss):
            return not_finite(plan, step, loss)
        if not alive.any():
            return Trouble(
                "dead",
                step,
                f"every logit of the batch in step {step} is exactly zero: the last ReLU lets nothing through, no "
                f"gradient flows back, and the accuracy stays at chance. {_advice(plan)}",
            )
        if step > plan.warm_up_steps and not self.warned:
            self.total, self.steps = self.total + loss * steps, self.steps + steps
            if self.steps >= STALL_WINDOW:
                return self._close_window(plan, step)
        return None

    def _close_window(self, plan: Plan, step: int) -> Trouble | None:
        mean, window, chance = self.total / self.steps, self.steps, math.log(plan.num_classes)
        self.total, self.steps = 0.0, 0
        if abs(mean - chance) >= STALL_MARGIN:
            return None
        self.warned = True
        return Trouble(
            "stalled",
            step,
            f"the loss has stayed at ln({plan.num_classes}) = {chance:.3f}, the loss of guessing, for {window} steps: "
            f"the network does not learn yet and may never. {_advice(plan)}",
        )


def not_finite(plan: Plan, step: int, loss: float) -> Trouble:
    """Return the trouble of a loss that is infinite or not a number."""
    message = f"the loss became {loss} in step {step}: the steps were too large for these weights. {_advice(plan)}"
    return Trouble("dead", step, message)


def undertrained(plan: Plan, step: int, epoch: float) -> Trouble | None:
    """Return the trouble of a plan for minutes that had time for too few epochs, if that is so after its last step."""
    one_more = epoch * (step + 1) / step  # a plan rounds its steps down, so a run may end less than one short
    if plan.minutes is None or one_more > min(MIN_EPOCHS, plan.recipe.max_epochs):
        return None
    return Trouble(
        "undertrained",
        step,
        f"there was time for less than {MIN_EPOCHS:g} epochs. For a better model give more minutes, or free the "
        "machine of other work.",
    )


def _advice(plan: Plan) -> str:
    return "Try another seed" + ("." if plan.recipe.name == "quick" else ", or the recipe quick.")
