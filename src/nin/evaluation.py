"""How good is a network, and how far can its probabilities be trusted? Scores of many pictures, and what they show."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from nin.devices import Precision, autocast
from nin.preprocessing import prepare

PIXELS = 500 * 67**2  # of pictures at a time: no part of the result, only of the memory used
HOTTEST = 20.0  # the highest temperature that is looked at; the lowest is one over it
BINS = 15  # of confidence


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
    precision: Precision = "float32",
) -> Float[Tensor, "images classes"]:
    """Score every picture with the network in `eval` mode: float32, on the network's device, (images, classes)."""
    device = next(network.parameters()).device
    found: list[Tensor] = []
    with evaluating(network), autocast(device, precision):
        for batch in images.split(at_once(size)):
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


def class_recall(confusion: Int64[Tensor, "classes classes"]) -> tuple[float | None, ...]:
    """Give the share of each class's pictures that was found; None for a class without pictures."""
    return _shares(confusion.diagonal(), confusion.sum(dim=1))


def class_precision(confusion: Int64[Tensor, "classes classes"]) -> tuple[float | None, ...]:
    """Give the share of the pictures taken for each class that are of it; None for a class never predicted."""
    return _shares(confusion.diagonal(), confusion.sum(dim=0))


def most_confident_mistakes(
    probabilities: Float[Tensor, "images classes"], labels: Int64[Tensor, "images"], number: int
) -> Int64[Tensor, "mistakes"]:
    """Find the mistakes the network was surest of, the surest first: at most `number` positions, on the CPU."""
    confidence, predicted = probabilities.max(dim=1)
    mistakes = (predicted != labels.to(predicted.device)).nonzero().flatten()
    surest_first = confidence[mistakes].argsort(descending=True, stable=True)
    return mistakes[surest_first[:number]].cpu()


# ---------------------------------------------------------------------------------------------------------------------
# Calibration: does a picture predicted with 80 % turn out right in 80 of 100 cases?


def fit_temperature(scores: Float[Tensor, "images classes"], labels: Int64[Tensor, "images"]) -> float:
    """Find the temperature T, 1/20 to 20, whose softmax(scores / T) has the least mean cross-entropy.

    Guo, Pleiss, Sun, Weinberger 2017, https://arxiv.org/abs/1706.04599, section 4.2. Every picture keeps its predicted
    class; only the confidence changes. For a validation split: fitted on what it is judged by, it flatters itself.

    Scores without a mistake want to be as sure as can be, and give 1/20; scores from which nothing can be learnt, all
    equal or not finite, give 1.
    """
    found = scores.cpu().double()
    found = found - found.amax(dim=1, keepdim=True)  # softmax does not change
    if not found.min() < 0:  # NaN is not, either
        return 1.0
    mean_of_true = found.gather(1, labels.cpu().unsqueeze(1)).mean()
    low, high = 1 / HOTTEST, HOTTEST  # of 1/T, in which the loss is convex: its slope rises
    for _ in range(50):
        middle = math.sqrt(low * high)
        slope = ((found * middle).softmax(dim=1) * found).sum(dim=1).mean() - mean_of_true
        low, high = (middle, high) if slope <= 0 else (low, middle)
    return 1 / low


@dataclass(frozen=True)
class Calibration:
    """How often predictions of each confidence are right.

    Of n bins, number i (from 0) holds the pictures with a confidence, the probability of the predicted class, above
    i/n and up to (i+1)/n. `confidence` and `accuracy` are means over a bin, None where it is empty. `error` is the
    expected calibration error: the mean over all pictures of how far their bin's accuracy is from its confidence.
    """

    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    error: float


def calibration(probabilities: Float[Tensor, "images classes"], labels: Int64[Tensor, "images"]) -> Calibration:
    """Compare confidence with accuracy in bins of equal width.

    Naeini, Cooper, Hauskrecht, AAAI 2015, 2901-2907; with as many bins as Guo et al. 2017.
    """
    confidence, predicted = probabilities.cpu().max(dim=1)
    edges = torch.arange(1, BINS, dtype=confidence.dtype) / BINS
    bin_of = torch.bucketize(confidence, edges)
    counts = torch.bincount(bin_of, minlength=BINS)
    right = torch.bincount(bin_of, weights=(predicted == labels.cpu()).double(), minlength=BINS)
    sure = torch.bincount(bin_of, weights=confidence.double(), minlength=BINS)
    error = ((right - sure).abs().sum() / len(confidence)).item()
    return Calibration(tuple(counts.tolist()), _shares(sure, counts), _shares(right, counts), error)


def _shares(parts: Tensor, wholes: Tensor) -> tuple[float | None, ...]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return tuple(part / whole if whole else None for part, whole in pairs)


# ---------------------------------------------------------------------------------------------------------------------
# Modes


def at_once(size: int) -> int:
    """Say how many pictures of `size` pixels a side, in or out, to take through a network at a time."""
    return max(1, min(500, PIXELS // size**2))


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
