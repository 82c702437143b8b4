"""What ships? Preprocessing, network and labels together, so that nobody can get one of them wrong."""

import importlib.resources
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nin.baselines import VGG, AlexNet
from nin.devices import Precision, autocast, fastest_precision, find_device
from nin.errors import ModelError, NinError, OptionError, printable
from nin.evaluation import at_once, evaluating
from nin.network import SMALLEST_SIZE, NiN
from nin.pictures import prepare_picture, read_picture
from nin.preprocessing import channels_last, prepare
from nin.recipe import LARGEST_SIZE, DeviceName, NetworkName
from nin.runs import write

WEIGHTS = "weights"  # the folder of the models that come with the package, within it
FILES = ("config.json", "model.safetensors", "README.md")
MAX_BYTES = 2**31  # of a model's file; VGG at 224x224 has a quarter of that

Pictures = Tensor | np.ndarray | Image.Image | str | os.PathLike[str] | Sequence[Any]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture: the likeliest label, its probability, and that of every label (0..1)."""

    label: str
    probability: float
    probabilities: dict[str, float]


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


class Classifier:
    """A network with what it needs: takes pictures, gives labels, probabilities and class maps.

    The network is taken over: put in `eval` mode and on the `device`. `precision` is that of its convolutions; scores,
    maps and probabilities come as float32 on the CPU.

    Pictures may be given as

    - a tensor or array of (images, channels, height, width) or (channels, height, width); of grey ones (images, height,
      width) or (height, width) too: uint8, or floats from 0 to 1. They look like those that it learnt from, and are
      only resized;
    - a PIL picture, or the path of one: prepared as `pictures.prepare_picture` does, for the side it learnt from;
    - a list of any of these.
    """

    def __init__(
        self,
        network: nn.Module,
        config: Config,
        *,
        device: torch.device | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.device = find_device("auto") if device is None else device
        self.precision: Precision = fastest_precision(self.device) if precision is None else precision
        self.network = channels_last(network).eval().to(self.device)
        self.config = config

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of scores and maps."""
        return self.config.labels

    def __repr__(self) -> str:
        about = self.config
        return (
            f"Classifier({about.architecture} at {about.size}x{about.size}, {about.classes} classes, "
            f"{self.device.type} in {self.precision})"
        )

    def predict(self, pictures: Pictures) -> list[Prediction]:
        """Predict the label of each picture, in order. Raises what `probabilities` does."""
        return [
            Prediction(
                self.labels[max(range(len(row)), key=row.__getitem__)],
                max(row),
                dict(zip(self.labels, row, strict=True)),
            )
            for row in self.probabilities(pictures).tolist()
        ]

    def probabilities(self, pictures: Pictures) -> Float[Tensor, "images classes"]:
        """Give each label's probability for each picture, (images, classes).

        Raises:
            ModelError: a score is not finite.
            NinError: what `scores` raises.

        """
        found = (self.scores(pictures) / self.config.temperature).softmax(dim=1)
        if not found.isfinite().all():
            raise ModelError("the model's scores are not finite: its weights or its config.json are damaged")
        return found

    def scores(self, pictures: Pictures) -> Float[Tensor, "images classes"]:
        """Score each class for each picture, (images, classes): NiN's are the pools of its class maps.

        Raises:
            PictureError: a file or PIL picture that cannot be used.
            NinError: a tensor or array of another shape or type than this classifier takes.

        """
        return self._apply(self.network, pictures)

    def class_maps(self, pictures: Pictures) -> Float[Tensor, "images classes map_height map_width"]:
        """Give one map a class for each picture; under a max pool its largest value is the class's score, exactly.

        Raises:
            NinError: what `scores` raises, or a network that has no class maps.

        """
        if not isinstance(self.network, NiN):
            raise NinError(f"{self.config.architecture} has no class maps: it ends in dense layers; take a NiN")
        return self._apply(self.network.class_maps, pictures)

    def _apply(self, function: Any, pictures: Pictures) -> Tensor:
        found: list[Tensor] = []
        with evaluating(self.network), autocast(self.device, self.precision):
            for batch in self._batches(pictures):
                prepared = prepare(batch.to(self.device), self.config.size, self.config.mean, self.config.std)
                found.append(function(prepared).float().cpu())
        if not found:
            raise NinError("no picture was given; give one at least")
        return torch.cat(found)

    def _batches(self, pictures: Pictures) -> Iterator[UInt8[Tensor, "batch channels height width"]]:
        """Give the pictures as tensors, neighbours of one shape together, no more than memory is meant to hold."""
        for shape, alike in groupby(self._tensors(pictures), key=lambda tensor: tensor.shape[1:]):
            most = at_once(max(self.config.size, *shape[1:]))
            waiting: list[Tensor] = []
            for part in (part for tensor in alike for part in tensor.split(most)):
                if sum(map(len, waiting)) + len(part) > most:
                    yield torch.cat(waiting)
                    waiting = []
                waiting.append(part)
            if waiting:
                yield torch.cat(waiting)

    def _tensors(self, pictures: Any) -> Iterator[UInt8[Tensor, "images channels height width"]]:
        """Give each part of what was given as a tensor."""
        match pictures:
            case Tensor() | np.ndarray():
                yield as_images(pictures, self.config.in_channels)
            case Image.Image():
                yield prepare_picture(pictures, self.config.in_channels, self.config.side).image[None]
            case str() | os.PathLike():
                yield from self._tensors(read_picture(Path(pictures)))
            case Iterable():
                for one in pictures:
                    yield from self._tensors(one)
            case _:
                raise NinError(
                    f"a picture is a tensor, an array, a PIL picture or a path, not {type(pictures).__name__}"
                )

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors (float32) into a folder; a model that was there is replaced whole.

        Raises:
            NinError: the folder holds something else, or cannot be written; what was there stays.

        """
        save_folder(Path(folder), self.network, self.config)


def as_images(images: Tensor | np.ndarray, channels: int) -> UInt8[Tensor, "images {channels} height width"]:
    """Make uint8 (images, channels, height, width) of a tensor or array as `Classifier` takes them.

    Raises:
        NinError: another shape or type, or floats that are not from 0 to 1.

    """
    try:
        if isinstance(images, np.ndarray):  # a copy: PyTorch takes no other byte order, no negative strides
            images = torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("=")))
        tensor = images
    except (TypeError, ValueError) as error:
        raise NinError(f"an array of {images.dtype} is no picture: give uint8, or floats from 0 to 1") from error
    shape = tuple(tensor.shape)
    if tensor.ndim == 2:
        tensor = tensor[None, None]
    elif tensor.ndim == 3 and channels == 1:
        if {shape[0], shape[2]} & {3, 4}:
            raise NinError(
                f"{shape} may be one colour picture or grey ones: give (images, 1, height, width), or a PIL picture"
            )
        tensor = tensor[:, None]
    elif tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] != channels or 0 in tensor.shape:
        raise NinError(f"pictures are of shape (images, {channels}, height, width), not {shape}")
    if tensor.is_floating_point():
        if not ((tensor >= 0) & (tensor <= 1)).all():
            raise NinError(
                f"floats are pixels from 0 to 1, not from {tensor.min().item():.3g} to {tensor.max().item():.3g}: "
                "give them as they were before any normalising"
            )
        return (tensor * 255).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        name = str(tensor.dtype).removeprefix("torch.")
        raise NinError(f"pictures are uint8, or floats from 0 to 1, not {name}")
    return tensor


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


# ---------------------------------------------------------------------------------------------------------------------
# The folder of a model, in Hugging Face's layout


def load(
    model: str | os.PathLike[str] = "fashion-mnist", *, device: DeviceName = "auto", precision: Precision | None = None
) -> Classifier:
    """Load a classifier: one that comes with the package, the folder of a model, or one of the Hugging Face hub.

    Args:
        model: "fashion-mnist" (131x131, class maps of 3x3 cells) or "fashion-mnist-fast" (67x67, of one cell); else a
            folder, as a run's `model/`; else, where no such folder is, the "owner/name" of a hub's model, which needs
            `huggingface_hub`.
        device: "auto" takes an accelerator when there is one.
        precision: of the convolutions; bf16 where the device computes in it, unless told otherwise.

    Raises:
        ModelError: there is no such model, or it is not one that this package can use, with the reason.
        OptionError: no such device or precision.

    """
    where = find_device(device)
    if precision not in (None, "bfloat16", "float32"):
        raise OptionError(f"precision is bfloat16 or float32, not {precision!r}")
    config, network = read_folder(find_model(model))
    return Classifier(network, config, device=where, precision=precision)


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
