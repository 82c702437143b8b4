"""What is a cell of a comparison? A network, trained once: the job, and what comes of it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from nin.choices import Size
from nin.networks.registry import find_architecture
from nin.training.named_recipes import quick

# The same for every network and length; the recipe quick has more for more epochs.
REGULARISATION: dict[str, object] = {"flip": True, "shift": 1, "erase": 0, "dropout": 0.0, "muon_weight_decay": 0.0}


class Settings(msgspec.Struct, frozen=True):
    """What all cells of a comparison share; `comparison.json` in its folder.

    Attributes:
        source: the images, by name or path.
        minutes, epochs: the budget of a cell: one of the two.
        size: of the images: "fastest" is the smallest at which the network is worth training, "published" that of its
            paper or textbook page.

    """

    source: str
    minutes: float | None
    epochs: float | None
    size: Size


@dataclass(frozen=True)
class Cell:
    """A network trained once: with or without batch norm, at a factor on the recipe's learning rates, by a seed."""

    network: str
    batch_norm: bool
    factor: float
    seed: int

    @property
    def name(self) -> str:
        """The name of its files."""
        network = self.network.replace(":", "--")
        return f"{network}{'' if self.batch_norm else '-plain'}-{self.factor:g}-{self.seed}"

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
            changes["size"] = architecture.sizes[0] if size == "fastest" else architecture.default_size
        return changes


class Job(msgspec.Struct, frozen=True):
    """What a process is to do: train a network into `run`, or measure the model of `run` in inference."""

    network: str
    source: str
    run: str
    changes: dict[str, Any]
    minutes: float | None
    epochs: float | None
    seed: int
    inference: bool = False


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
        multiply_adds: of one image.
        validation_accuracy, test_accuracy: top-1; None where there are no test images.
        images_per_second: in training.
        seconds: of the whole run.
        peak_memory: bytes of the process at most; None where the system does not tell.
        curve: the validations.

    """

    ended: str
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
    """What inference costs: images/s in batches of 256, and the bytes of the process at most."""

    images_per_second: float
    peak_memory: int | None


class Progress(msgspec.Struct, frozen=True):
    """How far a training is, from 0 to 1, and its last loss."""

    done: float
    loss: float


class Outcome(msgspec.Struct, frozen=True):
    """What came of a cell: a training and the cost of its inference, or why there is none."""

    trained: Trained | None = None
    inference: Inference | None = None
    failed: str | None = None


Outcomes = dict[Cell, Outcome]
