"""How is a network trained? One loop over any module, as a generator of events; it prints and writes nothing."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nin.data import LabelledImages
from nin.errors import OptionError
from nin.evaluation import autocast, evaluate, scores
from nin.preprocessing import channels_last, prepare
from nin.recipe import Plan

STALL_WINDOW = 100  # steps over which the loss must have left ln(classes)
STALL_MARGIN = 0.01  # nats
STEPS_PER_LOOK = 20  # how often an accelerator is asked for its loss: every look waits for it


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


Event = Step | Epoch | Trouble


def fit(network: nn.Module, train: LabelledImages, validation: LabelledImages, plan: Plan) -> Iterator[Event]:
    """Train `network` in place as `plan` says, on the plan's device; yield events as they happen.

    Order and dropout are functions of (plan.seed, epoch): the same plan gives the same weights on the same processor
    and thread count. PyTorch's global generator is seeded at each epoch's start. The ragged end of an epoch is left
    out; another order leaves out others the next time.

    Raises:
        OptionError: the plan was resolved for more training images than there are.

    """
    recipe, device = plan.recipe, torch.device(plan.device)
    needed = plan.steps_per_epoch * recipe.batch_size
    if len(train) < needed:
        raise OptionError(
            f"the plan takes {needed} training images an epoch, and there are {len(train)}: resolve another"
        )
    network.to(device)
    channels_last(network)
    images, labels = train.images.to(device), train.labels.to(device)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
    watch = Watch(plan)
    for epoch, size in enumerate(plan.sizes, start=1):
        torch.manual_seed(mixed(plan.seed, epoch))
        network.train()
        began = looked = time.perf_counter()
        total = torch.zeros(2, device=device)  # loss and hits, summed over the epoch's steps
        seen, at_last_look = 0, 0.0
        for index, batch in enumerate(order(plan, epoch, len(train)).to(device), start=1):
            step = (epoch - 1) * plan.steps_per_epoch + index
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate(step - 1)
            with autocast(device, plan.precision):
                output = network(prepare(images[batch], size, plan.mean, plan.std)).float()
            loss = F.cross_entropy(output, labels[batch], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                total += torch.stack([loss, (output.argmax(1) == labels[batch]).float().mean()])

            if device.type != "cpu" and step % STEPS_PER_LOOK and index < plan.steps_per_epoch:
                continue
            sum_of_losses, now = total[0].item(), time.perf_counter()
            mean_loss = (sum_of_losses - at_last_look) / (index - seen)
            trouble = watch.look(epoch, step, mean_loss, index - seen, output)
            if trouble:
                yield trouble
                if trouble.kind == "dead":
                    return
            yield Step(epoch, step, mean_loss, (index - seen) * recipe.batch_size / (now - looked))
            seen, at_last_look, looked = index, sum_of_losses, time.perf_counter()  # the listener's time is its own

        seconds = time.perf_counter() - began
        train_loss, train_accuracy = (total / plan.steps_per_epoch).tolist()
        found = scores(network, validation.images, size, plan.mean, plan.std, plan.precision)
        held_out = evaluate(found, validation.labels, recipe.label_smoothing)
        speed = plan.steps_per_epoch * recipe.batch_size / seconds
        yield Epoch(epoch, size, train_loss, train_accuracy, held_out.loss, held_out.accuracy, speed, seconds)
        if not math.isfinite(held_out.loss):
            yield watch.not_finite(epoch, epoch * plan.steps_per_epoch, held_out.loss)
            return


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


def order(plan: Plan, epoch: int, images: int) -> Tensor:
    """Give the epoch's batches of indices, (steps, batch size), a function of (seed, epoch) alone."""
    shuffled = np.random.default_rng([plan.seed, epoch]).permutation(images)
    used = plan.steps_per_epoch * plan.recipe.batch_size
    return torch.from_numpy(shuffled[:used]).view(plan.steps_per_epoch, plan.recipe.batch_size)


def mixed(seed: int, epoch: int) -> int:
    """Mix seed and epoch into one number for a generator, so that (0, 2) and (1, 1) share nothing."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
