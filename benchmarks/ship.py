"""How are the weights made that come with the package?

    python benchmarks/ship.py fashion-mnist --spread runs/long-0 runs/long-1 runs/long-2

trains on all 60,000 training images as the runs of `--spread` were planned, which had 55,000 of them and decided
everything, from a seed that was fixed beforehand; stores the weights in half precision under src/nin/weights with a
model card, and evaluates what is stored. Stopped, it goes on where it was when called again.
"""

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import tyro
from seeds import half_interval

import nin
from nin import experiment, runs
from nin.assessment import assess
from nin.card import card
from nin.classifier import read_folder, save_folder
from nin.data import LabelledImages, Splits, fashion_mnist
from nin.devices import find_device
from nin.errors import NinError
from nin.plan import Plan
from nin.planning import read_plan, resolve
from nin.progress import Show, progress_bar

SEED = 60_000
WEIGHTS = Path(__file__).parents[1] / "src" / "nin" / "weights"


def main(name: str, spread: tuple[Path, ...], data: Path | None = None, run: Path | None = None) -> None:
    """Train and store the model `name`."""
    run = Path("runs", f"ship-{name}") if run is None else run
    splits = fashion_mnist(data)
    whole = Splits(joined(splits.train, splits.validation), splits.validation, splits.test, splits.folder)
    planned = read_plan(spread[0] / "plan.json")
    plan = resolve(planned.recipe, whole.train, SEED, find_device("auto"))
    if not (run / "result.json").exists():
        train(plan, whole, run, name)

    results: list[dict[str, Any]] = [runs.read_json(one / "result.json") for one in spread]
    config, network = read_folder(run / "model")
    config = replace(config, temperature=mean(one["temperature"] for one in results))
    target = WEIGHTS / name
    save_folder(target, network, config, half=True)
    full = assess(nin.Classifier(network, config), splits.test)
    stored = assess(nin.load(target), splits.test)
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
    notes = [
        f"Epochs, sizes, regularisation and temperature were chosen on runs that learnt from 55,000 of the training "
        f"images and were judged by the other 5,000. Over {len(results)} seeds these runs came to a validation "
        f"accuracy of {mean(validation):.4f} ± {half_interval(validation):.4f} ({listed(validation)}) and, read once "
        f"each, a test accuracy of {mean(test):.4f} ± {half_interval(test):.4f} ({listed(test)}); ± is half of a 95 % "
        "t-interval over the seeds.",
        f"These weights come from one run on all 60,000 images by the same recipe, {planned.recipe.epochs:g} times "
        f"through them at {', then '.join(f'{size}x{size}' for size, _ in planned.recipe.sizes)}, from seed {SEED}, "
        "which was fixed beforehand; the temperature is the mean of those of the runs above. They are stored in "
        f"float16, which changed the test accuracy by {stored.accuracy - full.accuracy:+.4f}.",
    ]
    about = runs.read_json(run / "environment.json")
    save_folder(target, network, config, card(config, of_run, about, name=name, load=name, notes=notes), half=True)


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


def listed(values: list[float]) -> str:
    """Write accuracies in a row."""
    return ", ".join(f"{value:.4f}" for value in values)


if __name__ == "__main__":
    tyro.cli(main)
