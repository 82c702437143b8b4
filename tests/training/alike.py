"""What do one process and two train, to be compared? A network of convolutions on small images."""

from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from nin.data.images import Splits
from nin.data.preprocessing import Preprocessing
from nin.inference.classifier import Classifier
from nin.inference.model_folder import Config
from nin.networks.forward import compute_logits
from nin.networks.lenet import LeNet
from nin.runs.evaluate import evaluate
from nin.training.fit import Training
from nin.training.named_recipes import quick
from nin.training.plan import resolve
from nin.training.recipe import Recipe

_SMALL = replace(quick(epochs=2.0), size=16, bfloat16=False)
# 31 images do not divide by two; 51 steps are three epochs and a bit, whose batches cross the epochs' ends.
ODD = replace(_SMALL, epochs=3.1, batch_size=31, batch_norm=False, shift=1, erase=4)
WITH_BATCH_NORM = replace(_SMALL, epochs=1.5, batch_size=64)


def network(*, batch_norm: bool = True, dropout: bool = False) -> nn.Module:
    """Return a network, the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8) if batch_norm else nn.Identity(), nn.ReLU(),
            nn.Dropout2d(0.2 if dropout else 0.0), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 4),
        )  # fmt: skip


def train(recipe: Recipe, splits: Splits, seed: int = 0, *, dropout: bool = False) -> Training:
    """Return a training that has come to its end."""
    plan = resolve(recipe, splits.train, seed, torch.device("cpu"))
    training = Training(network(batch_norm=recipe.batch_norm, dropout=dropout), splits.train, splits.validation, plan)
    list(training.fit())
    return training


def logits_of_all(splits: Splits) -> Tensor:
    """Return logits of more images than are computed at a time."""
    images = torch.cat(5 * [splits.train.images])[:1301]
    return compute_logits(network().eval(), images, Preprocessing(16, (0.5,), (0.3,)))


def evaluation_of(splits: Splits) -> dict[str, Any]:
    """Return the evaluation of an untrained model on the test images."""
    torch.manual_seed(0)
    config = Config("lenet", Preprocessing(28, (0.5,), (0.3,)), 28, splits.test.names)
    classifier = Classifier(LeNet(1, 4), config, device=torch.device("cpu"), precision="float32")
    return evaluate(classifier, splits.test).to_json()
