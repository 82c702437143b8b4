"""What does a model come to on the test pictures? What `nin evaluate` says, and draws."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from nin import figures, runs
from nin.classifier import Classifier
from nin.data import LabelledImages
from nin.errors import ModelError
from nin.evaluation import (
    Calibration,
    calibration,
    class_precision,
    class_recall,
    evaluate,
    most_confident_mistakes,
)

MISTAKES = 30  # shown
BATCH = 256  # pictures at a time, in the timing
SECONDS_OF_TIMING = 3


@dataclass(frozen=True, eq=False)
class Assessment:
    """What a classifier comes to: `to_json` is what `evaluation.json` holds.

    Everything but the speed is computed in float32. `low` and `high` bound the 95 % Wilson interval of the accuracy,
    which covers the test sample and not the seed of the training. `loss` is the mean cross-entropy in nats, after the
    temperature. `precision` and `recall` have a value a class, None where no picture was predicted as it, or is of it.
    `images_per_second` is of `predict` in batches of 256 uint8 pictures, in the `computed_in` that users get.
    """

    pictures: int
    accuracy: float
    low: float
    high: float
    loss: float
    labels: tuple[str, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    temperature: float
    calibration: Calibration
    images_per_second: float
    computed_in: str
    probabilities: Tensor  # (images, classes)

    def to_json(self) -> dict[str, Any]:
        """Give everything but the probabilities of the single pictures."""
        kept = {name: value for name, value in vars(self).items() if name != "probabilities"}
        return kept | {"calibration": vars(self.calibration)}


def assess(classifier: Classifier, test: LabelledImages) -> Assessment:
    """Evaluate and time a classifier on labelled pictures.

    Raises:
        ModelError: it was made for other classes than these pictures have.
        NinError: for other channels.

    """
    config = classifier.config
    if config.labels != test.names:
        raise ModelError(
            f"the model tells apart {', '.join(config.labels)}, and these pictures are {', '.join(test.names)}: "
            "evaluate it on pictures of its own classes"
        )
    exact = Classifier(classifier.network, config, device=classifier.device, precision="float32")
    scores = exact.scores(test.images) / config.temperature
    found, probabilities = evaluate(scores, test.labels), scores.softmax(dim=1)
    return Assessment(
        pictures=len(test),
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        loss=found.loss,
        labels=config.labels,
        precision=class_precision(found.confusion),
        recall=class_recall(found.confusion),
        confusion=tuple(tuple(row) for row in found.confusion.tolist()),
        temperature=config.temperature,
        calibration=calibration(probabilities, test.labels),
        images_per_second=images_per_second(classifier, test.images),
        computed_in=classifier.precision,
        probabilities=probabilities,
    )


def images_per_second(classifier: Classifier, images: Tensor) -> float:
    """Time `predict` on batches of uint8 pictures: the median over some seconds, after one batch to warm up."""
    batch = images[:BATCH]
    classifier.predict(batch)
    took: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS_OF_TIMING or len(took) < 3:
        start = time.perf_counter()
        classifier.predict(batch)
        took.append(time.perf_counter() - start)
    return len(batch) / median(took)


def write(assessment: Assessment, test: LabelledImages, folder: Path) -> None:
    """Write `evaluation.json` and the figures into a new folder.

    Raises:
        RunError: the folder is there already, or cannot be written.

    """
    runs.new_run(folder)
    wrong = most_confident_mistakes(assessment.probabilities, test.labels, MISTAKES)
    confidence, predicted = assessment.probabilities[wrong].max(dim=1)
    drawn = {
        "confusion.png": figures.confusion(torch.tensor(assessment.confusion), test.names),
        "reliability.png": figures.reliability(assessment.calibration),
    }
    if len(wrong):
        shown = test.subset(wrong)
        headline = f"The {len(wrong)} mistakes that the network is surest of"
        drawn["mistakes.png"] = figures.prediction(
            shown.images, shown.labels, predicted, confidence, test.names, headline=headline
        )
    for name, figure in drawn.items():
        runs.write(folder / name, figures.to_png(figure))
    runs.write_json(folder / "evaluation.json", assessment.to_json())
