"""How is a model kept? A folder in Hugging Face's layout: config.json, model.safetensors, README.md."""

import importlib.resources
import json
import math
import os
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nin.baselines import VGG, AlexNet
from nin.errors import ModelError, NinError, printable
from nin.network import SMALLEST_SIZE, NiN
from nin.recipe import LARGEST_SIZE, NetworkName
from nin.runs import write

WEIGHTS = "weights"  # the folder of the models that come with the package, within it
FILES = ("config.json", "model.safetensors", "README.md")
MAX_BYTES = 2**31  # of a model's file; VGG at 224x224 has a quarter of that


@dataclass(frozen=True)
class Config:
    """All that is needed beside the weights: what `config.json` holds.

    `size` is the side in pixels to which pictures are resized for the network, `side` that of the pictures that it
    learnt from, as which a picture from life is prepared. `mean` and `std` have a value a channel, of pixels scaled to
    0..1. Scores are divided by `temperature` before the softmax (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
    """

    architecture: NetworkName
    in_channels: int
    classes: int
    size: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ModelError: a value out of its range, or two that do not fit each other.

        """
        for fits, wrong in (
            (self.in_channels in (1, 3), f"in_channels is 1 or 3, not {self.in_channels}"),
            (1 <= self.classes <= 100_000, f"classes are from 1 to 100,000, not {self.classes}"),
            (1 <= self.size <= LARGEST_SIZE, f"size is from 1 to {LARGEST_SIZE}, not {self.size}"),
            (1 <= self.side <= LARGEST_SIZE, f"side is from 1 to {LARGEST_SIZE}, not {self.side}"),
            (len(self.labels) == self.classes, f"{len(self.labels)} labels for {self.classes} classes"),
            (len(set(self.labels)) == len(self.labels), "two labels are the same"),
            (all(label == printable(label) for label in self.labels), "a label has letters that cannot be printed"),
            (
                len(self.mean) == len(self.std) == self.in_channels,
                "mean and std need a value for each of in_channels",
            ),
            (all(map(math.isfinite, self.mean)), "mean has a number that is not finite"),
            (all(0 <= value < math.inf for value in self.std), "std has a number under 0 or not finite"),
            (0 < self.temperature < math.inf, f"temperature is over 0 and finite, not {self.temperature}"),
        ):
            if not fits:
                raise ModelError(wrong)


def architecture(
    name: NetworkName, in_channels: int, classes: int, size: int, *, final_relu: bool = True, dropout: float = 0.5
) -> nn.Module:
    """Build a network by its name, for pictures of `size` pixels a side; only NiN can be without its last ReLU.

    Raises:
        NinError: the size is too small for it.

    """
    match name:
        case "nin":
            if size < SMALLEST_SIZE:
                raise NinError(f"NiN needs pictures of at least {SMALLEST_SIZE}x{SMALLEST_SIZE}, not {size}x{size}")
            return NiN(in_channels, classes, final_relu=final_relu, dropout=dropout)
        case "alexnet":
            return AlexNet(in_channels, classes, size=size, dropout=dropout)
        case "vgg":
            return VGG(in_channels, classes, size=size, dropout=dropout)


def find_model(model: str | os.PathLike[str]) -> Path:
    """Find the folder of a model by its name; see `load`. Raises ModelError where there is none."""
    shipped = Path(str(importlib.resources.files("nin"))) / WEIGHTS
    names = sorted(folder.name for folder in shipped.iterdir()) if shipped.is_dir() else []
    if model in names:
        return shipped / model
    if os.path.exists(model):  # noqa: PTH110 - where Path.exists raises, for names too long, this says no
        return Path(model)
    if isinstance(model, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not model.startswith("."):
        return _fetched(model)
    raise ModelError(f"there is no model {os.fspath(model)!r}: give {', '.join([*names, 'or the folder of one'])}")


def _fetched(name: str) -> Path:
    """Fetch a model of the Hugging Face hub, or find it in the hub's cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{name} is no folder here, and for a model of the hub huggingface_hub is missing: pip install it"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # its own errors, and those of the several libraries that it talks to the hub by
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} is no folder here and cannot be had from the hub: {reason}") from error


