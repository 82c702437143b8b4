"""How fast are we beside the plain PyTorch loop at the same size, and what does the size alone give?

    make benchmark        or: python benchmarks/speed.py

Both sides get the same uint8 pictures and do their own preprocessing. They take turns on the same machine, since its
speed drifts; a ratio is the median over the rounds. "Same size" and "size alone" are two questions, and their ratios
are not mixed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from statistics import median

import reference
import torch

from nin.data import LabelledImages, fashion_mnist
from nin.devices import Precision, find_device
from nin.environment import processor
from nin.evaluation import scores
from nin.experiment import build, ship
from nin.planning import resolve
from nin.recipe import quick
from nin.training import Step, fit

CPU = find_device("cpu")
ROUNDS = 7
Timed = Callable[[], float]  # does some work, gives images/s


def main() -> None:
    """Measure and print a page of Markdown."""
    train = fashion_mnist().train.subset(torch.arange(12_800))
    print(
        f"{processor()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| what | size | reference, images/s | ours, images/s | ours / reference, same size |")
    print("|---|---|---|---|---|")
    speeds: dict[tuple[str, int], tuple[float, float]] = {}
    for size, steps in ((67, 20), (224, 2)):
        sides = {
            "training, plain network": ours_training(train, size, steps, batch_norm=False),
            "training as quick does: twin, Muon": ours_training(train, size, steps, batch_norm=True),
            "inference, float32": ours_inference(train, size, 256 * steps, "float32"),
            "inference, bfloat16": ours_inference(train, size, 256 * steps, "bfloat16"),
        }
        for name, ours in sides.items():
            theirs = (
                reference_inference(train, size, 256 * steps)
                if name.startswith("inference")
                else reference_training(train, size, steps)
            )
            speeds[name, size] = compare(name, size, theirs, ours)
    print("\nWhat the size alone gives, 67x67 against 224x224:\n\n| what | reference | ours |\n|---|---|---|")
    for name in ("training, plain network", "inference, bfloat16"):
        (slow, our_slow), (fast, our_fast) = speeds[name, 224], speeds[name, 67]
        print(f"| {name} | {fast / slow:.1f} | {our_fast / our_slow:.1f} |")
    print("\nSizes and all, ours at 67x67 against the reference at 224x224:\n\n| what | ratio |\n|---|---|")
    for name in sides:
        print(f"| {name} | {speeds[name, 67][1] / speeds[name, 224][0]:.1f} |")


def compare(name: str, size: int, theirs: Timed, ours: Timed) -> tuple[float, float]:
    """Let both sides take turns; print the row; give the medians of their speeds."""
    rounds = [(theirs(), ours()) for _ in range(1 + ROUNDS)][1:]  # the first warms up
    ratio = median(our / their for their, our in rounds)
    their_speed, our_speed = (median(side) for side in zip(*rounds, strict=True))
    print(f"| {name} | {size} | {their_speed:,.0f} | {our_speed:,.0f} | {ratio:.2f} |", flush=True)
    return their_speed, our_speed


def reference_training(train: LabelledImages, size: int, steps: int) -> Timed:
    """Give a function that makes some more steps of the reference's training."""
    return pace(reference.train(train.images, train.labels, size), steps)


def ours_training(train: LabelledImages, size: int, steps: int, batch_norm: bool) -> Timed:
    """Give a function that makes some more steps of ours, through `fit` itself.

    The twin goes as the recipe quick has it, in its larger batches; the plain network by SGD, in the reference's.
    """
    recipe = quick(epochs=100.0).at(size)
    if not batch_norm:
        recipe = replace(recipe, batch_norm=False, final_relu=True, learning_rate=0.01, muon=0.0, batch_size=128)
    plan = resolve(recipe, train, 0, CPU)
    events = fit(build(plan, 1), train, train.subset(torch.arange(1)), plan)
    made = (
        (recipe.batch_size, recipe.batch_size / event.images_per_second) for event in events if isinstance(event, Step)
    )
    return pace(made, steps)


def pace(made: Iterator[tuple[int, float]], steps: int) -> Timed:
    """Turn steps of (images, seconds) into a function that makes `steps` more and gives their images/s."""

    def more() -> float:
        images, seconds = zip(*islice(made, steps), strict=True)
        return sum(images) / sum(seconds)

    return more


def reference_inference(train: LabelledImages, size: int, images: int) -> Timed:
    """Give a function that predicts with the reference."""
    network, pictures = reference.network(), train.images[:images]
    return clocked(lambda: reference.predict(network, pictures, size), images)


def ours_inference(train: LabelledImages, size: int, images: int, precision: Precision) -> Timed:
    """Give a function that predicts with ours, as evaluation does."""
    plan = resolve(quick().at(size), train, 0, CPU)
    network, pictures = ship(build(plan, 1), plan, train.subset(torch.arange(256))), train.images[:images]
    return clocked(lambda: scores(network, pictures, size, plan.mean, plan.std, precision).argmax(dim=1), images)


def clocked(work: Callable[[], object], images: int) -> Timed:
    """Turn work on so many images into a function that does it and gives its images/s."""

    def timed() -> float:
        began = time.perf_counter()
        work()
        return images / (time.perf_counter() - began)

    return timed


if __name__ == "__main__":
    main()
