"""How good is a model? The one evaluation, at the end of a run and in `nin evaluate`."""

import time
from statistics import median

from torch import Tensor

from nin.data.images import LabelledImages
from nin.errors import ModelError, OptionError
from nin.inference.classifier import Classifier
from nin.metrics import Evaluation, evaluate_logits

BATCH = 256  # images, in the timing
SECONDS_OF_TIMING = 3


def evaluate(classifier: Classifier, images: LabelledImages) -> Evaluation:
    """Evaluate a classifier on labelled images, in float32, with its temperature.

    Raises:
        OptionError: something else than these was given.
        ModelError: it was trained on other classes than these images have.
        NinError: it was trained on images of other channels.

    """
    if not isinstance(classifier, Classifier) or not isinstance(images, LabelledImages):
        given = f"{type(classifier).__name__} and {type(images).__name__}"
        raise OptionError(f"evaluate takes a Classifier and LabelledImages, not {given}: nin.load(...), splits.test")
    config = classifier.config
    if config.labels != images.names:
        raise ModelError(
            f"the model's classes are {', '.join(config.labels)}, and the images' {', '.join(images.names)}: evaluate "
            "it on images of its own classes"
        )
    exact = Classifier(classifier.network, config, device=classifier.device, precision="float32")
    return evaluate_logits(exact.logits(images.images) / config.temperature, images.labels, config.labels)


def images_per_second(classifier: Classifier, images: Tensor) -> float:
    """Time `predict` on batches of 256 uint8 images: the median over some seconds, after one batch to warm up."""
    batch = images[:BATCH]
    classifier.predict(batch)
    took: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS_OF_TIMING or len(took) < 3:
        start = time.perf_counter()
        classifier.predict(batch)
        took.append(time.perf_counter() - start)
    return len(batch) / median(took)
