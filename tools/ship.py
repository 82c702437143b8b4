"""How are the weights made that come with the package?

    python tools/ship.py fashion-mnist --spread runs/long-0 runs/long-1 runs/long-2
    python tools/ship.py cifar10 --source cifar10 --spread runs/cifar10-0 runs/cifar10-1 runs/cifar10-2

trains on all training images, those for validation too, with the recipe of the runs of `--spread`, by which everything
was decided, with a seed that was fixed beforehand. It stores the weights in half precision in
src/nin/weights with a model card, and evaluates what is stored. If it is stopped, it resumes when called again. With
`--epochs` this training is of another length than they: 90 epochs of 50,000 images are as many steps as 100 of 45,000.
With `--run` one of the runs of `--spread` is stored instead. `--chosen` names, for the card, what was chosen on them.
"""

import re
import sys
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from msgspec.structs import replace
from tyro.conf import Positional

import nin
from nin.app.console import Progress
from nin.app.streams import complain
from nin.data.auditing.audit import audit
from nin.data.images import LabelledImages, Splits
from nin.data.load import load_dataset
from nin.device import find_device
from nin.errors import NinError
from nin.files import read_json
from nin.inference.model_card import model_card
from nin.inference.model_folder import read_folder, save_folder
from nin.metrics import Evaluation, wilson_interval
from nin.runs.comparing.table import spread_over_seeds
from nin.runs.folder import read_state
from nin.runs.run import run_plan
from nin.training.plan import Plan, resolve
from nin.training.plan_file import read_plan

SEED = 60_000
WEIGHTS = Path(__file__).parents[1] / "src" / "nin" / "weights"


def main(
    name: Positional[str],
    spread: tuple[Path, ...],
    source: str = "fashion-mnist",
    run: Path | None = None,
    epochs: float | None = None,
    chosen: str = "Epochs, image size, regularisation and temperature",
) -> None:
    """Train and store the model `name`."""
    spread = tuple(one.resolve() for one in spread)
    if not spread:
        raise NinError("--spread needs one run at least")
    if run is not None and (run := run.resolve()) not in spread:
        raise NinError(f"--run must be one of the runs of --spread, not {run}")
    if run is not None and epochs is not None:
        raise NinError("--run stores a run as it is, without --epochs: leave one of them out")
    check_finished(*spread)
    splits = load_dataset(source)
    assert splits.test is not None, "the named sets have test images"  # noqa: S101
    planned = read_plan(spread[0] / "plan.json")
    if run is None:
        run = Path("runs", f"ship-{name}")
        whole = Splits(join(splits.train, splits.validation), splits.validation, splits.test, splits.origin)
        recipe = planned.recipe if epochs is None else replace(planned.recipe, epochs=epochs)
        plan = resolve(recipe, whole.train, SEED, find_device("auto"))
        if (run / "plan.json").exists() and read_plan(run / "plan.json") != plan:
            raise NinError(f"{run} is a run of another plan; remove it first")
        if not is_finished(run):
            runs = " ".join(one.name for one in spread)
            length = "" if epochs is None else f" --epochs {epochs:g}"
            train(plan, whole, run, f"python tools/ship.py {name} --source {source} --spread {runs}{length}")

    check_finished(run)
    results: list[dict[str, Any]] = [read_json(one / "result.json") for one in spread]
    config, network = read_folder(run / "model")
    config = replace(config, temperature=mean(one["temperature"] for one in results))
    full = nin.evaluate(nin.Classifier(network, config), splits.test)
    with TemporaryDirectory() as folder:
        save_folder(Path(folder, name), network, config, half=True)
        stored = nin.evaluate(nin.load(Path(folder, name)), splits.test)
    print(f"test accuracy {full.accuracy:.4f} in float32, {stored.accuracy:.4f} from float16")
    result: dict[str, Any] = read_json(run / "result.json")
    result |= {
        "test_images": stored.images,
        "test_accuracy": stored.accuracy,
        "test_accuracy_low": stored.accuracy_low,
        "test_accuracy_high": stored.accuracy_high,
        "test_balanced_accuracy": stored.balanced_accuracy,
        "test_loss": stored.loss,
        "calibration_error": stored.calibration.error,
    }
    validation, test = ([one[f"{split}_accuracy"] for one in results] for split in ("validation", "test"))
    single = len(spread) == 1
    seeds = f"With seed {planned.seed}" if single else f"Over {len(spread)} seeds"
    held_out = len(splits.validation)
    every = len(splits.train) + held_out
    origin = "the run" if run in spread else f"a run on all {every:,} images"
    made, size = read_plan(run / "plan.json"), planned.recipe.size
    notes = [
        f"{chosen} were chosen on runs that trained on {len(splits.train):,} of the training images and were validated "
        f"on the other {held_out:,}. {seeds}, {planned.recipe.epochs:g} epochs reached a validation accuracy of "
        f"{spread_over_seeds(validation)} and, read once{'' if single else ' each'}, a test accuracy of "
        f"{spread_over_seeds(test)}.",
        f"These weights come from {origin} with seed {made.seed}, fixed beforehand: "
        f"{made.recipe.epochs:g} epochs at {size}x{size}. The temperature is "
        f"{'that of the run' if single else 'the mean of those of the runs'} on {len(splits.train):,} images. The "
        f"weights are stored in float16, which changed the test accuracy by {stored.accuracy - full.accuracy:+.4f}.",
    ]
    copies = near_duplicates(splits, stored, source)
    environment: dict[str, Any] = read_json(run / "environment.json")
    # Where things lie on this machine is nobody's business.
    environment["command"] = re.sub(r" --(run|data) \S+", "", environment["command"])
    card = model_card(config, result, environment, name=name, load=name, notes=notes, copies=copies)
    save_folder(WEIGHTS / name, network, config, card, half=True)


def check_finished(*runs: Path) -> None:
    """Raise NinError for a run that did not train to its end."""
    for run in runs:
        if not is_finished(run):
            raise NinError(f"{run} did not train to its end: resume it if it was stopped, else train it again")


def is_finished(run: Path) -> bool:
    """Return whether a run has trained to its end."""
    return (run / "result.json").exists() and read_json(run / "result.json")["ended"] == "finished"


def train(plan: Plan, whole: Splits, run: Path, command: str) -> None:
    """Train to the end; resume if the run was stopped before."""
    resume = (run / "plan.json").exists()
    with Progress() as progress:
        run_plan(
            plan,
            whole,
            run,
            resume=resume,
            state=read_state(run) if resume else None,
            command=command,
            on_start=progress.start,
            on_event=progress.show,
        )


def near_duplicates(splits: Splits, found: Evaluation, source: str) -> str:
    """Say what the accuracy is on the test images that have no nearly equal image in training."""
    test = splits.parts()["test"]
    copied = audit(splits).near.mask("test", len(test))
    right = (found.probabilities.argmax(dim=1).cpu() == test.labels)[~copied]
    low, high = wilson_interval(int(right.sum()), len(right))
    return (
        f"{int(copied.sum())} of the test images have a nearly equal image among those for training and validation "
        f"(found by `nin data {source}`); on the other {len(right):,} the accuracy is {right.float().mean():.4f} "
        f"({low:.4f} to {high:.4f})."
    )


def join(one: LabelledImages, other: LabelledImages) -> LabelledImages:
    """Put two sets of images together."""
    return LabelledImages(torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels]), one.names)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except NinError as error:
        sys.exit(complain(str(error)))
