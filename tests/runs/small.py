"""What do tests of runs train on? A recipe and images so few that a whole run takes seconds."""

import io
from pathlib import Path

import torch
from msgspec.structs import replace
from PIL import Image
from synthetic import stripes

from nin.data.images import LabelledImages, Origin, Splits
from nin.training.plan import Plan, resolve
from nin.training.recipe import Recipe

CPU = torch.device("cpu")

# Muon's steps take most of the time, and one test of a resumed run is enough to hold its state.
RECIPE = Recipe("small", epochs=2.0, batch_size=32, muon_learning_rate=0.0, learning_rate=0.05)


def tiny_splits(place: str = "synthetic") -> Splits:
    """Return 128 training, 32 validation and 40 test images; four of the test images have a wrong label."""
    test = stripes(40, seed=3)
    labels = test.labels.clone()
    labels[:4] = (labels[:4] + 1) % 4
    wrong = LabelledImages(test.images, labels, test.names)
    return Splits(stripes(128, seed=1), stripes(32, seed=2), wrong, Origin("Stripes", place))


def tiny_plan(splits: Splits, seed: int = 0, **changes: object) -> Plan:
    """Return the plan of `RECIPE`, with changes: four steps an epoch, two epochs."""
    return resolve(replace(RECIPE, **changes), splits.train, seed, CPU)


def blank_figures(*_: object) -> dict[str, bytes]:
    """Return what stands for the figures of a run: to draw them is the longest part of a small run."""
    png = io.BytesIO()
    Image.new("L", (4, 4)).save(png, "PNG")
    names = ("sample", "loss", "prediction", "confusion", "reliability", "mistakes")
    return {f"{name}.png": png.getvalue() for name in names} | {"structure.svg": b"<svg></svg>"}


def files(folder: Path) -> set[str]:
    """Return the files of a run by their names within it, without the lock."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {".lock"}


def weights(folder: Path) -> bytes:
    """Return the file of the weights of a run's model."""
    return (folder / "model" / "model.safetensors").read_bytes()
