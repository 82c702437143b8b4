"""How is a network trained? One loop over any module, as a generator of events; it prints and writes nothing."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nin.augmentation import order, varied
from nin.data import LabelledImages
from nin.devices import autocast
from nin.errors import RunError
from nin.evaluation import evaluate, scores
from nin.memory import keep_freed_memory
from nin.optimiser import Optimiser
from nin.plan import Plan
from nin.preprocessing import channels_last, prepare

STALL_WINDOW = 100  # steps over which the loss must have left ln(classes)
STALL_MARGIN = 0.01  # nats
STEPS_PER_LOOK = 20  # how often an accelerator is asked for its loss: every look waits for it
SECONDS_PER_STATE = 60  # how long an epoch may go on without a state to resume from


@dataclass(frozen=True)
class Step:
    """A step was made: `step` counts from 1 over the whole plan; `loss` is the mean since the last event, in nats."""

    epoch: int
    step: int
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class Epoch:
    """An epoch ended: a line of `metrics.jsonl`.

    Losses are what the recipe minimises (label smoothing included, for both splits), in nats; train figures are means
    over the epoch while the weights moved. `images_per_second` and `seconds` are of training; validation is not in
    them.
    """

    epoch: int
    size: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a run, in plain words in `message`: "dead" and "interrupted" end it, "stalled" warns."""

    kind: Literal["dead", "stalled", "interrupted"]
    epoch: int
    step: int
    message: str


@dataclass(frozen=True)
class Revision:
    """The plan was revised at an epoch's end; the steps that follow are those of `plan`."""

    plan: Plan


@dataclass(frozen=True, eq=False)
class State:
    """All that `fit` needs, beside the plan, to go on behind `step` as if it had never stopped.

    `content` has tensors and plain values, and is good until the next event: the tensors are the live ones.
    """

    step: int
    content: dict[str, Any]


Event = Step | Epoch | Trouble | Revision | State


def unrevised(plan: Plan, epoch: Epoch) -> Plan:
    """Go on as planned."""
    return plan


