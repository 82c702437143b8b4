"""How good is a model? The one evaluation, at the end of a run and in `nin evaluate`."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Literal

import torch
from torch import Tensor

from nin.data.images import LabelledImages, Splits
from nin.distributed import in_batches
from nin.errors import ModelError, OptionError
from nin.inference.classifier import Classifier
from nin.metrics import Evaluation, evaluate_logits
from nin.networks.forward import images_per_batch
from nin.text import printable

BATCH = 256  # images, in the timing
SECONDS_OF_TIMING = 3

Evaluated = Literal["test", "validation"]


def evaluated_split(splits: Splits) -> tuple[Evaluated, LabelledImages]:
    """Return the images to evaluate on, with their split's name: test, or validation where there are no test images."""
    return ("validation", splits.validation) if splits.test is None else ("test", splits.test)


def evaluate(classifier: Classifier, images: LabelledImages) -> Evaluation:
    """Evaluate a classifier on labelled images, in float32, with its temperature.

    The classes are matched by name: the images' may come in another order than the classifier's, and be fewer.
    Processes that `torchrun` has started, and that have joined as in `nin.train`, divide the images: all must call it.

    Raises:
        OptionError: something else than these was given.
        ModelError: the images have a class that it was not trained on.
        NinError: it was trained on images of other channels.

    """
    if not isinstance(classifier, Classifier) or not isinstance(images, LabelledImages):
        given = f"{type(classifier).__name__} and {type(images).__name__}"
        raise OptionError(f"evaluate takes a Classifier and LabelledImages, not {given}: nin.load(...), splits.test")
    config = classifier.config
    labels = with_names(images, config.labels).labels
    exact = Classifier(classifier.network, config, device=classifier.device, precision="float32")
    return evaluate_logits(logits_of(exact, images.images) / config.temperature, labels, config.labels)


def logits_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Return the logits of images, (images, classes); several processes divide them, and each returns all."""
    most = images_per_batch(max(classifier.config.preprocessing.size, *images.shape[2:]))
    return in_batches(classifier.logits, images, most, torch.device("cpu"))


def with_names(images: LabelledImages, names: tuple[str, ...]) -> LabelledImages:
    """Return the same images with their labels as positions in `names`, which must have all of their classes.

    Raises:
        ModelError: a class of the images is not among the names, which are a model's.

    """
    if images.names == names:
        return images
    position = {name: index for index, name in enumerate(names)}
    if strange := [name for name in images.names if name not in position]:
        raise ModelError(
            f"the model does not know {_listed(strange)}: its classes are {_listed(names)}; evaluate it on images of "
            "its own classes"
        )
    moved = torch.tensor([position[name] for name in images.names], device=images.labels.device)
    return LabelledImages(images.images, moved[images.labels], names, images.keys)


def _listed(names: Sequence[str]) -> str:
    """Name up to ten classes in one line."""
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return ", ".join(map(printable, names[:10])) + more


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
