"""Train for some steps in a process that torchrun has started, and write down the speed: a program of scaling.py."""

import json
import sys
import time
from pathlib import Path
from statistics import median

import torch
from msgspec.structs import replace

import nin
from nin import distributed
from nin.training.events import Step
from nin.training.fit import Training
from nin.training.named_recipes import for_images, named_recipe
from nin.training.network import initial_network
from nin.training.plan import resolve


def main(folder: Path, job: dict[str, object]) -> None:
    """Train, and write the median speed of the steps after the first two."""
    distributed.join()
    torch.set_num_threads(int(str(job["threads"])))
    splits = nin.load_dataset(job["source"])
    recipe = for_images(named_recipe("quick", str(job["network"]), 1.0), splits)
    if job["batch_size"]:
        recipe = replace(recipe, batch_size=int(str(job["batch_size"])))
    plan = resolve(recipe, splits.train, 0, torch.device("cpu"))
    training = Training(initial_network(plan), splits.train, splits.validation, plan)
    update, updating = training.optimizer.step, list[float]()

    def timed_update(factor: float) -> None:
        began = time.perf_counter()
        update(factor)
        updating.append(time.perf_counter() - began)

    training.optimizer.step = timed_update
    speeds: list[float] = []
    for event in training.fit():
        if isinstance(event, Step):
            speeds.append(event.images_per_second)
            if len(speeds) == job["steps"]:
                break
    parameters = sum(parameter.numel() for parameter in training.network.parameters())
    # A ring sends each part of the gradients (4 bytes) twice but its own, and of the optimizer's updates once.
    others = 1 - 1 / distributed.processes()
    sent = round(parameters * others * (8 + (2 if plan.precision == "bfloat16" else 4)))
    if distributed.is_main():
        found = {"images_per_second": median(speeds[2:]), "batch_size": recipe.batch_size, "bytes_per_step": sent}
        found["updating"] = median(updating[2:]) * median(speeds[2:]) / recipe.batch_size  # share of a step
        (folder / "speed.json").write_text(json.dumps(found))


main(Path(sys.argv[1]), json.loads(sys.argv[2]))
