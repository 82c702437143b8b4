"""What is public? The names below, loaded when first asked for (PEP 562), so that `nin --help` needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin.baselines import VGG as VGG
    from nin.baselines import AlexNet as AlexNet
    from nin.classifier import Classifier as Classifier
    from nin.classifier import Prediction as Prediction
    from nin.classifier import load as load
    from nin.data import LabelledImages as LabelledImages
    from nin.data import fashion_mnist as fashion_mnist
    from nin.errors import NinError as NinError
    from nin.folding import fold as fold
    from nin.folding import with_batch_norm as with_batch_norm
    from nin.network import NiN as NiN
    from nin.planning import train as train

__version__ = "0.1.0"

_HOMES = {
    "AlexNet": "baselines",
    "Classifier": "classifier",
    "LabelledImages": "data",
    "NiN": "network",
    "NinError": "errors",
    "Prediction": "classifier",
    "VGG": "baselines",
    "fashion_mnist": "data",
    "fold": "folding",
    "load": "classifier",
    "train": "planning",
    "with_batch_norm": "folding",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nin' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nin.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
