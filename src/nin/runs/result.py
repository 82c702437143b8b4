"""What is the outcome of a run? What `nin.train` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nin.inference.classifier import Classifier
from nin.metrics import Evaluation

Ended = Literal["finished", "interrupted", "dead"]


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of a run.

    Attributes:
        folder: the run folder.
        classifier: the trained model, computing in float32.
        ended: how the training ended.
        troubles: what was wrong, a line each.
        epochs: passes through the training images.
        validation: the evaluation on the validation images, by which the temperature was fitted.
        test: the evaluation on the test images, which were read once, by this classifier.
        parameters: of the network.
        multiply_adds: of one image.
        images_per_second: of training; None where not one validation was reached.
        training_seconds: of the training steps up to the last validation.
        seconds: of the whole run up to the last evaluation.

    """

    folder: Path
    classifier: Classifier
    ended: Ended
    troubles: tuple[str, ...]
    epochs: float
    validation: Evaluation
    test: Evaluation
    parameters: int
    multiply_adds: int
    images_per_second: float | None
    training_seconds: float
    seconds: float

    @property
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test images."""
        return self.test.accuracy

    @property
    def validation_accuracy(self) -> float:
        """Top-1 accuracy on the validation images."""
        return self.validation.accuracy

    def to_json(self) -> dict[str, Any]:
        """Return what `result.json` holds: plain values."""
        own = ("ended", "troubles", "epochs", "parameters", "multiply_adds")
        times = ("images_per_second", "training_seconds", "seconds")
        return {
            **{name: getattr(self, name) for name in own},
            "test_images": self.test.images,
            "test_accuracy": self.test.accuracy,
            "test_accuracy_low": self.test.accuracy_low,
            "test_accuracy_high": self.test.accuracy_high,
            "test_loss": self.test.loss,
            "validation_accuracy": self.validation.accuracy,
            "validation_loss": self.validation.loss,
            "temperature": self.classifier.config.temperature,
            "calibration_error": self.test.calibration.error,
            **{name: getattr(self, name) for name in times},
            "network": repr(self.classifier.network),
        }
