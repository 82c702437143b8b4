"""Which names may options take? What several wings, and the command line, choose among; nothing here needs torch."""

from typing import Literal, get_args

from nin.errors import OptionError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["bfloat16", "float32"]
Initialisation = Literal["default", "xavier", "he", "identity"]
Invert = Literal["auto", "yes", "no"]
Fit = Literal["pad", "crop", "stretch"]
Part = Literal["train", "validation", "test"]
Augmentation = Literal["full", "no-flip", "none"]
BatchNorm = Literal["yes", "no", "both"]  # in a comparison
Size = Literal["fastest", "published"]  # of the images, in a comparison
Format = Literal["onnx", "torch"]  # of an exported model
MODELS = {  # of the package, and the data set of each
    "fashion-mnist": "fashion-mnist",
    "fashion-mnist-fast": "fashion-mnist",
    "fashion-mnist-maps": "fashion-mnist",
    "cifar10": "cifar10",
}


def check_choice(name: str, value: object, choices: object) -> None:
    """Raise OptionError for a value that is not one of a literal type's."""
    if value not in get_args(choices):
        raise OptionError(f"{name} must be one of {', '.join(get_args(choices))}, not {value!r}")
