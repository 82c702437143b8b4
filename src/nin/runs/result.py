"""What is the outcome of a run? What `nin.train` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nin.inference.classifier import Classifier
from nin.metrics import Evaluation
from nin.runs.evaluate import Evaluated

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
        validation: the evaluation on the validation images, on which the temperature was fitted.
        test: the evaluation on the test images, which were read once, by this classifier; None where there are none.
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
    test: Evaluation | None
    parameters: int
    multiply_adds: int
    images_per_second: float | None
    training_seconds: float
    seconds: float

    @property
    def evaluated(self) -> Evaluated:
        """The split that the run is judged by: "test", or "validation" where there are no test images."""
        return "validation" if self.test is None else "test"

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation on that split, which figures and report show."""
        return self.validation if self.test is None else self.test

    @property
    def test_accuracy(self) -> float | None:
        """Top-1 accuracy on the test images; None where there are none."""
        return None if self.test is None else self.test.accuracy

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
            "evaluated": self.evaluated,
            **_figures("test", self.test),
            **_figures("validation", self.validation),
            "temperature": self.classifier.config.temperature,
            "calibration_error": self.evaluation.calibration.error,
            **{name: getattr(self, name) for name in times},
            "network": repr(self.classifier.network),
        }


def _figures(split: Evaluated, evaluation: Evaluation | None) -> dict[str, int | float | None]:
    """Return the figures of a split that `result.json` holds, which are None where the split has no images."""
    names = ("images", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "loss")
    return {f"{split}_{name}": None if evaluation is None else getattr(evaluation, name) for name in names}
