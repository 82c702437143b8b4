"""Does an exported file say what the classifier says? The file is run on real images, and compared."""

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nin.data.progress import Progress, no_progress
from nin.errors import ModelError
from nin.inference.classifier import Classifier
from nin.networks.forward import images_per_batch

TOLERANCE = 1e-4  # of a probability
Outputs = Mapping[str, np.ndarray]
Run = Callable[[np.ndarray], Outputs]


@dataclass(frozen=True)
class Parity:
    """How an exported file compares with its classifier: on how many images, and the largest difference."""

    images: int
    difference: float


def onnx_runner(content: bytes) -> Run:
    """Return a function that runs the content of an ONNX file by ONNX Runtime, on the CPU."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def torch_runner(content: bytes, names: Sequence[str]) -> Run:
    """Return a function that runs the content of a file of `torch.export`, whose outputs have these names."""
    with quiet():
        program = torch.export.load(io.BytesIO(content)).module()

    def run(images: np.ndarray) -> Outputs:
        with torch.inference_mode():
            found = program(torch.from_numpy(images))
        return {name: values.numpy() for name, values in zip(names, found, strict=True)}

    return run


def compare(run: Run, classifier: Classifier, images: Tensor, on_progress: Progress = no_progress) -> Parity:
    """Compare a file with its classifier on images.

    Raises:
        ModelError: a probability differs by more than `TOLERANCE`, or an image gets another label.

    """
    exact = Classifier(classifier.network, classifier.config, device=classifier.device, precision="float32")
    largest, done = 0.0, 0
    for batch in images.split(images_per_batch(classifier.config.preprocessing.size)):
        expected, found = exact.probabilities(batch), torch.from_numpy(run(batch.numpy(force=True))["probabilities"])
        difference = (expected - found).abs().nan_to_num(nan=math.inf).max().item()
        largest, others = max(largest, difference), int((expected.argmax(1) != found.argmax(1)).sum())
        if others or not largest <= TOLERANCE:
            raise ModelError(
                f"the exported model differs from the classifier by {largest:.2g} in a probability and in the labels "
                f"of {others} of {len(batch)} images: nothing was written; is another version of PyTorch at hand?"
            )
        done += len(batch)
        on_progress("comparing", done, len(images))
    return Parity(len(images), largest)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporter says to its own developers from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
