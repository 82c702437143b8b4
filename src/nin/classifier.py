"""What ships? Preprocessing, network and labels together, so that nobody can get one of them wrong."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from nin.devices import Precision, autocast, fastest_precision, find_device
from nin.errors import ModelError, NinError, OptionError
from nin.evaluation import at_once, evaluating
from nin.model_folder import Config, find_model, read_folder, save_folder
from nin.network import NiN
from nin.pictures import prepare_picture, read_picture
from nin.preprocessing import channels_last, prepare
from nin.recipe import DeviceName

Pictures = Tensor | np.ndarray | Image.Image | str | os.PathLike[str] | Sequence[Any]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture: the likeliest label, its probability, and that of every label (0..1)."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier:
    """A network with what it needs: takes pictures, gives labels, probabilities and class maps.

    The network is taken over: put in `eval` mode and on the `device`. `precision` is that of its convolutions; scores,
    maps and probabilities come as float32 on the CPU.

    Pictures may be given as

    - a tensor or array of (images, channels, height, width) or (channels, height, width); of grey ones (images, height,
      width) or (height, width) too: uint8, or floats from 0 to 1. They look like those that it learnt from, and are
      only resized;
    - a PIL picture, or the path of one: prepared as `pictures.prepare_picture` does, for the side it learnt from;
    - a list of any of these.
    """

    def __init__(
        self,
        network: nn.Module,
        config: Config,
        *,
        device: torch.device | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.device = find_device("auto") if device is None else device
        self.precision: Precision = fastest_precision(self.device) if precision is None else precision
        self.network = channels_last(network).eval().to(self.device)
        self.config = config

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of scores and maps."""
        return self.config.labels

    def __repr__(self) -> str:
        about = self.config
        return (
            f"Classifier({about.architecture} at {about.size}x{about.size}, {about.classes} classes, "
            f"{self.device.type} in {self.precision})"
        )

    def predict(self, pictures: Pictures) -> list[Prediction]:
        """Predict the label of each picture, in order. Raises what `probabilities` does."""
        return [
            Prediction(
                self.labels[max(range(len(row)), key=row.__getitem__)],
                max(row),
                dict(zip(self.labels, row, strict=True)),
            )
            for row in self.probabilities(pictures).tolist()
        ]

    def probabilities(self, pictures: Pictures) -> Float[Tensor, "images classes"]:
        """Give each label's probability for each picture, (images, classes).

        Raises:
            ModelError: a score is not finite.
            NinError: what `scores` raises.

        """
        found = (self.scores(pictures) / self.config.temperature).softmax(dim=1)
        if not found.isfinite().all():
            raise ModelError("the model's scores are not finite: its weights or its config.json are damaged")
        return found

    def scores(self, pictures: Pictures) -> Float[Tensor, "images classes"]:
        """Score each class for each picture, (images, classes): NiN's are the pools of its class maps.

        Raises:
            PictureError: a file or PIL picture that cannot be used.
            NinError: a tensor or array of another shape or type than this classifier takes.

        """
        return self._apply(self.network, pictures)

    def class_maps(self, pictures: Pictures) -> Float[Tensor, "images classes map_height map_width"]:
        """Give one map a class for each picture; under a max pool its largest value is the class's score, exactly.

        Raises:
            NinError: what `scores` raises, or a network that has no class maps.

        """
        if not isinstance(self.network, NiN):
            raise NinError(f"{self.config.architecture} has no class maps: it ends in dense layers; take a NiN")
        return self._apply(self.network.class_maps, pictures)

    def _apply(self, function: Any, pictures: Pictures) -> Tensor:
        found: list[Tensor] = []
        with evaluating(self.network), autocast(self.device, self.precision):
            for batch in self._batches(pictures):
                prepared = prepare(batch.to(self.device), self.config.size, self.config.mean, self.config.std)
                found.append(function(prepared).float().cpu())
        if not found:
            raise NinError("no picture was given; give one at least")
        return torch.cat(found)

    def _batches(self, pictures: Pictures) -> Iterator[UInt8[Tensor, "batch channels height width"]]:
        """Give the pictures as tensors, neighbours of one shape together, no more than memory is meant to hold."""
        for shape, alike in groupby(self._tensors(pictures), key=lambda tensor: tensor.shape[1:]):
            most = at_once(max(self.config.size, *shape[1:]))
            waiting: list[Tensor] = []
            for part in (part for tensor in alike for part in tensor.split(most)):
                if sum(map(len, waiting)) + len(part) > most:
                    yield torch.cat(waiting)
                    waiting = []
                waiting.append(part)
            if waiting:
                yield torch.cat(waiting)

    def _tensors(self, pictures: Any) -> Iterator[UInt8[Tensor, "images channels height width"]]:
        """Give each part of what was given as a tensor."""
        match pictures:
            case Tensor() | np.ndarray():
                yield as_images(pictures, self.config.in_channels)
            case Image.Image():
                yield prepare_picture(pictures, self.config.in_channels, self.config.side).image[None]
            case str() | os.PathLike():
                yield from self._tensors(read_picture(Path(pictures)))
            case Iterable():
                for one in pictures:
                    yield from self._tensors(one)
            case _:
                raise NinError(
                    f"a picture is a tensor, an array, a PIL picture or a path, not {type(pictures).__name__}"
                )

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors (float32) into a folder; a model that was there is replaced whole.

        Raises:
            NinError: the folder holds something else, or cannot be written; what was there stays.

        """
        save_folder(Path(folder), self.network, self.config)


def load(
    model: str | os.PathLike[str] = "fashion-mnist", *, device: DeviceName = "auto", precision: Precision | None = None
) -> Classifier:
    """Load a classifier: one that comes with the package, the folder of a model, or one of the Hugging Face hub.

    Args:
        model: "fashion-mnist" (131x131, class maps of 3x3 cells) or "fashion-mnist-fast" (67x67, of one cell); else a
            folder, as a run's `model/`; else, where no such folder is, the "owner/name" of a hub's model, which needs
            `huggingface_hub`.
        device: "auto" takes an accelerator when there is one.
        precision: of the convolutions; bf16 where the device computes in it, unless told otherwise.

    Raises:
        ModelError: there is no such model, or it is not one that this package can use, with the reason.
        OptionError: no such device or precision.

    """
    where = find_device(device)
    if precision not in (None, "bfloat16", "float32"):
        raise OptionError(f"precision is bfloat16 or float32, not {precision!r}")
    config, network = read_folder(find_model(model))
    return Classifier(network, config, device=where, precision=precision)


def as_images(images: Tensor | np.ndarray, channels: int) -> UInt8[Tensor, "images {channels} height width"]:
    """Make uint8 (images, channels, height, width) of a tensor or array as `Classifier` takes them.

    Raises:
        NinError: another shape or type, or floats that are not from 0 to 1.

    """
    try:
        if isinstance(images, np.ndarray):  # a copy: PyTorch takes no other byte order, no negative strides
            images = torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("=")))
        tensor = images
    except (TypeError, ValueError) as error:
        raise NinError(f"an array of {images.dtype} is no picture: give uint8, or floats from 0 to 1") from error
    shape = tuple(tensor.shape)
    if tensor.ndim == 2:
        tensor = tensor[None, None]
    elif tensor.ndim == 3 and channels == 1:
        if {shape[0], shape[2]} & {3, 4}:
            raise NinError(
                f"{shape} may be one colour picture or grey ones: give (images, 1, height, width), or a PIL picture"
            )
        tensor = tensor[:, None]
    elif tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] != channels or 0 in tensor.shape:
        raise NinError(f"pictures are of shape (images, {channels}, height, width), not {shape}")
    if tensor.is_floating_point():
        if not ((tensor >= 0) & (tensor <= 1)).all():
            raise NinError(
                f"floats are pixels from 0 to 1, not from {tensor.min().item():.3g} to {tensor.max().item():.3g}: "
                "give them as they were before any normalising"
            )
        return (tensor * 255).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        name = str(tensor.dtype).removeprefix("torch.")
        raise NinError(f"pictures are uint8, or floats from 0 to 1, not {name}")
    return tensor
