"""What does a recipe reach, over several seeds, on the validation images? The test images are not read here.

    python benchmarks/seeds.py --recipe d2l --seeds 0 1 2 --change epochs=1 size=67 --out FILE.jsonl

prints a line per seed and their mean with its 95 % t-interval, and appends a JSON line per seed to FILE.jsonl.
"""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
import tyro

from nin.data.images import LabelledImages
from nin.data.sources.fashion_mnist import fashion_mnist
from nin.device import find_device
from nin.metrics import Evaluation, evaluate_logits
from nin.networks.forward import compute_logits
from nin.runs.comparing.table import interval_over_seeds, mean_and_interval
from nin.training.fit import Training
from nin.training.named_recipes import RecipeName, named_recipe
from nin.training.network import final_network, initial_network
from nin.training.plan import Plan, resolve
from nin.training.recipe import Recipe


def main(
    recipe: RecipeName = "quick",
    seeds: tuple[int, ...] = (0, 1, 2),
    change: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE")] = (),
    classes: int = 10,
    data: Path | None = None,
    out: Path | None = None,
) -> None:
    """Train a recipe, with some of its fields changed, once per seed, and validate the final network.

    `classes` keeps only the first so many of the ten.
    """
    chosen = change_recipe(recipe, change)
    splits = fashion_mnist(data)
    train, validation = keep_classes(splits.train, classes), keep_classes(splits.validation, classes)
    accuracies: list[float] = []
    for seed in seeds:
        plan = resolve(chosen, train, seed, find_device("auto"))
        training, final = train_plan(plan, train, validation)
        seconds = sum(one.seconds for one in training.validations)
        troubles = [f"{trouble.kind} in step {trouble.step}" for trouble in training.troubles]
        print(f"seed {seed}: validation {final.accuracy:.4f}, {seconds:.0f} s {' '.join(troubles)}", flush=True)
        accuracies.append(final.accuracy)
        if out is not None:
            line = {
                "recipe": recipe,
                "change": list(change),
                "classes": classes,
                "seed": seed,
                "validation_accuracy": final.accuracy,
                "validation_loss": final.loss,
                "seconds": seconds,
                "troubles": troubles,
                "validations": msgspec.to_builtins(training.validations),
                "plan": msgspec.to_builtins(plan),
            }
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    mean = mean_and_interval(float(np.mean(accuracies)), interval_over_seeds(accuracies))
    print(f"{recipe} {' '.join(change)}: mean {mean}, lowest {min(accuracies):.4f}", flush=True)


def train_plan(plan: Plan, train: LabelledImages, validation: LabelledImages) -> tuple[Training, Evaluation]:
    """Train to the end of the plan, and evaluate the final network, in float32, on the validation images."""
    training = Training(initial_network(plan), train, validation, plan)
    for _ in training.fit():
        pass
    network = final_network(training.network, plan, train)
    logits = compute_logits(network, validation.images, plan.preprocessing)
    return training, evaluate_logits(logits, validation.labels, validation.names)


def keep_classes(images: LabelledImages, classes: int) -> LabelledImages:
    """Keep the images of the first so many classes."""
    kept = torch.nonzero(images.labels < classes).flatten()
    return LabelledImages(images.images[kept], images.labels[kept], images.names[:classes])


def change_recipe(name: str, changes: tuple[str, ...]) -> Recipe:
    """Return a named recipe with some fields replaced, each given as "field=value"."""
    values = {field: value for field, _, value in (change.partition("=") for change in changes)}
    # The epochs first: whether quick flips depends on them.
    recipe = named_recipe(name, epochs=float(values["epochs"]) if "epochs" in values else None)
    return msgspec.convert(msgspec.to_builtins(recipe) | values, Recipe, strict=False)


if __name__ == "__main__":
    tyro.cli(main)
