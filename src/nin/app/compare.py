"""How is `nin compare` carried out? Trains networks cell after cell, shows which one runs, and keeps the page."""

import os
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nin.app.console import live_bar, print_above, print_table
from nin.app.options import Compare
from nin.data.load import NAMED
from nin.data.sources.huggingface import local_path
from nin.distributed import is_main, join
from nin.networks.registry import NETWORKS
from nin.runs.comparing.cell import Cell, Outcome, Outcomes, Progress, Settings
from nin.runs.comparing.compare import Watcher, compare, read_outcomes
from nin.runs.comparing.comparison_page import write_page
from nin.runs.comparing.plan import Plan
from nin.runs.comparing.table import TARGET, Row, mean_and_interval, rows_of
from nin.runs.environment import machine
from nin.runs.train import MINUTES
from nin.stopping import naming_who_left
from nin.text import duration

FOLDER = Path("runs/comparison")


@naming_who_left()
def main(options: Compare) -> int:
    """Compare networks, and print the table and where the page is; return 1 if not one of them could be trained."""
    minutes = MINUTES if options.minutes is None and options.epochs is None else options.minutes
    source, here = options.data, local_path(options.data.removeprefix("hf:"))
    if source not in NAMED and here is not None:
        path = os.path.abspath(here)  # noqa: PTH100 - Path.resolve would follow links
        source = f"hf:{path}" if source.startswith("hf:") else path
    settings = Settings(source, minutes, options.epochs, options.size, options.augmentation)
    plan = Plan(options.networks or tuple(NETWORKS), options.seeds, options.learning_rates, options.batch_norm)
    join("cpu")  # the trainings themselves are processes of their own
    folder, environment = options.out or FOLDER, machine(shlex.join(["nin", *sys.argv[1:]]))

    def keep(outcome: Outcome) -> None:
        """Show what came of a training, and write the page with it."""
        display.end(outcome)
        if is_main():
            write_page(folder, settings, in_order(read_outcomes(folder, plan.networks), plan), environment)

    with Display(settings) as display:
        compare(plan, settings, folder, Watcher(display.begin, display.advance, keep))
    outcomes = in_order(read_outcomes(folder, plan.networks), plan)
    if not is_main():
        return 0
    page = write_page(folder, settings, outcomes, environment)
    _print_rows(rows_of(outcomes))
    print(f"page {page}")
    return 0 if any(outcome.trained for cell, outcome in outcomes.items() if cell.network in plan.networks) else 1


def in_order(outcomes: Outcomes, plan: Plan) -> Outcomes:
    """Return what came of the cells with the networks in the order of the plan, and those of earlier ones behind."""
    place = {network: number for number, network in enumerate(plan.networks)}
    return dict(sorted(outcomes.items(), key=lambda item: place.get(item[0].network, len(place))))


def _print_rows(rows: list[Row]) -> None:
    table = Table(
        "network", "validation", "test", f"time to {TARGET:.2f}", "parameters", "multiply-adds", "training images/s"
    )
    for row in rows:
        title = Text(row.title if row.batch_norm else f"{row.title} without batch norm")
        if row.validation is None:
            table.add_row(title, Text(f"not trained: {'; '.join(row.troubles)}"))
            continue
        accuracies = (
            mean_and_interval(row.validation, row.validation_interval) + (" (see the page)" if row.troubles else ""),
            mean_and_interval(row.test, row.test_interval),
        )
        reached = "–" if row.seconds_to_target is None else duration(row.seconds_to_target)
        speed = "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}"
        table.add_row(title, *accuracies, reached, f"{row.parameters:,}", f"{row.multiply_adds:,}", speed)
    print_table(table)


class Display:
    """Shows which cell runs and how long the rest will take: on a live bar, or as lines without a terminal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bar = live_bar(Console(force_terminal=None if is_main() else False))  # one bar on a terminal
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
        trainings = "training" if left == 1 else "trainings"
        print_above(self.bar, f"{_in_words(cell)}: {left} {trainings} to go{about}")
        self.task = self.bar.add_task(_in_words(cell), total=1, figures="")

    def advance(self, how_far: Progress) -> None:
        """Show how far the cell is."""
        self.bar.update(self.task, completed=how_far.done, figures=f"loss {how_far.loss:.3f}")

    def end(self, outcome: Outcome) -> None:
        """Say what came of the cell."""
        seconds = time.monotonic() - self.began
        self.bar.remove_task(self.task)
        trained, name = outcome.trained, _in_words(outcome.cell)
        if trained is not None:
            self.took.append(seconds)
            died = "" if trained.ended == "finished" else f" (the training died: {'; '.join(trained.troubles)})"
            print_above(
                self.bar,
                f"{name}: validation accuracy {trained.validation_accuracy:.4f} after {trained.epochs:.3g} epochs, "
                f"{duration(seconds)}{died}",
            )
        if outcome.failed is not None:
            print_above(self.bar, f"{name} failed: {outcome.failed}")


def _in_words(cell: Cell) -> str:
    norm = "" if cell.batch_norm else " without batch norm"
    rates = "" if cell.factor == 1 else f", learning rates × {cell.factor:g}"
    return f"{cell.network}{norm}{rates}, seed {cell.seed}"