def read_folder(folder: Path) -> tuple[Config, nn.Module]:
    """Read a model's folder.

    Raises:
        ModelError: a file is missing or damaged, or the tensors are not those of the network in the config.

    """
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        raise ModelError(f"{folder} is no model's folder, but a run's: give {folder / 'model'}")
    config = _read_config(folder / "config.json")
    path = folder / "model.safetensors"
    try:
        with torch.device("meta"):  # shapes are enough to check by
            network = architecture(config.architecture, config.in_channels, config.classes, config.size)
        network.load_state_dict(_read_tensors(path, network.state_dict()), strict=True, assign=True)
    except ModelError:
        raise
    except NinError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}") from error
    return config, network.requires_grad_(False)


def _read_config(path: Path) -> Config:
    try:
        if path.stat().st_size > 2**24:
            raise ModelError(f"{path} has {path.stat().st_size:,} bytes, too many for a config.json")
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and (unknown := set(content) - set(Config.__dataclass_fields__)):
            raise ModelError(f"{path} has {sorted(unknown)[0]!r}, which no model of this package has")
        return msgspec.convert(content, Config)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; is {path.parent} the folder of a model?") from error
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} is not of a model of this package: {error}") from error
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error


def _read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors that are expected, and no others, as float32; nothing in such a file is executed."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} has {path.stat().st_size:,} bytes, more than any model of this package")
        with safe_open(path, framework="pt", device="cpu") as file:
            names = set(file.keys())
            for name in sorted(names ^ set(expected)):
                has = "has a tensor too many," if name in names else "lacks the tensor"
                raise ModelError(f"{path} {has} {name!r}: it is of another network than its config.json says")
            tensors: dict[str, Tensor] = {}
            for name, like in expected.items():
                stored = file.get_slice(name)
                if tuple(stored.get_shape()) != tuple(like.shape) or stored.get_dtype() not in ("F32", "F16", "BF16"):
                    raise ModelError(
                        f"{path}: {name} is {stored.get_dtype()} of {tuple(stored.get_shape())}, and the network of "
                        f"its config.json needs floats of {tuple(like.shape)}"
                    )
                # A copy: what the file gives is the file itself, which may change.
                tensors[name] = file.get_tensor(name).to(torch.float32, copy=True)
                if not tensors[name].isfinite().all():
                    raise ModelError(f"{path}: {name} has numbers that are not finite; the file is damaged")
            return tensors
    except (SafetensorError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"cannot read {path}: {reason}; fetch or train the model again") from error


def save_folder(folder: Path, network: nn.Module, config: Config, card: str = "", *, half: bool = False) -> None:
    """Write a model's folder whole: beside it first, then renamed into its place; `half` stores float16.

    Raises:
        ModelError: the network is not the one that the config describes, the folder holds something that is no
            model's, or it cannot be made; what was there stays.
        RunError: a file cannot be written; what was there stays.

    """
    _check_is(network, config)
    precision = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", precision).contiguous() for name, tensor in network.state_dict().items()}
    contents = {
        "config.json": (json.dumps(asdict(config), indent=2) + "\n").encode(),
        "model.safetensors": save(tensors, metadata={"format": "pt"}),
        "README.md": card.encode(),
    }
    folder = folder.resolve()
    mark = f"{os.getpid()}.{secrets.token_hex(4)}"
    beside, old = (folder.with_name(f".{folder.name}.{kind}.{mark}") for kind in ("new", "old"))
    try:
        names = {file.name for file in folder.iterdir()} if folder.exists() else set()
        if names and not {"config.json"} <= names <= set(FILES):
            raise ModelError(f"{folder} holds something else than a model; give another folder")
        beside.mkdir(parents=True)
        for name, content in contents.items():
            if content:
                write(beside / name, content)
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror}; make room or write elsewhere") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)


def _check_is(network: nn.Module, config: Config) -> None:
    """Check that a network is the one that its config would be read as. Raises ModelError."""
    with torch.device("meta"):
        like = architecture(config.architecture, config.in_channels, config.classes, config.size)
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (like, network)]
    ends = [[type(layer) for layer in one.modules()][-3:] for one in (like, network)]
    if shapes[0] != shapes[1] or (isinstance(network, NiN) and ends[0] != ends[1]):
        raise ModelError(
            f"the network is not the {config.architecture} of its config: fold a training twin first, and lift a NiN "
            "without its last ReLU; an average pool cannot be saved"
        )
