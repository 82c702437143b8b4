"""Which accuracy do how many minutes buy? `nin train --minutes M` as users run it, over several seeds.

    python benchmarks/minutes.py --runs runs/minutes
    python benchmarks/minutes.py --runs runs/cifar10 --source cifar10 --network nin-2013 --minutes 30

makes a run for each number of minutes and each seed, one after the other on a machine that should do nothing else, and
prints the accuracy against the minutes and the time to each accuracy. Runs that are there already are only read.
With `--record benchmarks/records/minutes.csv` each run also becomes a line of the record that minutes_curve.py draws.

    python benchmarks/minutes.py --runs runs/minutes --plan RUN/plan.json --seeds 0 1 2 ...

trains one plan with many seeds instead.
"""

import csv
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import tyro

from nin.runs.comparing.table import spread_over_seeds

TARGETS = (0.885, 0.90, 0.92, 0.93, 0.94, 0.95)  # of validation accuracy
KEY = ("date", "processor", "source", "network", "minutes", "seed")  # of a line of the record
MEASURED = ("size", "images_per_second", "epochs", "seconds", "validation_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Run:
    """What one run reached, in how many epochs, its images/s, its size, the seconds of the whole command, and where."""

    validation_accuracy: float
    test_accuracy: float
    epochs: float
    speed: float
    size: int
    seconds: float
    date: str
    processor: str


def main(
    runs: Path,
    source: str = "fashion-mnist",
    network: str = "nin",
    minutes: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 10.0),
    seeds: tuple[int, ...] = (0, 1, 2),
    plan: Path | None = None,
    record: Path | None = None,
) -> None:
    """Make the runs that are not there yet, and print the tables in Markdown."""
    runs.mkdir(parents=True, exist_ok=True)
    if plan is not None:
        if record is not None:
            sys.exit("--record holds runs of so many minutes, and a plan has steps instead: leave one of them out")
        compare_seeds(runs, plan, seeds)
        return
    found: dict[float, list[Run]] = {length: [] for length in minutes}
    for seed in seeds:
        for length in minutes:
            options = (source, "--network", network, "--minutes", f"{length:g}", "--seed", str(seed))
            run = runs / re.sub(r"[^\w.]+", "-", f"{source} {network} {length:g} {seed}")
            found[length].append(make(run, *options))
            if record is not None:
                add_line(record, source, network, length, seed, found[length][-1])
    print("| minutes | share of them used | size | epochs | images/s | validation accuracy | test accuracy |")
    print("|---|---|---|---|---|---|---|")
    for length, made in found.items():
        used = ", ".join(f"{one.seconds / length / 60:.1%}" for one in made)
        epochs = ", ".join(f"{one.epochs:.2f}" for one in made)
        validation = spread_over_seeds([one.validation_accuracy for one in made])
        test = spread_over_seeds([one.test_accuracy for one in made])
        sizes, speeds = ", ".join(sorted({str(one.size) for one in made})), mean(one.speed for one in made)
        print(f"| {length:g} | {used} | {sizes} | {epochs} | {speeds:.0f} | {validation} | {test} |")
    print("\n| validation accuracy | the fewest of these minutes whose mean reaches it |\n|---|---|")
    for target in TARGETS:
        enough = [
            length for length in sorted(found) if mean(one.validation_accuracy for one in found[length]) >= target
        ]
        print(f"| {target} | {f'{enough[0]:g}' if enough else 'more than these'} |")


def compare_seeds(runs: Path, plan: Path, seeds: tuple[int, ...]) -> None:
    """Train one plan with each seed, and print the table in Markdown."""
    name = f"plan-of-{plan.resolve().parent.name}"
    made = [make(runs / f"{name}-{seed}", "--plan", str(plan), "--seed", str(seed)) for seed in seeds]
    validation, test = [one.validation_accuracy for one in made], [one.test_accuracy for one in made]
    print("| seed | validation accuracy | test accuracy |\n|---|---|---|")
    for seed, one in zip(seeds, made, strict=True):
        print(f"| {seed} | {one.validation_accuracy:.4f} | {one.test_accuracy:.4f} |")
    print(f"| mean | {spread_over_seeds(validation)} | {spread_over_seeds(test)} |")
    print(f"| lowest | {min(validation):.4f} | {min(test):.4f} |")


def make(run: Path, *options: str) -> Run:
    """Make the run in a process of its own, or read it if it is there."""
    seconds = run.parent / f"{run.name}.seconds"
    if not seconds.exists():
        started = time.perf_counter()
        command = [sys.executable, "-c", "from nin.app.cli import main; main()", "train", "--run", str(run), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.write_text(str(time.perf_counter() - started))
    result = json.loads((run / "result.json").read_text())
    size = json.loads((run / "plan.json").read_text())["recipe"]["size"]
    environment = json.loads((run / "environment.json").read_text())
    made = Run(
        validation_accuracy=result["validation_accuracy"],
        test_accuracy=result["test_accuracy"],
        epochs=result["epochs"],
        speed=result["images_per_second"],
        size=size,
        seconds=float(seconds.read_text()),
        date=environment["started"][:10],
        processor=environment["processor"],
    )
    print(f"{run.name}: {made}", file=sys.stderr, flush=True)
    return made


def add_line(record: Path, source: str, network: str, minutes: float, seed: int, run: Run) -> None:
    """Add the run to the record, a CSV file, which is made if it is not there, unless it has a line for this run."""
    key = [run.date, run.processor, source, network, f"{minutes:g}", str(seed)]
    measured = [str(run.size), f"{run.speed:.0f}", f"{run.epochs:.2f}", f"{run.seconds:.0f}"]
    with record.open("a+", newline="") as file:
        file.seek(0)
        lines = list(csv.reader(file))
        writer = csv.writer(file, lineterminator="\n")
        if not lines:
            writer.writerow([*KEY, *MEASURED])
        if key not in [line[: len(KEY)] for line in lines]:
            writer.writerow([*key, *measured, f"{run.validation_accuracy:.4f}", f"{run.test_accuracy:.4f}"])


if __name__ == "__main__":
    tyro.cli(main)
