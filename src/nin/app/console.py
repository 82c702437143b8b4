"""How does it look while it runs? A live progress bar on a terminal, plain lines elsewhere; tables."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich import progress
from rich.console import Console
from rich.table import Table

from nin.app.streams import mute
from nin.data.auditing.audit import Finding
from nin.device import usable_threads
from nin.text import duration
from nin.training.events import Event, Revision, State, Step, Trouble, Validation
from nin.training.fit import Training

SECONDS_BETWEEN_LINES = 10  # where there is no terminal to draw a bar on
WORTH_A_LINE = 0.2  # relative change in the number of steps that is worth a line
WIDTH = 300  # of tables, where no terminal sets one


class Progress:
    """Shows reading and training as they run, in a `with` block: on live bars, or as plain lines without a terminal.

    What is not the command's result goes to stderr where `stderr` says so, as for commands that print JSON.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        time_left = (progress.TimeRemainingColumn(), progress.TextColumn("left"))
        self.bar = live_bar(Console(stderr=stderr), *time_left)
        self.last_line = time.monotonic()
        self.reading: dict[str, progress.TaskID] = {}

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def print(self, line: str) -> None:
        """Print a line, above the bar if there is one; where nobody reads it, the training goes on all the same."""
        print_above(self.bar, line)

    def read(self, what: str, done: int, total: int) -> None:
        """Show how far the reading of data is; a total of 0 is not known yet."""
        figures = f"{done:,} of {total:,}" if total else f"{done:,}"
        if what not in self.reading:
            self.reading[what] = self.bar.add_task(what, total=total or None, figures=figures)
        task = self.reading[what]
        self.bar.update(task, completed=done, total=total or None, figures=figures, visible=not done == total > 0)
        now = time.monotonic()
        if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.print(f"{what}: {figures}")

    def found(self, findings: Sequence[Finding]) -> None:
        """Print what is wrong with the data, and leave notes to `nin data`; an error is printed when it is raised."""
        for finding in findings:
            if finding.severity == "warning":
                self.print(f"{finding.severity}: {finding.text}")

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
            self.print(f"The recipe stops at {recipe.epochs:g} epochs, before the minutes are used.")
        if plan.minutes is not None and recipe.epochs < 1:
            self.print("There is time for less than one epoch here; expect a lower accuracy.")
        if plan.threads > usable_threads():
            self.print(
                f"The plan is for {plan.threads} threads and this machine has {usable_threads()}: it trains with "
                "those, and the weights may differ in their last bits."
            )
        self.steps = plan.steps
        self.task = self.bar.add_task("epoch 0", total=plan.steps, figures="")

    def show(self, event: Event) -> None:
        """Show one event."""
        plan = self.training.plan
        of_epochs = f"{self.training.epochs_of(plan.steps):.3g}"
        match event:
            case Step(step, epoch, loss, speed):
                name = f"epoch {epoch:.2f}/{of_epochs}"
                figures = f"loss {loss:.3f}  {speed:,.0f} images/s "
                self.bar.update(self.task, description=name, completed=step, figures=figures)
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
                self.bar.update(self.task, total=plan.steps)
                if abs(plan.steps / self.steps - 1) > WORTH_A_LINE:
                    slower = "slower" if plan.steps < self.steps else "faster"
                    self.steps = plan.steps
                    self.print(f"This machine has become {slower}: the plan now has {plan.steps} steps.")
            case State():
                pass
            case Trouble(kind="interrupted"):
                self.print(f"{event.message} Evaluation and report follow in a moment.")
            case Trouble():
                self.print(f"This run is {event.kind}: {event.message}")


def live_bar(console: Console, *more: progress.ProgressColumn) -> progress.Progress:
    """Return a bar with description, figures and `more` columns; where there is no terminal, it is disabled."""
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[figures]}"),
        *more,
        console=console,
        disable=not console.is_terminal or console.is_dumb_terminal,
        transient=True,
        redirect_stdout=False,  # results that are printed while the bar is there are not its own
    )


def print_above(bar: progress.Progress, line: str) -> None:
    """Print a line above a bar, or plainly where there is none; where nobody reads it, the work goes on."""
    if not bar.disable:
        bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    try:
        print(line, file=bar.console.file, flush=True)
    except OSError:
        mute("stderr" if bar.console.stderr else "stdout")


def print_table(table: Table) -> None:
    """Print a table, as wide as it needs where no terminal sets a width."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
