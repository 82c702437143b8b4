"""How fast are we beside the plain PyTorch loop at the same size, and what does the size alone give?

    make benchmark        or: python benchmarks/speed.py

Both sides get the same uint8 images and do their own preprocessing. They take turns on the same machine, since its
speed drifts; a ratio is the median over the rounds. "Same size" and "size alone" are two questions, and their ratios
are not mixed.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median

import reference
import torch
from msgspec.structs import replace

from nin.choices import Precision
from nin.data.images import LabelledImages
from nin.data.sources.fashion_mnist import fashion_mnist
from nin.device import find_device
from nin.networks.forward import compute_logits
from nin.runs.environment import processor
from nin.training.events import Step
from nin.training.fit import Training
from nin.training.named_recipes import quick
from nin.training.network import final_network, initial_network
from nin.training.plan import resolve

CPU = find_device("cpu")
ROUNDS = 7
Timed = Callable[[], float]  # does some work, returns images/s


def main() -> None:
    """Measure and print a page of Markdown."""
    train = fashion_mnist().train.first(12_800)
    print(heading())
    print("| what | size | reference, images/s | ours, images/s | ours / reference, same size |")
    print("|---|---|---|---|---|")
    speeds: dict[tuple[str, int], tuple[float, float]] = {}
    for size, steps in ((67, 20), (224, 2)):
        sides = {
            "training, plain network": our_training(train, size, steps, batch_norm=False),
            "training as quick does: batch-norm variant, Muon": our_training(train, size, steps, batch_norm=True),
            "inference, float32": our_inference(train, size, 256 * steps, "float32"),
            "inference, bfloat16": our_inference(train, size, 256 * steps, "bfloat16"),
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
    print("\nEverything together, ours at 67x67 against the reference at 224x224:\n\n| what | ratio |\n|---|---|")
    for name in sides:
        print(f"| {name} | {speeds[name, 67][1] / speeds[name, 224][0]:.1f} |")


def heading() -> str:
    """Return the line about machine, PyTorch and date that opens a record."""
    threads, today = torch.get_num_threads(), time.strftime("%Y-%m-%d")
    return f"{processor()}, {threads} threads, PyTorch {torch.__version__}, {today}\n"


def compare(name: str, size: int, theirs: Timed, ours: Timed) -> tuple[float, float]:
    """Let both sides take turns, print the row, and return the medians of their speeds."""
    rounds = [(theirs(), ours()) for _ in range(1 + ROUNDS)][1:]  # the first is warm-up
    ratio = median(our / their for their, our in rounds)
    their_speed, our_speed = (median(side) for side in zip(*rounds, strict=True))
    print(f"| {name} | {size} | {their_speed:,.0f} | {our_speed:,.0f} | {ratio:.2f} |", flush=True)
    return their_speed, our_speed


def reference_training(train: LabelledImages, size: int, steps: int) -> Timed:
    """Return a function that makes `steps` more steps of the reference's training."""
    return timed_steps(reference.train(train.images, train.labels, size), steps)


def our_training(train: LabelledImages, size: int, steps: int, batch_norm: bool) -> Timed:
    """Return a function that makes `steps` more steps of our training, by `Training.fit` itself.

    The batch-norm variant is trained as in the recipe quick, in its larger batches; the plain network by SGD, in
    batches of the reference's size.
    """
    recipe = replace(quick(epochs=100.0), size=size)
    if not batch_norm:
        plain = {"batch_norm": False, "final_relu": True, "muon_learning_rate": 0.0, "batch_size": 128}
        recipe = replace(recipe, **plain, learning_rate=0.01)
    plan = resolve(recipe, train, 0, CPU)
    events = Training(initial_network(plan), train, train.first(1), plan).fit()
    made = (
        (recipe.batch_size, recipe.batch_size / event.images_per_second) for event in events if isinstance(event, Step)
    )
    return timed_steps(made, steps)


def timed_steps(made: Iterator[tuple[int, float]], steps: int) -> Timed:
    """Turn steps of (images, seconds) into a function that makes `steps` more and returns their images/s."""

    def more() -> float:
        images, seconds = zip(*islice(made, steps), strict=True)
        return sum(images) / sum(seconds)

    return more


def reference_inference(train: LabelledImages, size: int, count: int) -> Timed:
    """Return a function that predicts `count` images with the reference."""
    network, images = reference.network(), train.images[:count]
    return timed(lambda: reference.predict(network, images, size), count)


def our_inference(train: LabelledImages, size: int, count: int, precision: Precision) -> Timed:
    """Return a function that predicts `count` images with ours, as evaluation does."""
    plan = resolve(replace(quick(), size=size), train, 0, CPU)
    network, images = final_network(initial_network(plan), plan, train.first(256)), train.images[:count]
    return timed(lambda: compute_logits(network, images, plan.preprocessing, precision).argmax(dim=1), count)


def timed(work: Callable[[], object], images: int) -> Timed:
    """Turn work on so many images into a function that does it and returns its images/s."""

    def timed_work() -> float:
        started = time.perf_counter()
        work()
        return images / (time.perf_counter() - started)

    return timed_work


if __name__ == "__main__":
    main()
