"""What can be typed? The options of every command, with their help; nothing here needs torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nin.choices import MODELS, Augmentation, BatchNorm, DeviceName, Format, Invert, Size
from nin.networks.registry import NETWORKS

MODEL = f"{', '.join(MODELS)}, a model folder such as a run's model/, or owner/name on the Hugging Face hub."
NETWORK = f"one of {', '.join(NETWORKS)}; or the import path of another, as PACKAGE.MODULE:CALLABLE."
TRAINED = f"{NETWORK} Convolutions and dense layers are initialised anew, except those that are frozen."
IMPORTED = (
    "import path of the model's network, if it is not one of this package, as PACKAGE.MODULE:CALLABLE; importing it "
    "runs its code."
)
DEVICE = "auto takes an accelerator when there is one."
SOURCE = (
    "fashion-mnist, cifar10 or mnist; a folder of photos, as DIR/CLASS/PHOTO or DIR/SPLIT/CLASS/PHOTO, or with "
    "metadata.csv or metadata.jsonl; a folder of IDX files; hf:OWNER/NAME on the Hugging Face hub, or hf:PATH."
)
EVALUATED = (
    f"{SOURCE} Evaluates on what the run of MODEL held out, or on the test split, else the validation split; on all "
    "images if there is neither."
)
AUGMENTATION = (
    "full: all that the recipe has (flips, shifts, erased squares); no-flip: without flips, for images whose mirror "
    "image is of another class, such as letters; none."
)
PHOTOS = "files or folders: PNG, JPEG, WebP, GIF, TIFF, BMP; - reads names from standard input."
FIT = "how photos are made square: padded with the mean colour of their border, cropped to the centre, or stretched."
VALIDATION = "share of the images held out for validation, unless SOURCE has such a split."
TEST = "share held out for testing; with 0 there is no test split, and results are on the validation images."


def hint(metavar: str, default: str, text: str) -> object:
    """Describe an option that is None when not given, and say what happens then."""
    return arg(metavar=metavar, help=f"{text} (default: {default})" if default else text, help_behavior_hint="")


@dataclass(frozen=True)
class Train:
    """Train on images and leave a run folder with model, figures and report."""

    source: Annotated[Positional[str | None], hint("SOURCE", "fashion-mnist", SOURCE)] = None
    recipe: Annotated[
        str | None,
        hint(
            "NAME",
            "quick",
            "quick: minutes. long: NiN at 131x131 with class maps of 3x3 cells, half an hour (--network nin-2013: an "
            "hour, at the images' own size). long-67: NiN at 67x67, half an hour. d2l: as in Dive into Deep Learning, "
            "224x224, hours on a CPU.",
        ),
    ] = None
    network: Annotated[str | None, hint("NAME", "nin", TRAINED)] = None
    minutes: Annotated[float | None, hint("M", "5 for quick", "how long the whole command may take.")] = None
    epochs: Annotated[float | None, hint("N", "the recipe's", "passes through the images, instead of --minutes.")] = (
        None
    )
    plan: Annotated[
        Path | None,
        hint("FILE", "", "repeat the run of this plan.json; can be combined with SOURCE, --seed and --run."),
    ] = None
    resume: Annotated[
        Path | None, hint("RUN", "", "continue a stopped run; give SOURCE too if its images have moved.")
    ] = None
    init_from: Annotated[
        str | None,
        hint(
            "MODEL",
            "random weights",
            "fine-tune: start from MODEL's weights with a new last block; keeps its network, sizes and preprocessing.",
        ),
    ] = None
    augmentation: Annotated[str | None, hint("full|no-flip|none", "full; no-flip for mnist", AUGMENTATION)] = None
    validation: Annotated[float | None, hint("SHARE", "0.1", VALIDATION)] = None
    test: Annotated[float | None, hint("SHARE", "0.1, or 0 for a source that is split", TEST)] = None
    fit: Annotated[str | None, hint("pad|crop|stretch", "pad", FIT)] = None
    run: Annotated[Path | None, hint("DIR", "runs/ and the time", "folder of the new run, which must not exist.")] = (
        None
    )
    seed: Annotated[int | None, hint("N", "0", "of initialisation, order, augmentation and dropout.")] = None
    device: Annotated[str | None, hint("NAME", "auto", f"auto, cpu, cuda or mps; {DEVICE}")] = None


@dataclass(frozen=True)
class Predict:
    """Predict what photos show, and with what probability; --explain draws why."""

    photos: Annotated[Positional[tuple[Path, ...]], hint("PHOTO...", "", PHOTOS)]
    model: Annotated[str, arg(metavar="MODEL", help=MODEL)] = "fashion-mnist"
    json: bool = False
    """print machine-readable output: a list with one object per photo."""
    jsonl: bool = False
    """print one JSON object a line, each as soon as it is there: for any number of photos."""
    resume: Annotated[
        Path | None, hint("FILE", "", "write the lines to FILE, only those that it lacks: continues a killed run.")
    ] = None
    nul: Annotated[
        bool, arg(name="null", aliases=["-0"], help="names on standard input end in NUL, as those of find -print0.")
    ] = False
    explain: Annotated[Path | None, hint("FILE", "", "draw the photos beside their class maps, as a new PNG.")] = None
    invert: Invert = "auto"
    """whether to swap light and dark: auto does where the border is bright, for models of Fashion-MNIST, which is light
    on black."""
    network: Annotated[str | None, hint("MODULE:CALLABLE", "", IMPORTED)] = None
    device: Annotated[DeviceName, arg(help=DEVICE)] = "auto"


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on images: accuracy, each class, calibration, speed."""

    source: Annotated[
        Positional[str | None],
        hint("SOURCE", "that of MODEL, else fashion-mnist", EVALUATED),
    ] = None  # fmt: skip
    model: Annotated[str, arg(metavar="MODEL", help=MODEL)] = "fashion-mnist"
    out: Annotated[
        Path | None,
        hint("DIR", "", "new folder for confusion.png, reliability.png, mistakes.png and evaluation.json."),
    ] = None
    json: bool = False
    """print machine-readable output: one JSON object."""
    network: Annotated[str | None, hint("MODULE:CALLABLE", "", IMPORTED)] = None
    device: Annotated[DeviceName, arg(help=DEVICE)] = "auto"


