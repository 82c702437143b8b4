"""How is a network trained? One loop over any module, as a generator of events; it prints and writes nothing."""

import math
import time
from collections.abc import Callable, Iterator

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nin.data.images import LabelledImages
from nin.device import autocast, keep_freed_memory, on_device_if_it_fits, usable_threads
from nin.distributed import is_main, processes, rank, share, share_flags, total
from nin.errors import RunError
from nin.metrics import top1_accuracy
from nin.networks.forward import channels_last, compute_logits
from nin.training import data_parallel
from nin.training.augmentation import Views, augment, views_of_steps
from nin.training.events import Event, Revision, State, Step, Trouble, Validation
from nin.training.health import Health, not_finite, undertrained
from nin.training.optimizer import Optimizer
from nin.training.plan import Plan

STEPS_PER_SYNC = 20  # how often an accelerator is asked for its loss: each time it has to finish what it was given
SECONDS_PER_STATE = 60  # how often there is a state to resume from

Revise = Callable[[Plan, int, float], Plan]


def keep_plan(plan: Plan, step: int, seconds: float) -> Plan:
    """Return the plan as it is."""
    return plan


class Training:
    """A training from its first step, or from a state, to the plan's last: the one owner of all that changes in it.

    One training at a time in a process: it seeds PyTorch's global generator at each step. Order, augmentation and
    dropout are functions of the seed and the step: the same plan gives the same weights on the same processor, whether
    it runs through or is resumed from a state.

    Args:
        network: any module that returns logits; trained in place, on the plan's device, channels-last.
        train: images to train on.
        validation: images to validate on after each interval.
        plan: what to do.
        state: a `State` to resume from.
        started, clock: when the run began, by a clock that gives seconds; default: now, by `time.monotonic`.

    Raises:
        RunError: the state is of another network.

    """

    def __init__(
        self,
        network: nn.Module,
        train: LabelledImages,
        validation: LabelledImages,
        plan: Plan,
        state: State | None = None,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.network, self.validation = plan, network, validation
        self.clock = clock
        self.started = clock() if started is None else started
        self.device = torch.device(plan.device)
        keep_freed_memory()
        channels_last(network.to(self.device))
        self.forward = data_parallel.distributed_module(network, plan)
        self.images = on_device_if_it_fits(train.images, self.device)
        self.labels = train.labels.to(self.device)
        self.optimizer = Optimizer(network, plan.recipe, plan.precision)
        self.health = Health()
        self.step = 0  # steps taken in the whole plan
        self.seconds = 0.0  # of the steps since the training began or was resumed
        self.interval_seconds = 0.0
        self.interval_totals = torch.zeros(2, dtype=torch.float32, device=self.device)  # loss, accuracy
        self.validations: list[Validation] = []
        self.troubles: list[Trouble] = []
        if state is not None:
            self._restore(state)

    @property
    def epoch(self) -> float:
        """Passes through the training images so far."""
        return self.epochs_of(self.step)

    def epochs_of(self, steps: int) -> float:
        """Return how many epochs `steps` steps are."""
        return steps * self.plan.recipe.batch_size / len(self.images)

    def fit(self, revise: Revise = keep_plan) -> Iterator[Event]:
        """Train to the end of the plan, or until the network is dead, and yield events as they happen.

        Args:
            revise: called after each `Step` event with the plan, the steps taken, and the seconds that the steps of
                this process took; returns the plan to continue with, whose past is unchanged.

        """
        while self.step < self.plan.steps:
            for event in self._train_interval(revise):
                yield event
                if isinstance(event, Trouble) and event.kind == "dead":
                    return
            validation = self._validate()
            yield validation
            if not math.isfinite(validation.validation_loss):
                yield self._note(not_finite(self.plan, self.step, validation.validation_loss))
                return
            yield self.state()
            if self.step < self.plan.steps:
                yield from self._revise(revise)
        if trouble := undertrained(self.plan, self.step, self.epoch):
            yield self._note(trouble)

    def interrupt(self) -> Trouble:
        """Note that the training was stopped from outside after its last step."""
        after = f"Ctrl-C stopped the training after step {self.step} of {self.plan.steps}"
        return self._note(Trouble("interrupted", self.step, f"{after}; the model is saved as it was then."))

    def state(self) -> State:
        """Return the state after the last step."""
        return State(
            step=self.step,
            interval_seconds=self.interval_seconds,
            interval_totals=total(self.interval_totals),
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            health=dict(vars(self.health)),
            validations=msgspec.to_builtins(self.validations),
            troubles=msgspec.to_builtins(self.troubles),
            elapsed=self.clock() - self.started,
            buffers=data_parallel.buffers_of_all(self.network),
        )

    def _restore(self, state: State) -> None:
        try:
            self.network.load_state_dict(state.network)
            self.optimizer.load_state_dict(state.optimizer)
            self.step, self.interval_seconds = state.step, state.interval_seconds
            self.interval_totals.copy_(state.interval_totals * is_main())  # they are of all processes
            data_parallel.restore_buffers(self.network, state.buffers)
            vars(self.health).update(state.health)
            if not 0 <= self.step <= self.plan.steps:
                raise ValueError(self.step)
            self.validations = msgspec.convert(state.validations, list[Validation])
            self.troubles = msgspec.convert(state.troubles, list[Trouble])
        except (KeyError, TypeError, ValueError, RuntimeError, msgspec.ValidationError) as error:
            raise RunError(
                "the state does not belong to this plan: restore plan.json, or train its plan anew (--plan)"
            ) from error

    def _train_interval(self, revise: Revise) -> Iterator[Event]:
        """Take the steps of one interval that are still to be taken."""
        self.network.train()
        begin, end = self.plan.interval_at(self.step)
        views = self._views(end)
        steps_at_sync, total_at_sync = self.step, total(self.interval_totals)[0].item()
        synced = saved = self.clock()
        while self.step < end:
            logits = self._train_step(next(views))
            if self.device.type != "cpu" and self.step % STEPS_PER_SYNC and self.step < end:
                continue
            agreed, made = data_parallel.agree(self.interval_totals[0], logits), self.step - steps_at_sync
            seconds = max(self.clock() - synced, 1e-6)  # a clock of Windows stands still for 16 ms
            self.interval_seconds += seconds
            self.seconds += seconds
            loss = (agreed.total - total_at_sync) / made
            trouble = self.health.check(self.plan, self.step, loss, made, agreed.alive)
            if trouble:
                yield self._note(trouble)
                if trouble.kind == "dead":
                    return
            yield Step(self.step, self.epoch, loss, made * self.plan.recipe.batch_size / seconds)
            if agreed.interrupted:
                raise KeyboardInterrupt
            if self.step < end:
                for revision in self._revise(revise):
                    _, end = revision.plan.interval_at(begin)
                    views = self._views(end)
                    yield revision
                if share_flags(self.clock() - saved > SECONDS_PER_STATE)[0]:
                    yield self.state()
                    saved = self.clock()
            # What the receiver of the events does is not part of the training's time.
            steps_at_sync, total_at_sync, synced = self.step, agreed.total, self.clock()

    def _revise(self, revise: Revise) -> Iterator[Revision]:
        """Go on with the plan that `revise` returns; yield it if it is another one."""
        revised = revise(self.plan, self.step, self.seconds) if is_main() else self.plan
        if share_flags(revised is not self.plan)[0]:
            self.plan = share(revised)
            yield Revision(self.plan)

    def _views(self, end: int) -> Iterator[Views]:
        """Yield what the steps up to `end` see."""
        return views_of_steps(self.plan, self.step, end, len(self.images)).to(self.device).steps()

    def _train_step(self, views: Views) -> Tensor:
        """Take one optimizer step on the images that `views` names, and return the logits of this process's share."""
        plan = self.plan
        views = views.share(rank(), processes())
        if plan.thread_changes:
            torch.set_num_threads(min(plan.threads_at(self.step), usable_threads()))
        torch.manual_seed(data_parallel.seed_for_step(plan.seed, self.step, rank()))
        images = self.images[views.index.to(self.images.device)].to(self.device)
        images = augment(images, views, plan.recipe, plan.preprocessing.mean)
        labels = self.labels[views.index]
        with autocast(self.device, plan.precision):
            logits = self.forward(plan.preprocessing(images)).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=plan.recipe.label_smoothing)
        part = len(labels) / plan.recipe.batch_size  # of the batch: processes may have an image more than others
        self.optimizer.zero_grad()
        (loss * (part * processes())).backward()  # gradients are averaged over the processes
        self.optimizer.step(plan.learning_rate_factor(self.step + 0.5))
        self.step += 1
        with torch.no_grad():
            self.interval_totals += part * torch.stack([loss, (logits.argmax(1) == labels).float().mean()])
        return logits

    def _validate(self) -> Validation:
        """Validate the network after an interval, and begin the next."""
        plan, labels = self.plan, self.validation.labels.to(self.device)
        steps = self.step - plan.interval_at(self.step - 1)[0]
        train_loss, train_accuracy = (total(self.interval_totals) / steps).tolist()
        data_parallel.average_buffers(self.network)
        logits = compute_logits(self.network, self.validation.images, plan.preprocessing, plan.precision)
        loss = F.cross_entropy(logits, labels, label_smoothing=plan.recipe.label_smoothing).item()
        validation = Validation(
            step=self.step,
            epoch=self.epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=loss,
            validation_accuracy=top1_accuracy(logits, labels),
            images_per_second=steps * plan.recipe.batch_size / self.interval_seconds,
            seconds=self.interval_seconds,
        )
        self.validations.append(validation)
        self.interval_totals.zero_()
        self.interval_seconds = 0.0
        return validation

    def _note(self, trouble: Trouble) -> Trouble:
        self.troubles.append(trouble)
        return trouble
