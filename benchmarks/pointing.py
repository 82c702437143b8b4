"""Do class maps point worse the longer a NiN trains, and does its global pool decide that?

    python benchmarks/pointing.py --runs runs/pointing --epochs 2 8 --models fashion-mnist fashion-mnist-maps

trains NiN at 131x131 for each number of epochs, once with its global max pool and once with an average pool, and
measures the maps of each by deletion and insertion (`faithfulness.py`), on test images. Beside that it prints how
often the predicted class's highest cell is the one that is most often the highest for that class: a pool that always
takes the same cell says nothing about places. The same is printed of trained `models`. Weights that are in RUNS are
only read: use another folder after a change of the recipe. They are trained and measured without the last ReLU, which
would cut cells that an average counts. It decides nothing, so it may look at the test images.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
import tyro
from faithfulness import area, curves, mean_and_interval, rank_pixels, relevance
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import nin
from nin.data.images import LabelledImages, Splits
from nin.data.load import load_dataset
from nin.device import find_device
from nin.errors import NinError
from nin.inference.classifier import Classifier
from nin.networks.batch_norm import fold
from nin.networks.registry import find_architecture
from nin.runs.run import model_config
from nin.training.fit import Training
from nin.training.named_recipes import long
from nin.training.network import initial_network
from nin.training.plan import Plan, resolve

Pool = Literal["max", "avg"]


def main(
    runs: Path,
    epochs: tuple[float, ...] = (2.0, 8.0),
    pools: tuple[Pool, ...] = ("max", "avg"),
    models: tuple[str, ...] = (),
    images: int = 300,
    seed: int = 0,
) -> None:
    """Train what is not there yet, measure all, and print the table in Markdown."""
    splits = load_dataset("fashion-mnist")
    test = splits.parts()["test"]
    print(
        "| model | accuracy | deletion, class map | random map minus class map "
        "| chance minus class map | insertion, class map | random map minus class map "
        "| its class's usual cell is the highest |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for pool in pools:
        for length in epochs:
            plan = resolve(long(length), splits.train, seed, find_device("auto"))
            network = trained(plan, splits, pool, runs / f"{pool}-{length:g}-{seed}.safetensors")
            columns = measure(Classifier(network, model_config(plan, splits)), pool, test, images)
            print("|", " | ".join([f"{pool} pool, {length:g} epochs", *columns]), "|", flush=True)
    for model in models:
        classifier = nin.load(model)
        print("|", " | ".join([f"`{model}`", *measure(classifier, None, test, images)]), "|", flush=True)


def trained(plan: Plan, splits: Splits, pool: Pool, file: Path) -> nn.Module:
    """Train NiN with this global pool, batch norm folded away at the end, or read the weights that are there."""
    network = initial_network(plan)
    if pool == "avg":
        network.avg1 = nn.AdaptiveAvgPool2d((1, 1))
    if file.exists():
        network = fold(network)
        network.load_state_dict(load_file(file))
        return network
    for _ in Training(network, splits.train, splits.validation, plan).fit():
        pass
    network = fold(network)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return network


def measure(classifier: Classifier, pool: Pool | None, test: LabelledImages, images: int) -> Iterator[str]:
    """Yield the columns of the table from the accuracy on; `pool` is the architecture's unless another is given."""
    grid, few = find_architecture(classifier.config.architecture).cells, test.first(images)
    if grid is None:
        raise NinError(f"{classifier.config.architecture} has no class maps")
    pool = pool or grid.pool
    # Maps in float32: bf16 has ties between cells.
    exact = Classifier(classifier.network, classifier.config, device=classifier.device, precision="float32")
    every = exact.class_maps(test.images)
    predicted = (every.amax((2, 3)) if pool == "max" else every.mean((2, 3))).argmax(1)
    every = every[torch.arange(len(every)), predicted]  # the predicted class's
    yield f"{(predicted == test.labels).float().mean():.4f}"
    size, side = classifier.config.preprocessing.size, few.images.shape[2]
    noise = torch.rand(every[: len(few)].shape, generator=torch.Generator().manual_seed(0))
    orders = {
        "map": relevance(every[: len(few)], grid, size, side),
        "random": relevance(noise, grid, size, side),
        "chance": torch.zeros(len(few), side, side),
    }
    found = {name: curves(classifier, few.images, rank_pixels(order)) for name, order in orders.items()}
    for kind, others in (("deletion", ("random", "chance")), ("insertion", ("random",))):
        areas = {name: area(getattr(one, kind)) for name, one in found.items()}
        yield mean_and_interval(areas["map"])
        for other in others:
            yield mean_and_interval(areas[other] - areas["map"], "+")
    yield f"{usual_cell(every, predicted):.3f}"


def usual_cell(maps: Float[Tensor, "images cells cells"], predicted: Int64[Tensor, "images"]) -> float:
    """Return how often the highest cell of an image's map is the one that is so most often in its class.

    The mean over the classes; about 1/9 would be cells at random in maps of 3x3, and 1 always the same.
    """
    highest = maps.flatten(1).argmax(1)
    shares = [
        highest[predicted == one].bincount().max().item() / (predicted == one).sum().item()
        for one in predicted.unique().tolist()
    ]
    return sum(shares) / len(shares)


if __name__ == "__main__":
    tyro.cli(main)
