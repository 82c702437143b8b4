"""How does a model leave? As one file for other software, with preprocessing, temperature and class maps inside."""

import contextlib
import copy
import io
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

from nin.choices import Format, check_choice
from nin.data.progress import Progress, no_progress
from nin.errors import ModelError, OptionError
from nin.extras import require
from nin.files import write
from nin.inference.classifier import Classifier
from nin.inference.parity import Parity, compare, onnx_runner, quiet, torch_runner
from nin.networks.imported import is_import_path
from nin.networks.registry import find_architecture
from nin.text import printable

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 20  # of 2023; ONNX Runtime 1.17 and later read it
Shape = tuple[int, int]  # height and width


class ExportedModel(nn.Module):
    """A classifier as a module of tensors: from uint8 images to what `output_names` says.

    Args:
        classifier: its network is copied.
        shape: height and width of the images; None for images of any size.

    """

    def __init__(self, classifier: Classifier, shape: Shape | None) -> None:
        super().__init__()
        config = classifier.config
        preprocessing = config.preprocessing
        grid = find_architecture(config.architecture).cells
        self.network = copy.deepcopy(classifier.network).cpu()
        for parameter in self.network.parameters():
            parameter.data = parameter.data.contiguous()
        self.temperature, self.shape = config.temperature, shape
        self.pool = None if grid is None else grid.pool
        self.size = preprocessing.size
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        self.shift, self.scale = nn.Buffer(255 * mean), nn.Buffer(torch.where(std > 0, 1 / (255 * std), 0.0))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        return ("probabilities", "logits", *(("class_maps",) if self.pool else ()))

    def forward(self, images: UInt8[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        """Return probabilities (batch, classes), logits (batch, classes) and class maps (batch, classes, h, w)."""
        x = (images.float() - self.shift) * self.scale
        if self.shape != (self.size, self.size):
            # Where an image is enlarged, antialiasing changes nothing.
            antialias = self.shape is None or max(self.shape) > self.size
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=antialias)
        if self.pool is None:
            logits, maps = self.network(x), ()
        else:
            maps_of: Any = self.network.class_maps
            class_maps = maps_of(x)
            logits = class_maps.amax(dim=(2, 3)) if self.pool == "max" else class_maps.mean(dim=(2, 3))
            maps = (class_maps,)
        return ((logits / self.temperature).softmax(dim=1), logits, *maps)


def check_file(path: Path, format: Format) -> None:
    """Check that a file is new, and named as files of its format are. Raises OptionError."""
    suffix = SUFFIXES[format]
    if os.path.lexists(path) or path.suffix != suffix:
        raise OptionError(f"FILE must be a new file that ends in {suffix}, not {path}")


def export(
    classifier: Classifier,
    path: Path,
    images: UInt8[Tensor, "images channels height width"],
    *,
    format: Format = "onnx",
    any_size: bool = False,
    on_progress: Progress = no_progress,
) -> Parity:
    """Write a classifier as one file that other software runs, after a comparison of both on `images`.

    Args:
        classifier: in any precision; the file computes in float32.
        path: of a new file.
        images: real ones, prepared as the model's.
        format: "onnx", or "torch" for a program of `torch.export`, which `torch.export.load` reads.
        any_size: whether the file takes images of any size, and resizes them inside; otherwise of the size of `images`.
        on_progress: called while the images are compared.

    Raises:
        OptionError: the file is there already, or of another format, or the packages to write it are missing.
        ModelError: the network cannot be traced, or the file says something else than the classifier; it is not
            written then.
        FileError: it cannot be written.

    """
    check_choice("format", format, Format)
    check_file(path, format)
    shape = None if any_size else shape_of(images)
    content = to_onnx(classifier, shape) if format == "onnx" else to_torch(classifier, shape)
    run = (
        onnx_runner(content)
        if format == "onnx"
        else torch_runner(content, ExportedModel(classifier, shape).output_names)
    )
    parity = compare(run, classifier, images, on_progress)
    write(path, content)
    return parity


def shape_of(images: Tensor) -> Shape:
    """Return height and width of images."""
    return images.shape[2], images.shape[3]


def to_onnx(classifier: Classifier, shape: Shape | None) -> bytes:
    """Return the content of an ONNX file. Raises OptionError where the packages for it are missing."""
    require_onnx()
    module, examples, free, names = _traceable(classifier, shape)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        with _tracing(classifier):
            program: Any = torch.onnx.export(
                module,
                (examples,),
                dynamo=True,
                dynamic_shapes=(free,),
                input_names=["images"],
                output_names=list(names),
                opset_version=OPSET,
                verbose=False,
            )
        program.model.metadata_props.update(metadata(classifier, shape))
        file = Path(folder, "model.onnx")
        program.save(file)
        return file.read_bytes()


def require_onnx() -> None:
    """Raise OptionError where a package that export to ONNX needs is missing."""
    require("onnx", "export to ONNX", "onnx", "onnxscript", "onnxruntime")


def to_torch(classifier: Classifier, shape: Shape | None) -> bytes:
    """Return the content of a file of `torch.export`."""
    module, examples, free, _ = _traceable(classifier, shape)
    file = io.BytesIO()
    with quiet():
        with _tracing(classifier):
            program = torch.export.export(module, (examples,), dynamic_shapes=(free,))
        torch.export.save(program, file, extra_files={"metadata.json": json.dumps(metadata(classifier, shape))})
    return file.getvalue()


def metadata(classifier: Classifier, shape: Shape | None) -> dict[str, str]:
    """Return what a reader of the file needs to know: labels, how photos become images, and what it was made with."""
    config = classifier.config
    return {
        "labels": json.dumps(config.labels, ensure_ascii=False),
        "architecture": config.architecture,
        "image_size": "any" if shape is None else "x".join(map(str, shape)),
        "channels": str(config.in_channels),
        "preparation": msgspec.json.encode(config.preparation).decode(),
        "temperature": repr(config.temperature),
        "nin": version("network-in-network"),
        "torch": str(torch.__version__),
    }


@contextlib.contextmanager
def _tracing(classifier: Classifier) -> Iterator[None]:
    """Raise ModelError for whatever stops the tracing of a network that is not ours."""
    name = classifier.config.architecture
    try:
        yield
    except Exception as error:
        if not is_import_path(name):
            raise
        cause = error.__cause__ or error
        reason = printable(str(cause).strip().partition("\n")[0]) or type(cause).__name__
        raise ModelError(
            f"the network {name} cannot be exported: {reason}; its forward must not depend on the values of pixels or "
            "on the size of the batch, and its operations must exist in the format"
        ) from error


def _traceable(
    classifier: Classifier, shape: Shape | None
) -> tuple[nn.Module, Tensor, dict[int, Any], tuple[str, ...]]:
    """Return the module to trace, example images, which of their dimensions are free, and the names of the outputs."""
    module = ExportedModel(classifier, shape).eval()
    height, width = shape or (131, 137)  # two that are not equal, and no network's own size
    examples = torch.zeros(2, classifier.config.in_channels, height, width, dtype=torch.uint8)
    free = {0: torch.export.Dim("batch", min=1)}
    if shape is None:
        free |= {2: torch.export.Dim("height", min=1), 3: torch.export.Dim("width", min=1)}
    return module, examples, free, module.output_names
