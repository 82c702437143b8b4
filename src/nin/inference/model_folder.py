"""How is a model kept? A folder in the Hugging Face layout: config.json, model.safetensors, README.md."""

import contextlib
import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nin.data.photos.preparation import Preparation
from nin.data.preprocessing import Preprocessing
from nin.errors import FileError, ModelError, NinError
from nin.files import read_json, write_all
from nin.networks.architecture import LARGEST_SIZE
from nin.networks.registry import build_without_weights
from nin.text import not_text, printable

FILES = ("config.json", "model.safetensors", "README.md")
MAX_BYTES = 2**34  # of model.safetensors; VGG at 4096x4096 would have half of that
MAX_CONFIG_BYTES = 2**24
# Types of stored tensors. Others than floats are in buffers: batch norms count their batches.
FLOATS, OTHERS = ("F32", "F16", "BF16"), ("I64", "I32", "I16", "I8", "U8", "BOOL")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed besides the weights: what `config.json` holds.

    Attributes:
        architecture: a name of `nin.networks.registry`.
        preprocessing: of uint8 images.
        image_size: side in pixels of the images it was trained on, to which photos are prepared.
        labels: the names of the classes, in the order of the logits.
        preparation: how photos become images like those; a config.json that does not say so is of garments.
        temperature: by which logits are divided before the softmax (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Raises:
        ModelError: a value out of its range, or two labels that are the same.

    """

    architecture: str
    preprocessing: Preprocessing
    image_size: int
    labels: tuple[str, ...]
    preparation: Preparation = Preparation("garment")
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        size = self.preprocessing.size
        twice = ", ".join([printable(label) for label, count in Counter(self.labels).items() if count > 1][:3])
        strange = ", ".join([printable(label) for label in self.labels if not_text(label)][:3])
        for fits, wrong in (
            (1 <= len(self.labels) <= 100_000, f"there must be from 1 to 100,000 labels, not {len(self.labels)}"),
            (1 <= size <= LARGEST_SIZE, f"size must be from 1 to {LARGEST_SIZE}, not {size}"),
            (
                1 <= self.image_size <= LARGEST_SIZE,
                f"image_size must be from 1 to {LARGEST_SIZE}, not {self.image_size}",
            ),
            (len(set(self.labels)) == len(self.labels), f"two labels are the same: {twice}"),
            (not strange, f"a label holds characters that are no text: {strange}"),
            (0 < self.temperature < math.inf, f"temperature must be over 0 and finite, not {self.temperature}"),
        ):
            if not fits:
                raise ModelError(wrong)

    @property
    def in_channels(self) -> int:
        """Channels of the images: 1 for grey, 3 for colour."""
        return self.preprocessing.channels

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def build(self) -> nn.Module:
        """Build the network without weights, on the meta device if it is ours. Raises what `build_network` does."""
        return build_without_weights(self.architecture, self.in_channels, self.num_classes, self.preprocessing.size)


# --- Reading ---


def read_folder(folder: Path) -> tuple[Config, nn.Module]:
    """Read a model's folder.

    Raises:
        ModelError: a file is missing or damaged, or the tensors are not those of the network in the config.

    """
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        raise ModelError(f"{folder} is the folder of a run, not of a model: give {folder / 'model'}")
    config, weights = _read_config(folder / "config.json")
    try:
        network = config.build()
    except NinError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}") from error
    learnt = {name for name, _ in network.named_parameters()}
    tensors = _read_tensors(folder / "model.safetensors", network.state_dict(), learnt, weights)
    network.load_state_dict(tensors, strict=True, assign=True)
    return config, network.requires_grad_(False)


def _read_config(path: Path) -> tuple[Config, str | None]:
    """Read a config.json, and the SHA-256 of the weights that it was written with, if it says so."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{path} has {path.stat().st_size:,} bytes, too many for a config.json")
        content = read_json(path)
        content = _upgrade(content) if isinstance(content, Mapping) else content
        weights = content.pop("weights_sha256", None) if isinstance(content, dict) else None
        return msgspec.convert(content, Config), weights
    except (OSError, FileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"cannot read {path}: {reason}; is {path.parent} the folder of a model?") from error
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} is not of a model of this package: {error}") from error


