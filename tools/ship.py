"""How are the weights made that come with the package?

    python benchmarks/ship.py fashion-mnist --spread runs/long-0 runs/long-1 runs/long-2

trains on all 60,000 training images by the recipe of the runs of `--spread`, which had 55,000 of them and decided
everything, from a seed that was fixed beforehand. It stores the weights in half precision under src/nin/weights with a
model card, and evaluates what is stored. Stopped, it goes on where it was when called again. With `--run` one of the
runs of `--spread` is stored instead.
"""

import re
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from seeds import half_interval
from tyro.conf import Positional

import nin
from nin import experiment, runs
from nin.assessment import assess
from nin.card import card
from nin.data import LabelledImages, Splits, fashion_mnist
from nin.devices import find_device
from nin.errors import NinError
from nin.model_folder import read_folder, save_folder
from nin.plan import Plan
from nin.planning import read_plan, resolve
from nin.progress import Show, progress_bar

SEED = 60_000
WEIGHTS = Path(__file__).parents[1] / "src" / "nin" / "weights"


def main(name: Positional[str], spread: tuple[Path, ...], data: Path | None = None, run: Path | None = None) -> None:
    """Train and store the model `name`."""
    spread = tuple(one.resolve() for one in spread)
    if run is not None and (run := run.resolve()) not in spread:
        raise NinError(f"--run is one of the runs of --spread, and {run} is none")
    splits = fashion_mnist(data)
    planned = read_plan(spread[0] / "plan.json")
    if run is None:
        run = Path("runs", f"ship-{name}")
        whole = Splits(joined(splits.train, splits.validation), splits.validation, splits.test, splits.folder)
        plan = resolve(planned.recipe, whole.train, SEED, find_device("auto"))
        if not (run / "result.json").exists():
            train(plan, whole, run, name)

    results: list[dict[str, Any]] = [runs.read_json(one / "result.json") for one in spread]
    config, network = read_folder(run / "model")
    config = replace(config, temperature=mean(one["temperature"] for one in results))
    full = assess(nin.Classifier(network, config), splits.test)
    with TemporaryDirectory() as folder:
        save_folder(Path(folder, name), network, config, half=True)
        stored = assess(nin.load(Path(folder, name)), splits.test)
    print(f"test accuracy {full.accuracy:.4f} in float32, {stored.accuracy:.4f} from float16")
    of_run = runs.read_json(run / "result.json") | {
        "test_accuracy": stored.accuracy,
        "test_accuracy_low": stored.low,
        "test_accuracy_high": stored.high,
        "test_loss": stored.loss,
        "calibration_error": stored.calibration.error,
        "confusion": stored.confusion,
    }
    validation, test = ([one[f"{split}_accuracy"] for one in results] for split in ("validation", "test"))
    seeds = f"From the seed {planned.seed}" if len(spread) == 1 else f"Over {len(spread)} seeds"
    origin = "the run" if run in spread else "a run on all 60,000 images"
    sizes = ", then ".join(f"{size}x{size}" for size, _ in planned.recipe.sizes)
    notes = [
        f"Epochs, sizes, regularisation and temperature were chosen on runs that learnt from 55,000 of the training "
        f"images and were judged by the other 5,000. {seeds} the recipe came to a validation accuracy of "
        f"{spoken(validation)} and, read once each, a test accuracy of {spoken(test)}.",
        f"These weights come from {origin} from the seed {read_plan(run / 'plan.json').seed}, fixed beforehand: "
        f"{planned.recipe.epochs:g} times through the images at {sizes}. The temperature is the mean of those of the "
        "runs on 55,000 images. The weights are stored in float16, which changed the test accuracy by "
        f"{stored.accuracy - full.accuracy:+.4f}.",
    ]
    about = runs.read_json(run / "environment.json")
    about["command"] = re.sub(
        r" --(run|data) \S+", "", about["command"]
    )  # places on this machine are nobody's business
    page = card(config, of_run, about, name=name, load=name, notes=notes)
    save_folder(WEIGHTS / name, network, config, page, half=True)


def train(plan: Plan, whole: Splits, run: Path, name: str) -> None:
    """Train to the end, from the last state if there is one."""
    state = runs.read_state(run) if (run / "plan.json").exists() else None
    if state is not None and read_plan(run / "plan.json") != plan:
        raise NinError(f"{run} is a run of another plan; remove it, or name another with --run")
    with progress_bar() as bar:
        show = Show(bar, mute=lambda: None)
        experiment.run(
            plan, whole, run, state=state, command=f"python benchmarks/ship.py {name}",
            on_start=show.start, on_event=show.event,
        )  # fmt: skip


def joined(one: LabelledImages, other: LabelledImages) -> LabelledImages:
    """Put two sets of pictures together."""
    return LabelledImages(torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels]), one.names)


def spoken(values: list[float]) -> str:
    """Write accuracies as their mean, half of its 95 % t-interval over the seeds, and each."""
    each = ", ".join(f"{value:.4f}" for value in values)
    return each if len(values) == 1 else f"{mean(values):.4f} ± {half_interval(values):.4f} ({each})"


if __name__ == "__main__":
    tyro.cli(main)
