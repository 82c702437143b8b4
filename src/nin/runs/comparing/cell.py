"""What is a cell of a comparison? A network, trained once: the job for it, and what comes of it."""

from typing import Any, Literal

import msgspec

from nin.choices import Augmentation, Size
from nin.networks.registry import find_architecture
from nin.training.named_recipes import quick

# The same for every network and length; the recipe quick has more for more epochs.
REGULARISATION: dict[str, object] = {"flip": True, "shift": 1, "erase": 0, "dropout": 0.0, "muon_weight_decay": 0.0}


class Settings(msgspec.Struct, frozen=True):
    """What all cells of a comparison share; `comparison.json` in its folder.

    Attributes:
        source: the images, by name or path.
        minutes, epochs: the budget of a training: one of the two.
        size: of the images: "fastest" for each network, or "published", that of its paper or textbook page.
        augmentation: as `nin.train` takes it.

    """

    source: str
    minutes: float | None
    epochs: float | None
    size: Size
    augmentation: Augmentation | None = None


class Cell(msgspec.Struct, frozen=True):
    """A network trained once: with or without batch norm, at a factor on the recipe's learning rates, by a seed."""

    network: str
    batch_norm: bool
    factor: float
    seed: int

    @property
    def name(self) -> str:
        """The name of its files."""
        network = self.network.replace(":", "--")
        return f"{network}{'' if self.batch_norm else '-plain'}-{self.factor!r}-{self.seed}"

    def changes(self, size: Size) -> dict[str, object]:
        """Return what it changes in the recipe quick."""
        architecture = find_architecture(self.network)
        recipe = quick(network=self.network)
        changes = REGULARISATION | {
            "batch_norm": self.batch_norm,
            "learning_rate": recipe.learning_rate * self.factor,
            "muon_learning_rate": recipe.muon_learning_rate * self.factor,
        }
        if architecture.enlarges:
            changes["size"] = image_size(self.network, size)
        return changes


def image_size(network: str, size: Size) -> int:
    """Return the size of the images of a network: those of networks that do not enlarge images may be smaller."""
    architecture = find_architecture(network)
    published = size == "published" and architecture.enlarges
    return architecture.default_size if published else architecture.sizes[0]


class Job(msgspec.Struct, frozen=True):
    """What a process is to do.

    Attributes:
        kind: "data" reads the images, so that they are in the cache at each of the `sizes`; "train" trains the network
            into `run`; "inference" measures the model of `run`.
        source, augmentation, minutes, epochs: see `Settings`.
        network, changes, seed: of the cell.
        run: the folder of its run.
        sizes: of the images to read.

    """

    kind: Literal["data", "train", "inference"]
    source: str
    network: str = ""
    run: str = ""
    changes: dict[str, Any] = {}
    augmentation: Augmentation | None = None
    minutes: float | None = None
    epochs: float | None = None
    seed: int = 0
    sizes: tuple[int, ...] = ()


class Read(msgspec.Struct, frozen=True):
    """How many images of the data set there are."""

    images: int


class Point(msgspec.Struct, frozen=True):
    """A validation: after how many seconds of training steps, and epochs, with which loss and accuracy."""

    seconds: float
    epoch: float
    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float


class Trained(msgspec.Struct, frozen=True):
    """What came of a training.

    Attributes:
        ended: "finished", or "dead".
        troubles: what was wrong, a line each.
        size: pixels a side of the images.
        epochs: passes through the training images.
        parameters: of the network.
        multiply_adds: of one image, in convolutions and dense layers.
        validation_accuracy, test_accuracy: top-1; None where there are no test images.
        images_per_second: in training.
        seconds: of the whole run.
        peak_memory: peak memory in bytes: of the process, or allocated on the GPU where there is one; None where the
            system does not tell.
        curve: the validations.

    """

    ended: Literal["finished", "dead"]
    troubles: tuple[str, ...]
    size: int
    epochs: float
    parameters: int
    multiply_adds: int
    validation_accuracy: float
    test_accuracy: float | None
    images_per_second: float | None
    seconds: float
    peak_memory: int | None
    curve: tuple[Point, ...]


class Inference(msgspec.Struct, frozen=True):
    """What inference costs: images/s, and the peak memory in bytes as of a training."""

    images_per_second: float
    peak_memory: int | None


class Progress(msgspec.Struct, frozen=True):
    """How far a training is, from 0 to 1, and its last loss."""

    done: float
    loss: float


class Outcome(msgspec.Struct, frozen=True):
    """What came of a cell; its file in the folder of the comparison.

    Attributes:
        cell: which cell.
        title: what figures call the network.
        source: SHA-256 of the file of a network that is not ours, as it was then.
        trained: what came of the training, if it came to an end.
        inference: what inference costs, if that could be measured.
        failed: what went wrong.

    """

    cell: Cell
    title: str
    source: str | None
    trained: Trained | None = None
    inference: Inference | None = None
    failed: str | None = None


Outcomes = dict[Cell, Outcome]