@dataclass(frozen=True)
class Summary:
    """Print networks layer by layer: output shape, parameters and multiply-adds."""

    networks: Annotated[Positional[tuple[str, ...]], hint("NETWORK...", "nin", NETWORK)] = ()
    size: Annotated[int | None, hint("PIXELS", "as in its paper or textbook", "side of the images.")] = None
    channels: Annotated[int | None, hint("N", "as in its paper or textbook", "1 for grey images, 3 for colour.")] = None
    figure: Annotated[
        Path | None, hint("FILE", "", "draw the networks side by side, as a new SVG or PNG, in place of printing them.")
    ] = None


@dataclass(frozen=True)
class Data:
    """Print what a data set holds and what is wrong with it: unreadable, duplicate, blank images; class imbalance."""

    source: Annotated[Positional[str], hint("SOURCE", "fashion-mnist", SOURCE)] = "fashion-mnist"
    validation: Annotated[float | None, hint("SHARE", "0.1", VALIDATION)] = None
    test: Annotated[float | None, hint("SHARE", "0.1, or 0 for a source that is split", TEST)] = None
    fit: Annotated[str | None, hint("pad|crop|stretch", "pad", FIT)] = None
    size: Annotated[int, hint("PIXELS", "67", "side of the squares that photos become.")] = 67
    report: Annotated[Path | None, hint("FILE", "", "write what was found as a new HTML page.")] = None
    json: bool = False
    """print machine-readable output: one JSON object."""


