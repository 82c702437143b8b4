"""How good is a network? Scores of many pictures, and from them accuracy, interval, loss, confusion."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from nin.preprocessing import prepare

BATCH = 500  # pictures at a time: no part of the result, only of the memory used


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What scores say beside the true labels; `confusion` has true classes in rows, predicted ones in columns."""

    accuracy: float
    low: float
    high: float
    loss: float
    confusion: Int64[Tensor, "classes classes"]


def scores(
    network: nn.Module,
    images: UInt8[Tensor, "images channels height width"],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "float32",
) -> Float[Tensor, "images classes"]:
    """Score every picture with the network in `eval` mode: float32, on the network's device, (images, classes)."""
    device = next(network.parameters()).device
    found: list[Tensor] = []
    with evaluating(network), autocast(device, precision):
        for batch in images.split(BATCH):
            found.append(network(prepare(batch.to(device), size, mean, std)).float())
    return torch.cat(found)


def evaluate(
    scores: Float[Tensor, "images classes"], labels: Int64[Tensor, "images"], label_smoothing: float = 0.0
) -> Evaluation:
    """Compare scores with the true labels; the loss is the mean cross-entropy in nats."""
    labels = labels.to(scores.device)
    images, classes = scores.shape
    loss = F.cross_entropy(scores, labels, label_smoothing=label_smoothing).item()
    confusion = (
        torch.bincount(labels * classes + scores.argmax(dim=1), minlength=classes**2).view(classes, classes).cpu()
    )
    correct = int(confusion.trace())
    low, high = wilson_interval(correct, images)
    return Evaluation(correct / images, low, high, loss, confusion)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % interval of a proportion (Wilson, JASA 22, 1927, 209-212).

    It covers the chance of which pictures were drawn for the test, not the chance of the training's seed.
    """
    z = 1.959964  # the normal distribution's 97.5 % point
    share = successes / trials
    middle = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network in `eval` mode without gradients, and back as it was."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute convolutions in `precision` ("bfloat16" or "float32") on `device`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
