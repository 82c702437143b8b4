"""How does an ONNX model become smaller and faster? In int8, if that pays on this machine and costs no accuracy."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from nin.data.images import LabelledImages
from nin.errors import OptionError
from nin.inference.export import require_onnx
from nin.inference.parity import Run, onnx_runner
from nin.metrics import top1_accuracy

CALIBRATION_IMAGES = 512
CALIBRATION_BATCH = 32
LARGE_BATCH = 256
SECONDS_OF_TIMING = 2
MOST_LOST = 0.002  # of accuracy
QUANTISED = ["Conv", "Relu", "MaxPool", "AveragePool", "Gemm", "MatMul"]  # preprocessing and softmax stay in float32


@dataclass(frozen=True)
class Figures:
    """Accuracy and speed of a file: images/s, one at a time and in batches of 256."""

    accuracy: float
    single: float
    batch: float


@dataclass(frozen=True)
class Quantised:
    """An ONNX file in int8, its figures, and those of the float32 file beside it."""

    content: bytes
    int8: Figures
    float32: Figures

    def check(self) -> None:
        """Raise OptionError, with the figures, if int8 is not faster or costs more than 0.2 points of accuracy."""
        lost = self.float32.accuracy - self.int8.accuracy
        slower = self.int8.single <= self.float32.single or self.int8.batch <= self.float32.batch
        if slower or lost > MOST_LOST:
            why = "is not faster on this machine" if slower else f"costs {100 * lost:.2f} points of accuracy"
            raise OptionError(f"int8 {why}: {in_words(self)}; export without --int8")


def in_words(found: Quantised) -> str:
    """Write both figures of a pair."""
    return "; ".join(
        f"{name}: accuracy {one.accuracy:.4f}, {one.single:,.0f} images/s one at a time, {one.batch:,.0f} in batches "
        f"of {LARGE_BATCH}"
        for name, one in (("int8", found.int8), ("float32", found.float32))
    )


def quantise(
    content: bytes, training_images: UInt8[Tensor, "images channels height width"], images: LabelledImages
) -> Quantised:
    """Quantise an ONNX file of images of a fixed size to int8: static, and per channel of the weights, in 7 bits.

    Args:
        content: of the file.
        training_images: prepared as the model's; some of them show how large activations become.
        images: labelled ones that the model was not trained on, to measure both files on.

    Raises:
        OptionError: the packages to do it are missing.

    """
    require_onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = _batches(training_images)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, f"{name}.onnx") for name in ("float32", "prepared", "int8"))
        source.write_bytes(content)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        options: dict[str, Any] = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(
            str(prepared),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # with 8 bits sums would saturate on x86 processors without VNNI
            op_types_to_quantize=QUANTISED,
            **options,
        )
        small = target.read_bytes()
    return Quantised(small, *_measure(onnx_runner(small), onnx_runner(content), images))


def _batches(images: Tensor) -> Iterator[dict[str, np.ndarray]]:
    """Yield some of the images, at even steps, since data sets may come class by class."""
    chosen = images[torch.linspace(0, len(images) - 1, min(len(images), CALIBRATION_IMAGES)).long()]
    return ({"images": batch.numpy(force=True)} for batch in chosen.split(CALIBRATION_BATCH))


def _measure(int8: Run, float32: Run, images: LabelledImages) -> tuple[Figures, Figures]:
    """Measure two files, timed in turn, so that a machine that wavers slows both."""
    runs = (int8, float32)
    accuracy = [_accuracy(run, images) for run in runs]
    single, batch = (_images_per_second(runs, images.images[:size]) for size in (1, LARGE_BATCH))
    first, second = (Figures(accuracy[index], single[index], batch[index]) for index in (0, 1))
    return first, second


def _accuracy(run: Run, images: LabelledImages) -> float:
    logits = [torch.from_numpy(run(batch.numpy(force=True))["logits"]) for batch in images.images.split(LARGE_BATCH)]
    return top1_accuracy(torch.cat(logits), images.labels.cpu())


def _images_per_second(runs: tuple[Run, ...], images: Tensor) -> list[float]:
    batch = images.numpy(force=True)
    took: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run(batch)
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS_OF_TIMING or len(took[0]) < 5:
        for run, seconds in zip(runs, took, strict=True):
            start = time.perf_counter()
            run(batch)
            seconds.append(time.perf_counter() - start)
    return [len(batch) / median(seconds) for seconds in took]
