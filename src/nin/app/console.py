"""How does it look while it runs? A live progress bar on a terminal, plain lines elsewhere; tables."""

import sys
import time
from pathlib import Path
from types import TracebackType

from rich import progress
from rich.console import Console
from rich.table import Table

from nin.app.streams import mute
from nin.device import usable_threads
from nin.text import duration
from nin.training.events import Event, Revision, State, Step, Trouble, Validation
from nin.training.fit import Training

SECONDS_BETWEEN_LINES = 10  # where there is no terminal to draw a bar on
WIDTH = 300  # of tables, where no terminal sets one


class Progress:
    """Shows a training as it runs, in a `with` block: on a live bar, or as plain lines where there is no terminal."""

    def __init__(self) -> None:
        console = Console()
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} images/s "),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            console=console,
            disable=not console.is_terminal or console.is_dumb_terminal,
            transient=True,
        )
        self.last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def print(self, line: str) -> None:
        """Print a line, above the bar if there is one; where nobody reads it, the training goes on all the same."""
        if not self.bar.disable:
            self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            return
        try:
            print(line, flush=True)
        except OSError:
            mute()

    def start(self, training: Training, folder: Path) -> None:
        """Print what will be done, and where."""
        self.training = training
        plan = training.plan
        recipe = plan.recipe
        self.print(
            f"{recipe.network} with the recipe {recipe.name}: {recipe.epochs:.3g} epochs at "
            f"{recipe.size}x{recipe.size}, seed {plan.seed}, {plan.device} in {plan.precision}; writing to {folder}"
        )
        if plan.minutes is not None and recipe.epochs >= recipe.max_epochs:
            self.print(f"The recipe stops at {recipe.epochs:g} epochs, before the {plan.minutes:g} minutes are used.")
        if plan.minutes is not None and recipe.epochs < 1:
            self.print(f"{plan.minutes:g} minutes are less than one epoch here; expect a lower accuracy.")
        if plan.threads > usable_threads():
            self.print(
                f"The plan is for {plan.threads} threads and this machine has {usable_threads()}: it trains with "
                "those, and the weights may differ in their last bits."
            )
        self.task = self.bar.add_task("epoch 0", total=plan.steps, loss=float("nan"), speed=0.0)

    def show(self, event: Event) -> None:
        """Show one event."""
        plan = self.training.plan
        of_epochs = f"{self.training.epochs_of(plan.steps):.3g}"
        match event:
            case Step(step, epoch, loss, speed):
                name = f"epoch {epoch:.2f}/{of_epochs}"
                self.bar.update(self.task, description=name, completed=step, loss=loss, speed=speed)
                now = time.monotonic()
                if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
                    self.last_line = now
                    left = duration((plan.steps - step) * plan.recipe.batch_size / speed)
                    self.print(f"{name}, step {step}/{plan.steps}: loss {loss:.3f}, {speed:,.0f} images/s, {left} left")
            case Validation():
                self.print(
                    f"epoch {event.epoch:.2f}/{of_epochs}: "
                    f"train loss {event.train_loss:.3f}, accuracy {event.train_accuracy:.4f}; "
                    f"validation loss {event.validation_loss:.3f}, accuracy {event.validation_accuracy:.4f}; "
                    f"{event.images_per_second:,.0f} images/s, {duration(event.seconds)}"
                )
            case Revision():
                before = self.bar.tasks[self.task].total or 0
                self.bar.update(self.task, total=plan.steps)
                slower = "slower" if plan.steps < before else "faster"
                self.print(f"This machine is {slower} than measured: the plan now has {plan.steps} steps.")
            case State():
                pass
            case Trouble(kind="interrupted"):
                self.print(f"{event.message} Evaluation and report follow in a moment.")
            case Trouble():
                self.print(f"This run is {event.kind}: {event.message}")


def print_table(table: Table) -> None:
    """Print a table, as wide as it needs where no terminal sets a width."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
