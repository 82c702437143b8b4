"""How does a training look while it goes? A live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from nin.plan import Plan
from nin.recipe import LONGEST
from nin.report import duration
from nin.training import Epoch, Event, Revision, State, Step, Trouble

SECONDS_BETWEEN_LINES = 10  # where there is no terminal to draw a bar on


def progress_bar() -> Progress:
    """Make a live bar with loss, images/s and time left; on what is no terminal it is disabled and shows nothing."""
    console = Console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} images/s "),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal or console.is_dumb_terminal,
        transient=True,
    )


class Show:
    """Shows a run as it goes: on a live bar, or as plain lines where that is disabled.

    `mute` is called once nobody reads the lines any more.
    """

    def __init__(self, bar: Progress, mute: Callable[[], None]) -> None:
        self.bar, self.mute = bar, mute
        self.last_line = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one; where nobody reads it, the training goes on all the same."""
        if not self.bar.disable:
            self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            return
        try:
            print(line, flush=True)
        except OSError:
            self.mute()

    def start(self, plan: Plan, folder: Path) -> None:
        """Say what will be done, and where."""
        self.plan = plan
        sizes = ", then ".join(f"{size}x{size}" for size in dict.fromkeys(plan.sizes))
        self.say(
            f"{plan.recipe.network} by the recipe {plan.recipe.name}: {plan.recipe.epochs:.3g} times through the "
            f"images at {sizes}, seed {plan.seed}, {plan.device} in {plan.precision}; writing to {folder}"
        )
        if plan.minutes is not None and plan.recipe.epochs >= LONGEST.get(plan.recipe.name, float("inf")):
            self.say(f"The recipe cannot use {plan.minutes:g} minutes: it ends earlier, at its longest schedule.")
        if plan.minutes is not None and plan.recipe.epochs < 1:
            self.say(f"{plan.minutes:g} minutes are not enough to see each image once; expect less of this run.")
        self.task = self.bar.add_task("epoch 1", total=plan.steps, loss=float("nan"), speed=0.0)

    def event(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Step(epoch, step, loss, speed):
                name = f"epoch {epoch}/{self.plan.epochs}"
                self.bar.update(self.task, description=name, completed=step, loss=loss, speed=speed)
                now = time.monotonic()
                if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
                    self.last_line = now
                    left = duration((self.plan.steps - step) * self.plan.recipe.batch_size / speed)
                    self.say(
                        f"{name}, step {step}/{self.plan.steps}: loss {loss:.3f}, {speed:,.0f} images/s, {left} left"
                    )
            case Epoch():
                self.say(
                    f"epoch {event.epoch}/{self.plan.epochs} at {event.size}x{event.size}: "
                    f"train loss {event.train_loss:.3f}, accuracy {event.train_accuracy:.4f}; "
                    f"validation loss {event.validation_loss:.3f}, accuracy {event.validation_accuracy:.4f}; "
                    f"{event.images_per_second:,.0f} images/s, {duration(event.seconds)}"
                )
            case Revision(plan):
                slower = plan.steps < self.plan.steps
                self.plan = plan
                self.bar.update(self.task, total=plan.steps)
                self.say(
                    f"This machine is {'slower' if slower else 'faster'} than measured: {plan.steps} steps in all now."
                )
            case State():
                pass
            case Trouble("interrupted"):
                self.say(f"{event.message} The evaluation and the report of it follow in a moment.")
            case Trouble(kind):
                self.say(f"This run is {kind}: {event.message}")
