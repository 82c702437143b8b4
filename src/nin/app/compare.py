"""How is `nin compare` carried out? Trains networks cell after cell, shows which one runs, and writes the page."""

import os
import shlex
import sys
import time
from pathlib import Path

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nin.app.console import print_table
from nin.app.options import Compare
from nin.data.load import NAMED
from nin.runs.comparing.cell import Cell, Outcome, Progress, Settings
from nin.runs.comparing.compare import Watcher, compare
from nin.runs.comparing.comparison_page import write_page
from nin.runs.comparing.table import rows_of
from nin.runs.environment import machine
from nin.text import duration

NETWORKS = ("lenet", "alexnet", "vgg", "nin", "nin-2013", "googlenet", "resnet18")
MINUTES = 5.0
FOLDER = Path("runs/comparison")


def main(options: Compare) -> int:
    """Compare networks, and print the table and where the page is."""
    epochs, minutes = options.epochs, options.minutes
    minutes = MINUTES if minutes is None and epochs is None else minutes
    is_path = options.data not in NAMED and os.path.exists(options.data)  # noqa: PTH110 - it may be no valid path
    source = os.path.abspath(options.data) if is_path else options.data  # noqa: PTH100
    settings = Settings(source, minutes, epochs, options.size)
    folder = options.out or FOLDER
    with Display(settings) as display:
        watcher = Watcher(display.begin, display.advance, display.end)
        networks, rates = options.networks or NETWORKS, options.learning_rates
        outcomes = compare(networks, settings, options.seeds, rates, options.batch_norm, folder, watcher)
    page = write_page(folder, settings, outcomes, machine(shlex.join(["nin", *sys.argv[1:]])))
    table = Table("network", "validation", "test", "to 0.90", "parameters", "multiply-adds", "images/s")
    for row in rows_of(outcomes):
        title = row.title if row.batch_norm else f"{row.title} without batch norm"
        if row.validation is None:
            table.add_row(Text(title), Text(f"not trained: {'; '.join(row.troubles)}"))
            continue
        spread = [
            "–" if mean is None else f"{mean:.4f}" + (f" ± {half:.4f}" if half is not None else "")
            for mean, half in ((row.validation, row.validation_interval), (row.test, row.test_interval))
        ]
        reached = "–" if row.seconds_to_target is None else duration(row.seconds_to_target)
        speed = "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}"
        table.add_row(Text(title), *spread, reached, f"{row.parameters:,}", f"{row.multiply_adds:,}", speed)
    print_table(table)
    print(f"page {page}")
    return 0 if any(outcome.trained for outcome in outcomes.values()) else 1


class Display:
    """Shows which cell runs and how long the rest will take: on a live bar, or as lines without a terminal."""

    def __init__(self, settings: Settings) -> None:
        console = Console()
        self.settings = settings
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal or console.is_dumb_terminal,
            transient=True,
        )
        self.took: list[float] = []

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def begin(self, cell: Cell, left: int) -> None:
        """Say which cell is trained, and how long all that are left will take."""
        self.began = time.monotonic()
        seconds = sum(self.took) / len(self.took) if self.took else 60 * (self.settings.minutes or 0)
        about = f", about {duration(left * seconds)} left" if seconds else ""
        self._print(f"{_in_words(cell)}: {left} {'training' if left == 1 else 'trainings'} to go{about}")
        self.task = self.bar.add_task(_in_words(cell), total=1, figures="")

    def advance(self, how_far: Progress) -> None:
        """Show how far the cell is."""
        self.bar.update(self.task, completed=how_far.done, figures=f"loss {how_far.loss:.3f}")

    def end(self, cell: Cell, outcome: Outcome) -> None:
        """Say what came of the cell."""
        seconds = time.monotonic() - self.began
        self.bar.remove_task(self.task)
        trained = outcome.trained
        if trained is None:
            self._print(f"{_in_words(cell)} failed: {outcome.failed}")
            return
        self.took.append(seconds)
        dead = "" if trained.ended == "finished" else f" ({trained.ended}: {'; '.join(trained.troubles)})"
        self._print(
            f"{_in_words(cell)}: validation accuracy {trained.validation_accuracy:.4f} after {trained.epochs:.3g} "
            f"epochs, {duration(seconds)}{dead}"
        )

    def _print(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _in_words(cell: Cell) -> str:
    norm = "" if cell.batch_norm else " without batch norm"
    return f"{cell.network}{norm}, learning rates x {cell.factor:g}, seed {cell.seed}"