@dataclass(frozen=True)
class Report:
    """Write the report of a run again, from the run's files."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of the run."""
    network: Annotated[str | None, hint("MODULE:CALLABLE", "", IMPORTED)] = None


@dataclass(frozen=True)
class Compare:
    """Train several networks on the same images with the same budget, and write a page of what came of it.

    The same command continues a comparison that was stopped; with more networks or seeds, only the missing ones are
    trained.
    """

    networks: Annotated[Positional[tuple[str, ...]], hint("NETWORK...", "all seven", TRAINED)] = ()
    data: Annotated[str, hint("SOURCE", "fashion-mnist", SOURCE)] = "fashion-mnist"
    minutes: Annotated[float | None, hint("M", "5", "how long each training may take.")] = None
    epochs: Annotated[float | None, hint("N", "", "passes through the training images, instead of --minutes.")] = None
    seeds: Annotated[int, hint("N", "3", "number of seeds, from 0 on.")] = 3
    learning_rates: Annotated[
        tuple[float, ...],
        hint(
            "X...",
            "1",
            "factors on the recipe's learning rates; each network is reported at its best on the validation images.",
        ),
    ] = (1.0,)
    batch_norm: Annotated[
        BatchNorm, hint("yes|no|both", "yes", "whether to train the batch-norm variants, the plain networks, or both.")
    ] = "yes"
    size: Annotated[
        Size,
        hint(
            "fastest|published",
            "fastest",
            "size of the images: the fastest for each network, or that of its paper or textbook page.",
        ),
    ] = "fastest"
    augmentation: Annotated[Augmentation | None, hint("full|no-flip|none", "full; no-flip for mnist", AUGMENTATION)] = (
        None
    )
    out: Annotated[
        Path | None,
        hint("DIR", "runs/comparison", "folder of the comparison; data, budget and size are the same for all in it."),
    ] = None


@dataclass(frozen=True)
class Export:
    """Write a model as one file for other software: uint8 images in; probabilities, logits and class maps out.

    Preprocessing, temperature and labels are in the file. It is only written once it gives the model's own labels and
    probabilities on held-out images.
    """

    model: Annotated[Positional[str], arg(metavar="MODEL", help=MODEL)]
    file: Annotated[Positional[Path], arg(metavar="FILE", help="a new file that ends in .onnx, or in .pt2.")]
    format: Annotated[
        Format, hint("onnx|torch", "onnx", "ONNX needs the extra [onnx]; torch is a program of torch.export.")
    ] = "onnx"
    any_size: bool = False
    """take images of any size and resize them inside; otherwise of the size of the training images."""
    int8: bool = False
    """quantise the network, if that is faster on this machine and costs at most 0.2 points of accuracy."""
    data: Annotated[
        str | None, hint("SOURCE", "that of MODEL's run", "images to compare the file with the model on.")
    ] = None
    network: Annotated[str | None, hint("MODULE:CALLABLE", "", IMPORTED)] = None


@dataclass(frozen=True)
class Serve:
    """Serve models on a page to try them, and to programs."""

    models: Annotated[Positional[tuple[str, ...]], hint("MODEL...", "those of the package", MODEL)] = ()
    port: Annotated[int, arg(metavar="N", help="port; 0 takes a free one.")] = 8000
    host: Annotated[str, arg(metavar="HOST", help="address to listen on; 0.0.0.0 lets other machines in.")] = (
        "127.0.0.1"
    )
    allow_host: Annotated[
        tuple[str, ...],
        hint("NAME...", "", "names by which it may be called, beside localhost and addresses, as behind a proxy."),
    ] = ()
    network: Annotated[str | None, hint("MODULE:CALLABLE", "", IMPORTED)] = None
    device: Annotated[DeviceName, arg(help=DEVICE)] = "auto"


Command = Train | Compare | Predict | Serve | Evaluate | Export | Summary | Data | Report
