"""What does a trained model say? Preprocessing, network, labels and temperature together."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from nin.choices import Invert, Precision, check_choice
from nin.data.decoded.decoding_stream import decode_stream
from nin.data.decoded.decoding_worker import Job
from nin.data.photos.preparation import prepare
from nin.device import AdaptiveThreads, fastest_precision, find_device, keep_freed_memory
from nin.errors import ModelError, NinError, PhotoError
from nin.inference.inputs import batches, read_inputs
from nin.inference.model_folder import Config, save_folder
from nin.networks.forward import channels_last, evaluating, forward_batches, regular_batches
from nin.networks.registry import find_architecture
from nin.text import printable

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one image.

    Attributes:
        label: the most probable label.
        probability: its probability, 0..1.
        probabilities: that of every label.
        inverted: whether light and dark were swapped to prepare a photo.

    """

    label: str
    probability: float
    probabilities: dict[str, float]
    inverted: bool = False


class Classifier:
    """A trained model: takes photos or images, gives labels, probabilities and class maps.

    Inputs may be given as

    - a tensor or array, (images, channels, height, width) or (channels, height, width); grey ones also (images, height,
      width) or (height, width): uint8, or floats from 0 to 1. They must look like the training images, and are only
      resized;
    - a photo: a path, the bytes of a file, a binary file object, or a PIL image: prepared by
      `nin.data.photos.preparation` as the config's `preparation` says, which is how the training images were;
    - a list of any of these.

    On a CPU, where the C library is glibc, the process keeps the memory of a batch: see `nin.device.keep_freed_memory`.

    Args:
        network: put in `eval` mode, in float32 and on the `device`, in place.
        config: its preprocessing, labels, preparation of photos and temperature.
        device: default: an accelerator when there is one.
        precision: to compute in; default: bf16 where the device has it. Logits, class maps and probabilities are
            returned as float32 on the CPU.

    """

    def __init__(
        self,
        network: nn.Module,
        config: Config,
        *,
        device: torch.device | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.device = find_device("auto") if device is None else torch.device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision: Precision = fastest_precision(self.device) if precision is None else precision
        self.network = channels_last(network).eval().to(self.device, torch.float32)
        self.config = config

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of logits and class maps."""
        return self.config.labels

    def __repr__(self) -> str:
        config, size = self.config, self.config.preprocessing.size
        where = f"{self.device.type} in {self.precision}"
        return f"Classifier({config.architecture} at {size}x{size}, {config.num_classes} classes, {where})"

    def predict(self, inputs: Any, *, invert: Invert = "auto") -> list[Prediction]:
        """Predict the label of each input, in order.

        Args:
            inputs: see the class.
            invert: whether to swap light and dark in photos: "auto" where the border is bright and the model is of
                garments, never else.

        Raises:
            ModelError: a logit is not finite.
            PhotoError: a photo that cannot be read.
            NinError: an unsupported input, or an array of the wrong shape or dtype.

        """
        return self._predictions(list(self._read(inputs, invert)))

    def predict_photos(
        self, photos: Iterable[str | os.PathLike[str]] | os.PathLike[str], *, invert: Invert = "auto"
    ) -> Generator[tuple[Path, Prediction | PhotoError], None, None]:
        """Yield each photo with its prediction, or with the error where it cannot be read, in order.

        For any number of photos, in a memory that does not grow with it: they are decoded by several processes, ahead
        of the network, and each is yielded as soon as it is predicted.

        Args:
            photos: the paths of files; may be an iterator that takes its time.
            invert: as for `predict`.

        Raises:
            ModelError: a logit is not finite.
            OptionError: another `invert`.

        """
        check_choice("invert", invert, Invert)
        job = Job(self.config.preparation, self.config.in_channels, self.config.image_size, invert=invert)
        paths = map(Path, map(os.fsdecode, [photos] if isinstance(photos, (str, os.PathLike)) else photos))
        threads = AdaptiveThreads()
        with contextlib.closing(decode_stream(paths, job)) as decoded:
            for ready in threads.waited_for(decoded):
                good = [(torch.from_numpy(one.image)[None], one.inverted) for _, one in ready if one.image is not None]
                with threads.computing():
                    predictions = iter([one for part in regular_batches(good) for one in self._predictions([*part])])
                for path, one in ready:
                    if one.image is None:
                        yield path, PhotoError(f"{printable(str(path))}: {one.reason}")
                    else:
                        yield path, next(predictions)

    def probabilities(self, inputs: Any) -> Float[Tensor, "images classes"]:
        """Return the probability of each label for each input, (images, classes). Raises what `predict` does."""
        return self._probabilities(self.logits(inputs))

    def _probabilities(self, logits: Tensor) -> Tensor:
        found = (logits / self.config.temperature).softmax(dim=1)
        if not found.isfinite().all():
            raise ModelError("the model's logits are not finite: its weights or its config.json are damaged")
        return found

    def logits(self, inputs: Any) -> Float[Tensor, "images classes"]:
        """Return the logits of each input, (images, classes), not yet divided by the temperature.

        Raises:
            PhotoError: a photo that cannot be read.
            NinError: an unsupported input, or an array of the wrong shape or dtype.

        """
        return self._apply(self.network, inputs)

    def class_maps(self, inputs: Any) -> Float[Tensor, "images classes map_height map_width"]:
        """Return the class maps of each input; the pool of a map, its highest cell or its mean, is the logit, exactly.

        Raises:
            NinError: what `logits` raises, or a network that has no class maps.

        """
        if find_architecture(self.config.architecture).cells is None:
            raise NinError(f"{self.config.architecture} has no class maps: it ends in dense layers; take a NiN")
        class_maps: Any = self.network.class_maps
        return self._apply(class_maps, inputs)

    def explain(
        self, inputs: Any, titles: Sequence[str] | None = None, *, invert: Invert = "auto"
    ) -> "matplotlib.figure.Figure":
        """Draw each input beside the class maps of its most probable labels.

        Args:
            inputs: see the class.
            titles: one for each image; default: the name of a file, or the image's number.
            invert: as for `predict`.

        Raises:
            NinError: what `class_maps` raises, or images of different sizes.

        """
        from nin.figures.class_maps import explanation  # matplotlib takes time

        images = [image for part, _ in self._read(inputs, invert) for image in part]
        if len({image.shape for image in images}) > 1:
            raise NinError("images of different sizes cannot be explained in one figure; give them one by one")
        titles = _titles(inputs, len(images)) if titles is None else [str(title) for title in titles]
        if len(titles) != len(images):
            raise NinError(f"{len(titles)} titles for {len(images)} images: give one for each")
        maps, logits = self.class_maps(images), self.logits(images)
        grid, size = find_architecture(self.config.architecture).cells, self.config.preprocessing.size
        assert grid is not None, "class_maps raises otherwise"
        shares = self._probabilities(logits)
        return explanation(torch.stack(images), maps, logits, self.labels, shares, titles, grid=grid, size=size)

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors (float32) into a folder, in place of a model that was there.

        Raises:
            NinError: the folder holds something else, or cannot be written; what was there stays.

        """
        if not isinstance(folder, (str, os.PathLike)):
            raise ModelError(f"a model is saved into a folder, not {folder!r}")
        save_folder(Path(os.fsdecode(folder)), self.network, self.config)

    def _predictions(self, read: list[tuple[Tensor, bool]]) -> list[Prediction]:
        found = self.probabilities([images for images, _ in read])
        confidence, best = found.max(dim=1)
        swapped = (inverted for images, inverted in read for _ in images)
        return [
            Prediction(self.labels[index], probability, dict(zip(self.labels, row, strict=True)), inverted)
            for index, probability, row, inverted in zip(
                best.tolist(), confidence.tolist(), found.tolist(), swapped, strict=True
            )
        ]

    def _read(
        self, inputs: Any, invert: Invert = "auto"
    ) -> Iterator[tuple[UInt8[Tensor, "images channels height width"], bool]]:
        check_choice("invert", invert, Invert)
        preparation, channels, side = self.config.preparation, self.config.in_channels, self.config.image_size
        return read_inputs(inputs, channels, lambda photo: prepare(photo, preparation, channels, side, invert))

    def _apply(self, function: Callable[[Tensor], Tensor], inputs: Any) -> Tensor:
        preprocessing = self.config.preprocessing
        read = batches((part for part, _ in self._read(inputs)), preprocessing.size)
        with evaluating(self.network):
            computed = forward_batches(function, read, preprocessing, self.device, self.precision)
            found = [output.cpu() for output in computed]
        if not found:
            raise NinError("there is nothing to classify; give at least one image")
        return torch.cat(found)


def _titles(inputs: Any, count: int) -> list[str]:
    """Name images by their files, where each is of one, else by their numbers."""
    several = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if len(several) == count and all(isinstance(one, (str, os.PathLike)) for one in several):
        return [Path(one).name for one in several]
    return [f"image {number}" for number in range(1, count + 1)]
