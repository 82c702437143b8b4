"""How is a classifier loaded? By a model's name or folder, on a device."""

import hashlib
import os

from nin.choices import DeviceName, Precision
from nin.device import find_device
from nin.errors import OptionError
from nin.inference.classifier import Classifier
from nin.inference.find_model import find_model
from nin.inference.model_folder import read_folder
from nin.networks.imported import import_network


def load(
    model: str | os.PathLike[str] = "fashion-mnist",
    *,
    device: DeviceName = "auto",
    precision: Precision | None = None,
    network: str | None = None,
) -> Classifier:
    """Load a classifier: a model of the package, the folder of one, or one of the Hugging Face hub.

    Args:
        model: "fashion-mnist" (131x131, class maps of 3x3 cells), "fashion-mnist-fast" (67x67, of one cell),
            "fashion-mnist-maps" (NiN2013, of 7x7 cells) or "cifar10" (NiN2013, of 8x8 cells); else a folder, such as a
            run's `model/`; else, where there is no such folder, the "owner/name" of a model of the hub, which needs
            `huggingface_hub`.
        device: "auto" takes an accelerator when there is one.
        precision: to compute in; default: bf16 where the device has it.
        network: the import path of the model's network, as "package.module:callable", if it is none of ours. It is
            imported, which runs its code; a model alone never makes that happen.

    Raises:
        ModelError: there is no such model, or it is not one that this package can use, with the reason.
        OptionError: no such device or precision.

    """
    where = find_device(device)
    if precision not in (None, "bfloat16", "float32"):
        raise OptionError(f"precision must be bfloat16 or float32, not {precision!r}")
    if not isinstance(network, str | None):
        raise OptionError(f"network must be an import path, not {network!r}")
    if network is not None:
        import_network(network)
    config, built = read_folder(find_model(model))
    if network not in (None, config.architecture):
        raise OptionError(
            f"the network of {os.fspath(model)} is {config.architecture}, not {network}; leave network out"
        )
    return Classifier(built, config, device=where, precision=precision)


def hash_of(classifier: Classifier) -> str:
    """Return a hash of a model: of its weights and its config."""
    digest = hashlib.sha256(repr(classifier.config).encode(errors="surrogateescape"))
    for tensor in classifier.network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
