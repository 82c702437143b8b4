"""Where is a model? By its name: in the package, in a folder, or on the Hugging Face hub."""

import importlib.resources
import os
import re
from pathlib import Path

from nin.errors import ModelError
from nin.inference.model_folder import FILES

WEIGHTS = "weights"  # the folder in the package


def find_model(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, as `nin.load` takes it. Raises ModelError where there is none."""
    if not isinstance(model, (str, os.PathLike)):
        raise ModelError(f"a model is a name or a path, not {model!r}")
    shipped = Path(str(importlib.resources.files("nin"))) / WEIGHTS
    names = sorted(folder.name for folder in shipped.iterdir()) if shipped.is_dir() else []
    if model in names:
        return shipped / model
    if os.path.exists(model):  # noqa: PTH110 - where Path.exists raises, for names too long, this says no
        return Path(model)
    if isinstance(model, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not model.startswith("."):
        return _fetch_from_hub(model)
    raise ModelError(f"there is no model {os.fspath(model)!r}: give {', '.join([*names, 'or a model folder'])}")


def _fetch_from_hub(name: str) -> Path:
    """Fetch a model from the Hugging Face hub, or find it in the hub's cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{name} is not a folder here, and the hub needs the package huggingface_hub: "
            "pip install 'network-in-network[hub]'"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # its own errors, and those of the several libraries that it uses
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} is not a folder here and cannot be fetched from the hub: {reason}") from error