def _upgrade(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename what checkouts up to 6c8ffc7 called otherwise."""
    if not {"size", "mean", "std", "side"} <= set(content):
        return content
    old = dict(content)
    old["preprocessing"] = {name: old.pop(name) for name in ("size", "mean", "std")}
    old["image_size"] = old.pop("side")
    for derived in ("in_channels", "classes"):
        old.pop(derived, None)
    return old


def _read_tensors(path: Path, expected: dict[str, Tensor], learnt: set[str], sha256: str | None) -> dict[str, Tensor]:
    """Read exactly the tensors that are expected, floats as float32; nothing in such a file is executed."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} has {path.stat().st_size:,} bytes, more than any model of this package")
        with path.open("rb") as opened, safe_open(_utf8_name(path, opened.fileno()), "pt", device="cpu") as file:
            names = set(file.keys())
            for name in sorted(names ^ set(expected)):
                has = "has a tensor too many," if name in names else "lacks the tensor"
                raise ModelError(f"{path} {has} {name!r}: it is of another network than its config.json says")
            tensors: dict[str, Tensor] = {}
            for name, like in expected.items():
                stored = file.get_slice(name)
                types = FLOATS if like.is_floating_point() else OTHERS
                if tuple(stored.get_shape()) != tuple(like.shape) or stored.get_dtype() not in types:
                    raise ModelError(
                        f"{path}: {name} is {stored.get_dtype()} of {tuple(stored.get_shape())}, and the network of "
                        f"its config.json needs {'floats' if types is FLOATS else like.dtype} of {tuple(like.shape)}"
                    )
                # A copy: what the file gives is the file itself, which may change.
                dtype = torch.float32 if like.is_floating_point() else like.dtype
                tensors[name] = file.get_tensor(name).to("cpu", dtype, copy=True)
                if name in learnt and not tensors[name].isfinite().all():
                    raise ModelError(
                        f"{path}: {name} has numbers that are not finite: it is damaged, or of a training that failed"
                    )
            if sha256 is not None and hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
                raise ModelError(f"{path} is not of the same save as its config.json (weights_sha256); save it again")
            return tensors
    except (SafetensorError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"cannot read {path}: {reason}; fetch or train the model again") from error


def _utf8_name(path: Path, descriptor: int) -> str:
    """Return a name by which safetensors, which takes none that is not UTF-8, opens the file of `descriptor`."""
    name = os.fspath(path)
    return name if printable(name) == name else f"/dev/fd/{descriptor}"


# --- Writing ---


def save_folder(folder: Path, network: nn.Module, config: Config, card: str = "", *, half: bool = False) -> None:
    """Write a model into a folder, in place of one that was there; `half` stores float16.

    Every file is on the disk before the first takes its name. Other files in the folder, and all around it, are left
    alone.

    Raises:
        ModelError: the network is not the one that the config describes, or the folder has files of these names that
            are not a model's; what was there stays.
        FileError: a file cannot be written; what was there stays.

    """
    check_is_described(network, config)
    dtype = torch.float16 if half else torch.float32
    tensors = {  # copies: layers may share one, and a file may not
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
        for name, tensor in network.state_dict().items()
    }
    weights = save(tensors, metadata={"format": "pt"})
    # A save that is killed between two renames would leave new labels with old weights: the hash tells.
    described = msgspec.to_builtins(config) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    config_json = msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"
    contents: dict[str, bytes | str] = {"config.json": config_json, "model.safetensors": weights, "README.md": card}
    existed = False
    try:
        existed = folder.exists()
        _check_is_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_all({folder / name: content for name, content in contents.items() if content})
        if not card:
            (folder / "README.md").unlink(missing_ok=True)  # it was of the model that is replaced
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        if isinstance(error, NinError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileError(f"cannot write {folder}: {reason}; make room or write elsewhere") from error
    finally:
        if not existed:
            with contextlib.suppress(OSError, ValueError):
                folder.rmdir()  # if nothing could be written into it


def _check_is_free(folder: Path) -> None:
    """Check that files that are there already, under the names of a model's, are a model's. Raises ModelError."""
    if any(os.path.lexists(folder / name) for name in FILES):
        try:
            _read_config(folder / "config.json")
        except ModelError as error:
            raise ModelError(f"{folder} holds something other than a model ({error}); give another folder") from error


def check_is_described(network: nn.Module, config: Config) -> None:
    """Check that a network is the one that its config would be read as. Raises ModelError."""
    like = config.build()
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (like, network)]
    layers = [[type(layer) for layer in one.modules()] for one in (like, network)]
    if shapes[0] != shapes[1] or layers[0] != layers[1]:
        raise ModelError(
            f"the network is not the {config.architecture} of its config: fold batch norm first (nin.fold); a variant "
            "with another pool or without its last ReLU cannot be saved"
        )
