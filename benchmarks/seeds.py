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

from nin.data import fashion_mnist
from nin.evaluation import evaluate, scores
from nin.experiment import build
from nin.folding import fold
from nin.planning import find_device, resolve
from nin.recipe import Recipe, RecipeName, named
from nin.training import Epoch, Trouble, fit

# Student's t, 97.5 %, by degrees of freedom: the few that a handful of seeds needs.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 19: 2.093}


def main(
    recipe: RecipeName = "quick",
    seeds: tuple[int, ...] = (0, 1, 2),
    change: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE")] = (),
    data: Path | None = None,
    out: Path | None = None,
) -> None:
    """Train a recipe, some of its fields changed, once for each seed; validate the network that would ship."""
    chosen = changed(named(recipe), change)
    splits = fashion_mnist(data)
    found: list[float] = []
    for seed in seeds:
        plan = resolve(chosen, splits.train, seed, find_device("auto"))
        network: nn.Module = build(plan, splits.train.images.shape[1])
        epochs: list[Epoch] = []
        troubles: list[str] = []
        for event in fit(network, splits.train, splits.validation, plan):
            match event:
                case Epoch():
                    epochs.append(event)
                case Trouble():
                    troubles.append(f"{event.kind} in step {event.step}")
                case _:
                    pass
        shipped = fold(network)
        held_out = evaluate(
            scores(shipped, splits.validation.images, plan.sizes[-1], plan.mean, plan.std), splits.validation.labels
        )
        found.append(held_out.accuracy)
        seconds = sum(epoch.seconds for epoch in epochs)
        print(f"seed {seed}: validation {held_out.accuracy:.4f}, {seconds:.0f} s {' '.join(troubles)}", flush=True)
        if out is not None:
            line = {
                "recipe": recipe,
                "change": list(change),
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
    half = T[len(found) - 1] * np.std(found, ddof=1) / len(found) ** 0.5 if len(found) > 1 else float("nan")
    print(f"{recipe} {' '.join(change)}: mean {np.mean(found):.4f} +- {half:.4f}, lowest {min(found):.4f}", flush=True)


def changed(recipe: Recipe, changes: tuple[str, ...]) -> Recipe:
    """Replace fields of the recipe; each value is read as the field's present type."""
    values: dict[str, Any] = {}
    for change in changes:
        field, _, text = change.partition("=")
        old = getattr(recipe, field)
        values[field] = text == "True" if isinstance(old, bool) else type(old)(text)
    return replace(recipe, **values)


if __name__ == "__main__":
    tyro.cli(main)