def fit(
    network: nn.Module,
    train: LabelledImages,
    validation: LabelledImages,
    plan: Plan,
    state: dict[str, Any] | None = None,
    revise: Callable[[Plan, Epoch], Plan] = unrevised,
) -> Iterator[Event]:
    """Train `network` in place as `plan` says, on the plan's device; yield events as they happen.

    Order, flips and dropout are functions of the seed and the step: the same plan gives the same weights on the same
    processor and thread count, whether it runs through or stops and goes on from a state. PyTorch's global generator is
    seeded at each step.

    Args:
        network: any module that gives scores; it is put on the plan's device, channels-last.
        train: images to learn from.
        validation: images to validate on at each epoch's end.
        plan: what to do.
        state: a `State`'s content, to go on from there.
        revise: called at each epoch's end but the last with the plan and the epoch; gives the plan to go on with, in
            which what is done stays as it is.

    Raises:
        RunError: the state is of another network.

    """
    recipe, device = plan.recipe, torch.device(plan.device)
    keep_freed_memory()
    network.to(device)
    channels_last(network)
    images, labels = train.images.to(device), train.labels.to(device)
    optimiser = Optimiser(network, recipe, plan.precision)
    watch = Watch(plan)
    step, seconds = 0, 0.0  # steps made in the whole plan, and seconds that those of this epoch took
    total = torch.zeros(2, device=device)  # loss and hits, summed over this epoch's steps
    if state is not None:
        try:
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            step, seconds = state["step"], state["seconds"]
            total.copy_(state["total"])
            vars(watch).update(state["watch"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError("the state is of another network than the plan's: was plan.json changed?") from error

    def now() -> State:
        """Take the state behind the step made last."""
        kept = {name: value for name, value in vars(watch).items() if name != "plan"}
        content = {"step": step, "seconds": seconds, "total": total, "watch": kept}
        return State(step, content | {"network": network.state_dict(), "optimiser": optimiser.state_dict()})

    for epoch in range(1, plan.epochs + 1):
        size, begin = plan.sizes[epoch - 1], sum(plan.steps_by_epoch[: epoch - 1])
        end = begin + plan.steps_by_epoch[epoch - 1]
        if step >= end:
            continue
        network.train()
        views = order(plan, epoch, len(train)).to(device)
        seen, at_last_look = step - begin, total[0].item()
        looked = saved = time.perf_counter()
        for index, *variation in views.steps(seen):
            torch.manual_seed(mixed(plan.seed, step))
            pictures = varied(images[index], *variation)
            with autocast(device, plan.precision):
                output = network(prepare(pictures, size, plan.mean, plan.std)).float()
            loss = F.cross_entropy(output, labels[index], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step(plan.rate(step + 0.5))
            step += 1
            with torch.no_grad():
                total += torch.stack([loss, (output.argmax(1) == labels[index]).float().mean()])

            if device.type != "cpu" and step % STEPS_PER_LOOK and step < end:
                continue
            sum_of_losses, made = total[0].item(), step - begin - seen
            took = time.perf_counter() - looked
            seconds += took
            mean_loss = (sum_of_losses - at_last_look) / made
            trouble = watch.look(epoch, step, mean_loss, made, output)
            if trouble:
                yield trouble
                if trouble.kind == "dead":
                    return
            yield Step(epoch, step, mean_loss, made * recipe.batch_size / took)
            if step < end and time.perf_counter() - saved > SECONDS_PER_STATE:
                yield now()
                saved = time.perf_counter()
            # The listener's time is its own.
            seen, at_last_look, looked = step - begin, sum_of_losses, time.perf_counter()

        train_loss, train_accuracy = (total / (end - begin)).tolist()
        found = scores(network, validation.images, size, plan.mean, plan.std, plan.precision)
        held_out = evaluate(found, validation.labels, recipe.label_smoothing)
        speed = (end - begin) * recipe.batch_size / seconds
        ended = Epoch(epoch, size, train_loss, train_accuracy, held_out.loss, held_out.accuracy, speed, seconds)
        yield ended
        if not math.isfinite(held_out.loss):
            yield watch.not_finite(epoch, step, held_out.loss)
            return
        total.zero_()
        seconds = 0.0
        yield now()
        if epoch < plan.epochs:
            revised = revise(plan, ended)
            if revised != plan:
                plan = watch.plan = revised
                yield Revision(plan)


class Watch:
    """Sees whether a run is dead or stalled. `look` is given each loss and the batch's scores, in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chance = math.log(plan.classes)
        self.total, self.steps = 0.0, 0  # the losses of the present window, and how many steps they are of
        self.warned = False
        self.cure = "Try another seed" + ("." if plan.recipe.name == "quick" else ", or the recipe quick.")

    def look(self, epoch: int, step: int, loss: float, steps: int, scores: Tensor) -> Trouble | None:
        """Say what is wrong after `step`, if anything is; `loss` is the mean over the last `steps`."""
        if not math.isfinite(loss):
            return self.not_finite(epoch, step, loss)
        if not scores.any():
            return Trouble(
                "dead", epoch, step,
                f"every score of the batch in step {step} is exactly zero: the last ReLU lets nothing through, "
                f"no gradient comes back, and the accuracy stays at chance. {self.cure}",
            )  # fmt: skip
        if step > self.plan.warm_up_steps and not self.warned:
            self.total, self.steps = self.total + loss * steps, self.steps + steps
            if self.steps >= STALL_WINDOW:
                mean, window = self.total / self.steps, self.steps
                self.total, self.steps = 0.0, 0
                if abs(mean - self.chance) < STALL_MARGIN:
                    self.warned = True
                    return Trouble(
                        "stalled", epoch, step,
                        f"the loss has stood at ln({self.plan.classes}) = {self.chance:.3f}, which is guessing, for "
                        f"{window} steps: the network does not learn yet and may never. {self.cure}",
                    )  # fmt: skip
        return None

    def not_finite(self, epoch: int, step: int, loss: float) -> Trouble:
        """Say that the loss is no number any more."""
        message = f"the loss became {loss} in step {step}: the steps were too large for these weights. {self.cure}"
        return Trouble("dead", epoch, step, message)


def mixed(seed: int, step: int) -> int:
    """Mix seed and step into one number for a generator, so that (0, 2) and (1, 1) share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
