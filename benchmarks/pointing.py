"""What decides how well NiN's class maps point: the seed, the length of training or the global pool?

    python benchmarks/pointing.py --runs runs/pointing --epochs 2 8 --seeds 0 1 2 --models fashion-mnist

trains NiN at 131x131 for each number of epochs and each of `--seeds`, once with its global max pool and once with an
average pool, and measures the maps of each by deletion and insertion (`faithfulness.py`), on test images. Beside that
it prints how often the predicted class's highest cell is the one that is most often the highest for that class: a pool
that always takes the same cell says nothing about places. A second table divides the images by where in the map their
highest cell lies. The same is printed of trained `models`. Weights that are in RUNS are only read: use another folder
after a change of the recipe. They are trained and measured without the last ReLU, which would cut cells that an average
counts. It decides nothing, so it may look at the test images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
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


@dataclass(frozen=True)
class Pointing:
    """A model's row in each of the two tables, without its name."""

    figures: list[str]
    by_place: list[str]


def main(
    runs: Path,
    epochs: tuple[float, ...] = (2.0, 8.0),
    pools: tuple[Pool, ...] = ("max", "avg"),
    models: tuple[str, ...] = (),
    images: int = 300,
    seeds: tuple[int, ...] = (0,),
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
    found: dict[str, Pointing] = {}
    for name, classifier, pool in chain(
        trainings(runs, splits, pools, epochs, seeds), ((f"`{model}`", nin.load(model), None) for model in models)
    ):
        found[name] = measure(classifier, pool, test, images)
        print("|", " | ".join([name, *found[name].figures]), "|", flush=True)
    print("\n| deletion, random map minus class map | highest cell at no edge | at one | in a corner |")
    print("|---|---|---|---|")
    for name, one in found.items():
        print("|", " | ".join([name, *one.by_place]), "|")


def trainings(
    runs: Path, splits: Splits, pools: tuple[Pool, ...], epochs: tuple[float, ...], seeds: tuple[int, ...]
) -> Iterator[tuple[str, Classifier, Pool]]:
    """Yield the name, the classifier and the pool of each training, trained or read as it is asked for."""
    for pool, length, seed in product(pools, epochs, seeds):
        plan = resolve(long(length), splits.train, seed, find_device("auto"))
        network = trained(plan, splits, pool, runs / f"{pool}-{length:g}-{seed}.safetensors")
        yield f"{pool} pool, {length:g} epochs, seed {seed}", Classifier(network, model_config(plan, splits)), pool


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


def measure(classifier: Classifier, pool: Pool | None, test: LabelledImages, images: int) -> Pointing:
    """Measure the maps of the predicted classes; `pool` is the architecture's unless another is given."""
    grid, few = find_architecture(classifier.config.architecture).cells, test.first(images)
    if grid is None:
        raise NinError(f"{classifier.config.architecture} has no class maps")
    pool = pool or grid.pool
    # Maps in float32: bf16 has ties between cells.
    exact = Classifier(classifier.network, classifier.config, device=classifier.device, precision="float32")
    every = exact.class_maps(test.images)
    predicted = (every.amax((2, 3)) if pool == "max" else every.mean((2, 3))).argmax(1)
    every = every[torch.arange(len(every)), predicted]  # the predicted class's
    maps, size, side = every[: len(few)], classifier.config.preprocessing.size, few.images.shape[2]
    orders = {
        "map": relevance(maps, grid, size, side),
        "random": relevance(torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)), grid, size, side),
        "chance": torch.zeros(len(few), side, side),
    }
    found = {name: curves(classifier, few.images, rank_pixels(order)) for name, order in orders.items()}
    deletion, insertion = (
        {name: area(getattr(one, kind)) for name, one in found.items()} for kind in ("deletion", "insertion")
    )
    lead = deletion["random"] - deletion["map"]
    figures = [
        f"{(predicted == test.labels).float().mean():.4f}",
        mean_and_interval(deletion["map"]),
        mean_and_interval(lead, "+"),
        mean_and_interval(deletion["chance"] - deletion["map"], "+"),
        mean_and_interval(insertion["map"]),
        mean_and_interval(insertion["random"] - insertion["map"], "+"),
        f"{usual_cell(every, predicted):.3f}",
    ]
    edges = edges_of_highest(maps)
    return Pointing(figures, [mean_and_count(lead[edges == number]) for number in (0, 1, 2)])


def edges_of_highest(maps: Float[Tensor, "images cells cells"]) -> Int64[Tensor, "images"]:
    """Return at how many edges of its map, of 2x2 cells or more, the highest cell lies: 2 in a corner."""
    last = maps.shape[1] - 1
    row, column = torch.unravel_index(maps.flatten(1).argmax(1), maps.shape[1:])
    return ((row == 0) | (row == last)).long() + ((column == 0) | (column == last)).long()


def mean_and_count(values: Float[Tensor, "images"]) -> str:
    """Write the mean of the images with its interval, and how many they are."""
    return f"{mean_and_interval(values, '+')} ({len(values)} images)" if len(values) > 1 else f"({len(values)} images)"


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
