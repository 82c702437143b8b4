"""What is public? The names below, loaded when first asked for (PEP 562), so that `nin --help` needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin.data.images import LabelledImages as LabelledImages
    from nin.data.images import Splits as Splits
    from nin.data.load import load_dataset as load_dataset
    from nin.data.sources.fashion_mnist import fashion_mnist as fashion_mnist
    from nin.errors import NinError as NinError
    from nin.inference.classifier import Classifier as Classifier
    from nin.inference.classifier import Prediction as Prediction
    from nin.inference.load import load as load
    from nin.metrics import Evaluation as Evaluation
    from nin.networks.alexnet import AlexNet as AlexNet
    from nin.networks.batch_norm import fold as fold
    from nin.networks.batch_norm import with_batch_norm as with_batch_norm
    from nin.networks.googlenet import GoogLeNet as GoogLeNet
    from nin.networks.lenet import LeNet as LeNet
    from nin.networks.nin import NiN as NiN
    from nin.networks.nin_2013 import NiN2013 as NiN2013
    from nin.networks.resnet import ResNet18 as ResNet18
    from nin.networks.vgg import VGG as VGG
    from nin.runs.evaluate import evaluate as evaluate
    from nin.runs.result import Result as Result
    from nin.runs.train import train as train
    from nin.training.recipe import Recipe as Recipe

__version__ = "0.1.0"

_MODULES = {
    "AlexNet": "networks.alexnet",
    "Classifier": "inference.classifier",
    "Evaluation": "metrics",
    "GoogLeNet": "networks.googlenet",
    "LabelledImages": "data.images",
    "LeNet": "networks.lenet",
    "NiN": "networks.nin",
    "NiN2013": "networks.nin_2013",
    "NinError": "errors",
    "Prediction": "inference.classifier",
    "Recipe": "training.recipe",
    "ResNet18": "networks.resnet",
    "Result": "runs.result",
    "Splits": "data.images",
    "VGG": "networks.vgg",
    "evaluate": "runs.evaluate",
    "fashion_mnist": "data.sources.fashion_mnist",
    "fold": "networks.batch_norm",
    "load": "inference.load",
    "load_dataset": "data.load",
    "train": "runs.train",
    "with_batch_norm": "networks.batch_norm",
}
__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'nin' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nin.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
