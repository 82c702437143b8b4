"""How does a model answer many requests at once? Those that wait are put into one batch."""

import asyncio
import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nin.data.decoded.decoding_service import DecodingService
from nin.device import usable_threads
from nin.errors import PhotoError
from nin.inference.classifier import Classifier, Prediction
from nin.networks.architecture import CellGrid
from nin.networks.forward import regular_batches
from nin.networks.registry import find_architecture

MOST_IMAGES, FEW_IMAGES = 64, 8  # in a batch


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of a photo.

    Attributes:
        image: that the photo became: uint8, (channels, side, side).
        prediction: of it.
        class_maps: (classes, height, width), if they were asked for and the network has some.

    """

    image: np.ndarray
    prediction: Prediction
    class_maps: Tensor | None


@dataclass(frozen=True, eq=False)
class _Waiting:
    image: np.ndarray
    maps: bool
    answer: "asyncio.Future[tuple[Prediction, Tensor | None]]"


class ServedModel:
    """A model that answers requests; used within an event loop.

    Args:
        classifier: the model.
        decoding: decodes photos as the model's were.
        executor: of one thread, in which all models compute.

    """

    def __init__(self, classifier: Classifier, decoding: DecodingService, executor: Executor) -> None:
        self.classifier, self.decoding, self.executor = classifier, decoding, executor
        self.waiting: asyncio.Queue[_Waiting] = asyncio.Queue()

    @property
    def grid(self) -> CellGrid | None:
        """Where the cells of the class maps lie; None for a network without class maps."""
        return find_architecture(self.classifier.config.architecture).cells

    async def predict(self, name: str, photo: bytes, *, maps: bool) -> Answer:
        """Return what the model says of a photo.

        Args:
            name: of the photo, for the message of an error.
            photo: the bytes of a file.
            maps: whether to compute the class maps.

        Raises:
            PhotoError: it cannot be read.
            NinError: the model's logits are not finite, or photos cannot be decoded any more.

        """
        decoded = await asyncio.wrap_future(self.decoding.decode(photo))
        if decoded.image is None:
            raise PhotoError(f"{name}: {decoded.reason}")
        answer = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait(_Waiting(decoded.image, maps and self.grid is not None, answer))
        prediction, class_maps = await answer
        return Answer(decoded.image, dataclasses.replace(prediction, inverted=decoded.inverted), class_maps)

    async def answer(self) -> None:
        """Answer what waits, batch after batch, until this task is cancelled."""
        while True:
            batch = [await self.waiting.get()]
            while len(batch) < MOST_IMAGES and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            batch = [one for one in batch if not one.answer.done()]  # the clients of the others have left
            if not batch:
                continue
            try:
                found = await asyncio.get_running_loop().run_in_executor(self.executor, self._compute, batch)
            except Exception as error:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            for one, answer in zip(batch, found, strict=True):
                if not one.answer.done():  # its client may have left
                    one.answer.set_result(answer)

    def _compute(self, batch: Sequence[_Waiting]) -> list[tuple[Prediction, Tensor | None]]:
        """Return what the model says of the images of a batch.

        Of few with one thread: the cores are shared with decoders, and threads that wait for one another take longer.
        """
        torch.set_num_threads(1 if len(batch) < FEW_IMAGES else usable_threads())
        parts = regular_batches(batch)
        predictions = [prediction for part in parts for prediction in self.classifier.predict(_stack(part))]
        wanted = regular_batches([one for one in batch if one.maps])
        maps = iter([class_maps for part in wanted for class_maps in self.classifier.class_maps(_stack(part))])
        return [
            (prediction, next(maps) if one.maps else None) for one, prediction in zip(batch, predictions, strict=True)
        ]


def _stack(batch: Sequence[_Waiting]) -> Tensor:
    return torch.from_numpy(np.stack([one.image for one in batch]))
