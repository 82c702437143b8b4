"""What can be typed? The options of every command, with their help; nothing here needs torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nin.choices import DeviceName, Invert
from nin.networks.registry import NETWORKS

MODEL = "fashion-mnist, fashion-mnist-fast, a model's folder, as a run's model/, or owner/name on the Hugging Face hub."
NETWORK = f"one of {', '.join(NETWORKS)}."
DEVICE = "auto takes an accelerator when there is one."


def hint(metavar: str, default: str, text: str) -> object:
    """Describe an option that is None when not given, and say what happens then."""
    return arg(metavar=metavar, help=f"{text} (default: {default})" if default else text, help_behavior_hint="")


@dataclass(frozen=True)
class Train:
    """Train on Fashion-MNIST and leave a run folder with model, figures and report."""

    recipe: Annotated[
        str | None,
        hint(
            "NAME",
            "quick",
            "quick: minutes, 67x67. long: half an hour, 131x131, with class maps of 3x3 cells. long-67: half an hour, "
            "67x67. d2l: as in Dive into Deep Learning, 224x224, hours on a CPU.",
        ),
    ] = None
    network: Annotated[str | None, hint("NAME", "nin", NETWORK)] = None
    minutes: Annotated[float | None, hint("M", "5 for quick", "how long the whole command may take.")] = None
    epochs: Annotated[float | None, hint("N", "the recipe's", "passes through the images, instead of --minutes.")] = (
        None
    )
    plan: Annotated[
        Path | None,
        hint("FILE", "", "repeat the run of this plan.json; can be combined with --seed, --data and --run."),
    ] = None
    resume: Annotated[Path | None, hint("RUN", "", "resume a run that was stopped; can be combined with --data.")] = (
        None
    )
    data: Annotated[Path | None, hint("DIR", "found, or fetched", "folder of Fashion-MNIST's four files.")] = None
    run: Annotated[Path | None, hint("DIR", "runs/ and the time", "folder of the new run, which must not exist.")] = (
        None
    )
    seed: Annotated[int | None, hint("N", "0", "of initialisation, order, augmentation and dropout.")] = None
    device: Annotated[str | None, hint("NAME", "auto", f"auto, cpu, cuda or mps; {DEVICE}")] = None


@dataclass(frozen=True)
class Predict:
    """Predict what photos show, and with what probability; --explain draws why."""

    photos: Annotated[
        Positional[tuple[Path, ...]],
        hint("PHOTO...", "", "files or folders: PNG, JPEG, WebP, GIF, TIFF, BMP."),
    ]
    model: Annotated[str, arg(metavar="MODEL", help=MODEL)] = "fashion-mnist"
    json: bool = False
    """print machine-readable output: a list with one object per photo."""
    explain: Annotated[Path | None, hint("FILE", "", "draw the photos beside their class maps, as a new PNG.")] = None
    invert: Invert = "auto"
    """whether to swap light and dark: auto does where the border is bright, as Fashion-MNIST is light on black."""
    device: Annotated[DeviceName, arg(help=DEVICE)] = "auto"


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on the test images: accuracy, each class, calibration, speed."""

    model: Annotated[str, arg(metavar="MODEL", help=MODEL)] = "fashion-mnist"
    data: Annotated[Path | None, hint("DIR", "found, or fetched", "folder of Fashion-MNIST's four files.")] = None
    out: Annotated[
        Path | None,
        hint("DIR", "", "new folder for confusion.png, reliability.png, mistakes.png and evaluation.json."),
    ] = None
    json: bool = False
    """print machine-readable output: one JSON object."""
    device: Annotated[DeviceName, arg(help=DEVICE)] = "auto"


@dataclass(frozen=True)
class Summary:
    """Print a network, and what each of its layers does to the shape and costs."""

    network: Annotated[str, arg(metavar="NAME", help=NETWORK)] = "nin"
    size: Annotated[int | None, hint("PIXELS", "224", "side of the images.")] = None


@dataclass(frozen=True)
class Data:
    """Print where Fashion-MNIST is, with its hashes; fetch it if it is not on this machine."""

    data: Annotated[Path | None, hint("DIR", "found, or fetched", "folder of the four files.")] = None


@dataclass(frozen=True)
class Report:
    """Write the report of a run again, from the run's files."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of the run."""


Command = Train | Predict | Evaluate | Summary | Data | Report
