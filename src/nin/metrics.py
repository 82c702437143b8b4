"""How good are predictions, and how far can their probabilities be trusted? Logits and labels in, figures out; pure."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

MAX_TEMPERATURE = 20.0  # the lowest is 1 over it
BINS = 15  # of confidence
LARGEST_MATRIX = 100  # classes whose confusion matrix is written into JSON
MOST_LISTED, WORST_LISTED = 50, 20  # classes
# 97.5 % point of Student's t distribution for 1 to 20 degrees of freedom.
STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """How often predictions of each confidence are right.

    Of n bins, number i (from 0) holds the images with a confidence, the probability of the predicted class, above i/n
    and up to (i+1)/n. `confidence` and `accuracy` are means over a bin, None where it is empty. `error` is the expected
    calibration error: the mean over all images of the distance between their bin's accuracy and its confidence.
    """

    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    error: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good predictions are on labelled images.

    `accuracy_low` and `accuracy_high` bound the 95 % Wilson interval of the top-1 accuracy, which covers the sample of
    images and not the seed of the training. `balanced_accuracy` is the mean recall of the classes that have images, for
    which rare classes count as much as frequent ones (Brodersen, Ong, Stephan, Buhmann, ICPR 2010, 3121-3124). `loss`
    is the mean cross-entropy in nats. `precision` and `recall` have a value for each class, None where no image was
    predicted as it, or belongs to it. `confusion` has true classes in rows and predicted ones in columns.
    `probabilities` are (images, classes).
    """

    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    loss: float
    labels: tuple[str, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration
    probabilities: Tensor

    @property
    def images_per_class(self) -> tuple[int, ...]:
        """Numbers of images that belong to each class."""
        return tuple(map(sum, self.confusion))

    def mistakes(self) -> list[tuple[int, int, int]]:
        """Return (true class, predicted class, images) of every mistake that was made, the most frequent first."""
        pairs = (
            (true, predicted, count)
            for true, row in enumerate(self.confusion)
            for predicted, count in enumerate(row)
            if count and true != predicted
        )
        return sorted(pairs, key=lambda mistake: -mistake[2])

    def to_json(self) -> dict[str, Any]:
        """Return everything except the probabilities of the single images, as plain values.

        `confusion` is None for more than 100 classes: it would be a million numbers for a thousand, nearly all of them
        zero. `mistakes` and `images_per_class` hold the same.
        """
        values = {name: value for name, value in vars(self).items() if name != "probabilities"}
        return values | {
            "confusion": self.confusion if len(self.labels) <= LARGEST_MATRIX else None,
            "mistakes": self.mistakes(),
            "images_per_class": self.images_per_class,
            "calibration": asdict(self.calibration),
        }


def evaluate_logits(
    logits: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"], labels: tuple[str, ...]
) -> Evaluation:
    """Compare logits, already divided by the temperature, with the true classes; `labels` are the classes' names."""
    targets = targets.to(logits.device)
    matrix = confusion_matrix(logits, targets)
    correct, images = int(matrix.trace()), len(logits)
    low, high = wilson_interval(correct, images)
    probabilities = logits.softmax(dim=1)
    recall = _ratios(matrix.diagonal(), matrix.sum(dim=1))
    return Evaluation(
        images=images,
        accuracy=correct / images,
        accuracy_low=low,
        accuracy_high=high,
        balanced_accuracy=fmean(share for share in recall if share is not None),
        loss=F.cross_entropy(logits, targets).item(),
        labels=labels,
        precision=_ratios(matrix.diagonal(), matrix.sum(dim=0)),
        recall=recall,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        calibration=calibration(probabilities, targets),
        probabilities=probabilities,
    )


def top1_accuracy(logits: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"]) -> float:
    """Return the share of the images whose largest logit is that of their class."""
    return int((logits.argmax(dim=1) == targets.to(logits.device)).sum()) / len(logits)


def confusion_matrix(
    logits: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"]
) -> Int64[Tensor, "classes classes"]:
    """Count the images of each true class (rows) that are predicted as each class (columns), on the CPU."""
    classes = logits.shape[1]
    pairs = targets.to(logits.device) * classes + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes).cpu()


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson, JASA 22, 1927, 209-212).

    It covers the chance of which images were drawn for the test, not that of the training's seed.
    """
    z = 1.959964  # the normal distribution's 97.5 % point
    share = successes / trials
    middle = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def t_interval(values: Sequence[float]) -> float:
    """Return half of the 95 % t-interval of the mean of 2 to 21 values, such as one per seed; NaN for other counts."""
    if not 2 <= len(values) <= len(STUDENT_T) + 1:
        return math.nan
    return STUDENT_T[len(values) - 2] * stdev(values) / math.sqrt(len(values))


def most_confident_mistakes(
    probabilities: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"], number: int
) -> Int64[Tensor, "mistakes"]:
    """Return the positions of the mistakes with the highest confidence, highest first: at most `number`, on the CPU."""
    confidence, predicted = probabilities.max(dim=1)
    mistakes = (predicted != targets.to(predicted.device)).nonzero().flatten()
    highest_first = confidence[mistakes].argsort(descending=True, stable=True)
    return mistakes[highest_first[:number]].cpu()


def classes_to_list(recall: Sequence[float | None]) -> list[int]:
    """Return the positions of the classes that a reader is shown: all of up to 50, else the 20 of lowest recall."""
    positions = range(len(recall))
    if len(recall) <= MOST_LISTED:
        return list(positions)
    return sorted(positions, key=lambda index: 2.0 if (share := recall[index]) is None else share)[:WORST_LISTED]


# --- Calibration: are predictions of 80 % right in 80 of 100 cases? ---


def fit_temperature(logits: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"]) -> float:
    """Return the temperature T, 1/20 to 20, for which softmax(logits / T) has the least mean cross-entropy.

    Guo, Pleiss, Sun, Weinberger 2017, https://arxiv.org/abs/1706.04599, section 4.2. Every image keeps its predicted
    class; only the confidence changes. For a validation split: judged on the images it was fitted on, it is flattered.

    Logits without a mistake push towards full confidence, and give 1/20; logits that carry no information, all equal or
    not finite, give 1.
    """
    found = logits.cpu().double()
    found = found - found.amax(dim=1, keepdim=True)  # softmax does not change
    if not found.min() < 0:  # NaN is not, either
        return 1.0
    mean_of_true = found.gather(1, targets.cpu().unsqueeze(1)).mean()
    low, high = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE  # of 1/T, in which the loss is convex: its slope rises
    for _ in range(50):
        middle = math.sqrt(low * high)
        slope = ((found * middle).softmax(dim=1) * found).sum(dim=1).mean() - mean_of_true
        low, high = (middle, high) if slope <= 0 else (low, middle)
    return 1 / low


def calibration(probabilities: Float[Tensor, "images classes"], targets: Int64[Tensor, "images"]) -> Calibration:
    """Compare confidence with accuracy in bins of equal width.

    Naeini, Cooper, Hauskrecht, AAAI 2015, 2901-2907; with as many bins as Guo et al. 2017.
    """
    confidence, predicted = probabilities.cpu().max(dim=1)
    edges = torch.arange(1, BINS, dtype=confidence.dtype, device="cpu") / BINS
    bin_of = torch.bucketize(confidence, edges)
    counts = torch.bincount(bin_of, minlength=BINS)
    right = torch.bincount(bin_of, weights=(predicted == targets.cpu()).double(), minlength=BINS)
    sure = torch.bincount(bin_of, weights=confidence.double(), minlength=BINS)
    error = ((right - sure).abs().sum() / len(confidence)).item()
    return Calibration(tuple(counts.tolist()), _ratios(sure, counts), _ratios(right, counts), error)


def _ratios(parts: Tensor, wholes: Tensor) -> tuple[float | None, ...]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return tuple(part / whole if whole else None for part, whole in pairs)
