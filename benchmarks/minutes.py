"""What accuracy do how many minutes buy? `nin train --minutes M` as users run it, over several seeds.

    python benchmarks/minutes.py --runs runs/minutes

makes a run for each number of minutes and each seed, one after the other on a machine that should do nothing else, and
prints the accuracy against the minutes and the time to each accuracy. Runs that are there already are only read.

    python benchmarks/minutes.py --runs runs/minutes --plan runs/minutes/2-0/plan.json --seeds 0 1 2 ...

trains one plan from many seeds instead.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import tyro
from seeds import half_interval

TARGETS = (0.885, 0.90, 0.92, 0.93, 0.94)  # of validation accuracy


@dataclass(frozen=True)
class Made:
    """One run: accuracies, how often it saw each image, and the seconds that the whole command took."""

    validation: float
    test: float
    epochs: float
    seconds: float


def main(
    runs: Path,
    minutes: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 10.0),
    seeds: tuple[int, ...] = (0, 1, 2),
    plan: Path | None = None,
) -> None:
    """Make the runs that are not there yet, and print the tables in Markdown."""
    runs.mkdir(parents=True, exist_ok=True)
    if plan is not None:
        made = [make(runs / f"plan-{seed}", "--plan", str(plan), "--seed", str(seed)) for seed in seeds]
        print("| seed | validation | test |\n|---|---|---|")
        for seed, one in zip(seeds, made, strict=True):
            print(f"| {seed} | {one.validation:.4f} | {one.test:.4f} |")
        print(f"| mean | {spread([one.validation for one in made])} | {spread([one.test for one in made])} |")
        print(f"| lowest | {min(one.validation for one in made):.4f} | {min(one.test for one in made):.4f} |")
        return
    found: dict[float, list[Made]] = {length: [] for length in minutes}
    for seed in seeds:
        for length in minutes:
            name, options = f"{length:g}-{seed}", ("--minutes", f"{length:g}", "--seed", str(seed))
            found[length].append(make(runs / name, *options))
    print("| minutes | the command took, of that | epochs | validation | test |\n|---|---|---|---|---|")
    for length, made in found.items():
        took = ", ".join(f"{one.seconds / length / 60:.1%}" for one in made)
        epochs = ", ".join(f"{one.epochs:.2f}" for one in made)
        accuracies = f"{spread([one.validation for one in made])} | {spread([one.test for one in made])}"
        print(f"| {length:g} | {took} | {epochs} | {accuracies} |")
    print("\n| validation accuracy | the fewest of these minutes whose mean reaches it |\n|---|---|")
    for target in TARGETS:
        enough = [length for length in sorted(found) if mean(one.validation for one in found[length]) >= target]
        print(f"| {target} | {f'{enough[0]:g}' if enough else 'more than these'} |")


def make(run: Path, *options: str) -> Made:
    """Make the run by a command of its own, or read it if it is there."""
    took = run.parent / f"{run.name}.seconds"
    if not took.exists():
        began = time.perf_counter()
        command = [sys.executable, "-c", "from nin.cli import main; main()", "train", "--run", str(run), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.write_text(str(time.perf_counter() - began))
    result, plan = (json.loads((run / f"{name}.json").read_text()) for name in ("result", "plan"))
    epochs = sum(plan["steps_by_epoch"]) * plan["recipe"]["batch_size"] / 55_000
    made = Made(result["validation_accuracy"], result["test_accuracy"], epochs, float(took.read_text()))
    print(f"{run.name}: {made}", file=sys.stderr, flush=True)
    return made


def spread(values: list[float]) -> str:
    """Write mean and half of the 95 % interval over the seeds, and each value where they are few."""
    each = f" ({', '.join(f'{value:.4f}' for value in values)})" if len(values) <= 5 else ""
    return f"{mean(values):.4f} ± {half_interval(values):.4f}{each}"


if __name__ == "__main__":
    tyro.cli(main)
