"""What does a recipe reach, over several seeds, on the validation split? The test split is not read here.

    python benchmarks/seeds.py --seeds 0 1 2 --change epochs=1 initialisation=default --out FILE.jsonl

prints a line a seed and their mean with its 95 % t-interval, and adds one JSON line a seed to FILE.jsonl.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from torch import nn

from nin.data import LabelledImages, fashion_mnist
from nin.devices import find_device
from nin.evaluation import evaluate, scores
from nin.experiment import build, ship
from nin.planning import resolve
from nin.recipe import Recipe, RecipeName, named
from nin.training import Epoch, Trouble, fit

# Student's t, 97.5 %, for 1 to 20 degrees of freedom.
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


def main(
    recipe: RecipeName = "quick",
    seeds: tuple[int, ...] = (0, 1, 2),
    change: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE")] = (),
    classes: int = 10,
    data: Path | None = None,
    out: Path | None = None,
) -> None:
    """Train a recipe, some of its fields changed, once for each seed; validate the network that ships.

    `classes` takes the first of them alone.
    """
    passes = [float(value) for field, _, value in (one.partition("=") for one in change) if field == "epochs"]
    chosen = changed(named(recipe, epochs=passes[-1] if passes else None), change)  # a recipe goes by its length
    train, validation = (first(part, classes) for part in fashion_mnist(data)[:2])
    reached: list[float] = []
    for seed in seeds:
        plan = resolve(chosen, train, seed, find_device("auto"))
        network: nn.Module = build(plan, train.images.shape[1])
        epochs: list[Epoch] = []
        troubles: list[str] = []
        for event in fit(network, train, validation, plan):
            match event:
                case Epoch():
                    epochs.append(event)
                case Trouble():
                    troubles.append(f"{event.kind} in step {event.step}")
                case _:
                    pass
        shipped = ship(network, plan, train)
        found = scores(shipped, validation.images, plan.sizes[-1], plan.mean, plan.std)
        held_out = evaluate(found, validation.labels)
        reached.append(held_out.accuracy)
        seconds = sum(epoch.seconds for epoch in epochs)
        print(f"seed {seed}: validation {held_out.accuracy:.4f}, {seconds:.0f} s {' '.join(troubles)}", flush=True)
        if out is not None:
            line = {
                "recipe": recipe,
                "change": list(change),
                "classes": classes,
                "seed": seed,
                "validation_accuracy": held_out.accuracy,
                "validation_loss": held_out.loss,
                "seconds": seconds,
                "troubles": troubles,
                "by_epoch": [epoch.validation_accuracy for epoch in epochs],
                "train_loss": [epoch.train_loss for epoch in epochs],
                "plan": asdict(plan),
            }
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    average = f"mean {np.mean(reached):.4f} +- {half_interval(reached):.4f}, lowest {min(reached):.4f}"
    print(f"{recipe} {' '.join(change)}: {average}", flush=True)


def half_interval(values: list[float]) -> float:
    """Give half of the 95 % t-interval of the mean of 2 to 21 values."""
    if not 2 <= len(values) <= len(T) + 1:
        return float("nan")
    return float(T[len(values) - 2] * np.std(values, ddof=1) / len(values) ** 0.5)


def first(images: LabelledImages, classes: int) -> LabelledImages:
    """Keep the pictures of the first so many classes."""
    kept = images.labels < classes
    return LabelledImages(images.images[kept], images.labels[kept], images.names[:classes])


def changed(recipe: Recipe, changes: tuple[str, ...]) -> Recipe:
    """Replace fields of the recipe; each value is read as the field's present type. `size=99` means 99 throughout."""
    values: dict[str, Any] = {}
    for change in changes:
        field, _, text = change.partition("=")
        old = getattr(recipe, field)
        if field == "size":
            recipe = recipe.at(int(text))
            continue
        values[field] = {"True": True, "False": False}[text] if isinstance(old, bool) else type(old)(text)
    return replace(recipe, **values)


if __name__ == "__main__":
    tyro.cli(main)
