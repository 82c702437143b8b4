"""What can be typed? The commands of `nin`; the only room that prints. Torch is imported once a command needs it."""

import contextlib
import io
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

import nin
from nin.errors import NinError, OptionError, PictureError, printable
from nin.recipe import LARGEST_SIZE, DeviceName, NetworkName, RecipeName

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Train:
    """Train on Fashion-MNIST and leave a run folder with model, figures and report."""

    recipe: RecipeName = "quick"
    """quick: minutes, batch norm folded away, 67x67. long: half an hour, 131x131, with class maps of 3x3 cells;
    long-67: half an hour, 67x67. seed: the textbook's way, 224x224, hours on a CPU."""
    network: NetworkName = "nin"
    """nin, or one of the networks that it is compared with."""
    minutes: Annotated[float | None, arg(metavar="M")] = None
    """how long the whole command may take; quick takes 5 unless told otherwise."""
    epochs: Annotated[float | None, arg(metavar="N")] = None
    """instead of minutes: how often each training image is seen."""
    plan: Annotated[Path | None, arg(metavar="FILE")] = None
    """do again what a run's plan.json says; takes --seed, --data and --run beside it."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """go on with a run that was stopped; takes --data beside it."""
    data: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder of Fashion-MNIST's four files; found or fetched unless given."""
    run: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder of the new run, which must not exist; runs/ and the time unless given."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """decides first weights, order, flips, shifts and dropout; 0 unless given."""
    device: DeviceName = "auto"
    """auto takes an accelerator when there is one."""


@dataclass(frozen=True)
class Predict:
    """Say what pictures show, and how sure that is; --explain draws why."""

    pictures: Annotated[Positional[tuple[Path, ...]], arg(metavar="PICTURE")]
    """files, and folders of files: PNG, JPEG, WebP, GIF, TIFF, BMP."""
    model: Annotated[str, arg(metavar="MODEL")] = "fashion-mnist"
    """fashion-mnist, fashion-mnist-fast, a model's folder as a run's model/, or owner/name of the Hugging Face hub."""
    json: bool = False
    """print a list with one object a picture, for programs."""
    explain: Annotated[Path | None, arg(metavar="FILE")] = None
    """write the pictures beside the class maps of their likeliest classes, as a PNG."""
    invert: Literal["auto", "yes", "no"] = "auto"
    """whether to negate pictures: auto does where the border is bright, since the network learnt light on black."""
    device: DeviceName = "auto"
    """auto takes an accelerator when there is one."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on the test pictures: accuracy, every class, calibration, speed."""

    model: Annotated[str, arg(metavar="MODEL")] = "fashion-mnist"
    """fashion-mnist, fashion-mnist-fast, a model's folder as a run's model/, or owner/name of the Hugging Face hub."""
    data: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder of Fashion-MNIST's four files; found or fetched unless given."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """new folder for confusion.png, reliability.png, mistakes.png and evaluation.json."""
    json: bool = False
    """print one JSON object, for programs."""
    device: DeviceName = "auto"
    """auto takes an accelerator when there is one."""


@dataclass(frozen=True)
class Summary:
    """Print a network and what each of its layers does to the shape and costs."""

    network: NetworkName = "nin"
    """nin, or one of the networks that it is compared with."""
    size: Annotated[int, arg(metavar="PIXELS")] = 224
    """side of the pictures."""


@dataclass(frozen=True)
class Data:
    """Say where Fashion-MNIST is, with its hashes; fetch it if it is nowhere."""

    data: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder of the four files; found or fetched unless given."""


@dataclass(frozen=True)
class Report:
    """Write the report of a run anew from the run's files."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of the run."""


def main() -> None:
    """Run the command line: exit code 0, 1 after a dead run, 2 for what the user can put right, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        code = answer(sys.argv[1:])
        print(end="", flush=True)
    except NinError as error:
        print(f"nin: {printable(str(error))}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("nin: stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `nin summary | head`: nobody reads on
        mute()
        code = 0
    except OSError as error:
        mute()
        wrong = f"{printable(str(error.filename))}: {error.strerror}"
        if error.filename is None:
            wrong = f"cannot write the answer: {error.strerror}; give another place to print to"
        print(f"nin: {wrong}", file=sys.stderr)
        code = 2
    sys.exit(code)


def mute() -> None:
    """Send what is still printed nowhere, where its reader has gone."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the process


def answer(arguments: list[str]) -> int:
    """Carry out one command and give its exit code.

    Raises:
        NinError: what the user can put right.
        SystemExit: after --help, or for options that cannot be parsed.

    """
    if arguments == ["--version"]:
        print(f"nin {nin.__version__}")
        return 0
    match parse(arguments):
        case Train() as options:
            return train(options)
        case Predict() as options:
            return predict(options)
        case Evaluate() as options:
            return evaluate(options)
        case Summary(network, size):
            return summary(network, size)
        case Data(folder):
            return data(folder)
        case Report(folder):
            from nin.report import write_report

            print(write_report(folder))
            return 0


Command = Train | Predict | Evaluate | Summary | Data | Report


def show_table(table: "Table") -> None:
    """Print a table, as wide as it needs where no terminal sets a width."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 300
    console.print(table)


def parse(arguments: list[str]) -> Command:
    """Read the options; one line and exit code 2 for those that cannot be read, in place of tyro's box of many."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                Command,
                prog="nin",
                description="Network in Network: train, explain, compare and ship small image classifiers. "
                "--version says which this is.",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
            )
    except SystemExit as end:
        if end.code:
            lines = [line.strip("│╭╮╰╯─ ") for line in box.getvalue().splitlines()]
            said = " ".join(takewhile(bool, lines[1:]))  # up to the box's first blank line or rule
            print(f"nin: {said.rstrip('.')}; see nin --help", file=sys.stderr)
        raise


# ---------------------------------------------------------------------------------------------------------------------
# nin train


def train(options: Train) -> int:
    """Train, show how it goes, and say what came out."""
    began = time.monotonic()  # torch's import counts too
    from nin.progress import Show, progress_bar
    from nin.report import duration

    with progress_bar() as bar:
        show = Show(bar, mute)
        try:
            result = nin.train(**vars(options), began=began, on_start=show.start, on_event=show.event)
        except KeyboardInterrupt:
            show.say("Stopped before the report was made.")
            raise
    print(f"test accuracy       {result.test_accuracy:.4f} (95 % interval {result.test_accuracy_low:.4f} to "
          f"{result.test_accuracy_high:.4f}; it covers the test sample, not the seed)")  # fmt: skip
    print(f"validation accuracy {result.validation_accuracy:.4f}")
    print(f"time                {duration(result.seconds)}, of which training {duration(result.training_seconds)}")
    print(f"model               {result.folder / 'model'}")
    print(f"report              {result.folder / 'report.html'}")
    return {"finished": 0, "dead": 1, "interrupted": 130}[result.ended]


# ---------------------------------------------------------------------------------------------------------------------
# nin predict, nin evaluate

SHOWN = 3  # likeliest classes of a picture
EXPLAINED = 8  # pictures in one figure


def predict(options: Predict) -> int:
    """Predict every picture that can be read, and say in a line of its own which cannot: exit code 2 then."""
    import torch

    from nin.classifier import load
    from nin.pictures import Prepared, find_pictures, prepare_picture, read_picture

    if not options.pictures:
        raise OptionError("no picture is given: name files or folders, as in nin predict shirt.jpg shoes/")
    if options.explain is not None and (os.path.lexists(options.explain) or options.explain.suffix != ".png"):
        raise OptionError(f"--explain writes a new file whose name ends in .png, and {options.explain} is none")
    classifier = load(options.model, device=options.device)
    channels, side = classifier.config.in_channels, classifier.config.side
    paths = find_pictures(options.pictures)
    prepared: dict[Path, Prepared] = {}
    answers: dict[Path, dict[str, Any]] = {}
    for path in paths:
        try:
            prepared[path] = prepare_picture(read_picture(path), channels, side, options.invert)
        except PictureError as error:
            answers[path] = {"picture": str(path), "error": str(error)}
            print(f"nin: {error}", file=sys.stderr)
    images = torch.stack([one.image for one in prepared.values()]) if prepared else torch.empty(0)
    found = classifier.predict(images) if prepared else []
    for (path, one), prediction in zip(prepared.items(), found, strict=True):
        answers[path] = {"picture": str(path)} | asdict(prediction) | {"inverted": one.inverted}
    if options.json:
        print(json.dumps([answers[path] for path in paths], indent=2))
    else:
        show_predictions([answers[path] for path in prepared])
    if options.explain is not None and prepared:
        from nin import figures, runs
        from nin.explanation import explain

        names = [path.name for path in prepared][:EXPLAINED]
        runs.write(options.explain, figures.to_png(explain(classifier, images[:EXPLAINED], names)))
        if len(prepared) > EXPLAINED and not options.json:
            print(f"{options.explain} has the first {EXPLAINED} of {len(prepared)} pictures.")
    return 2 if len(prepared) < len(set(paths)) else 0


def show_predictions(answers: list[dict[str, Any]]) -> None:
    """Print a table of pictures with their likeliest classes."""
    from rich.table import Column, Table
    from rich.text import Text

    if not answers:
        return
    table = Table(Column("picture", overflow="fold"), "label", "probability", "then")
    for answer in answers:
        likeliest = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])[:SHOWN]
        (label, first), *others = ((name, f"{100 * share:.1f} %") for name, share in likeliest)
        then = ", ".join(f"{name} {share}" for name, share in others)
        # As Text: of a str rich would read markup.
        table.add_row(*map(Text, (printable(answer["picture"]), label, first, then)))
    show_table(table)
    if inverted := sum(answer["inverted"] for answer in answers):
        print(f"{inverted} of {len(answers)} negated, since the network learnt light on black; by itself that is done "
              "where the border is bright, and --invert no leaves pictures as they are.")  # fmt: skip


def evaluate(options: Evaluate) -> int:
    """Evaluate a model on the test split and print what came out."""
    from rich.table import Table
    from rich.text import Text

    from nin import assessment, runs
    from nin.classifier import load
    from nin.data import fashion_mnist

    if options.out is not None:
        runs.refuse_existing(options.out)
    classifier = load(options.model, device=options.device)
    test = fashion_mnist(options.data).test
    found = assessment.assess(classifier, test)
    if options.out is not None:
        assessment.write(found, test, options.out)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
        return 0
    about, interval = classifier.config, f"{found.low:.4f} to {found.high:.4f}"
    print(f"model                      {options.model}: {about.architecture} at {about.size}x{about.size}")
    print(f"accuracy                   {found.accuracy:.4f} on {found.pictures:,} test pictures, in float32; "
          f"95 % interval {interval} (Wilson; it covers the test sample, not the seed)")  # fmt: skip
    print(f"loss                       {found.loss:.4f} nats, at temperature {found.temperature:.3f}")
    print(f"expected calibration error {found.calibration.error:.4f} in {len(found.calibration.counts)} bins")
    print(f"speed                      {found.images_per_second:,.0f} images/s, {assessment.BATCH} at a time, "
          f"in {found.computed_in}")  # fmt: skip
    table = Table("class", "precision", "recall", "most often taken for")
    for row, (label, precision, recall) in enumerate(zip(found.labels, found.precision, found.recall, strict=True)):
        wrong = {name: count for name, count in zip(found.labels, found.confusion[row], strict=True) if name != label}
        name = max(wrong, key=wrong.__getitem__, default=None)
        often = f"{name}, {wrong[name]} times" if name is not None and wrong[name] else "–"
        shares = ("–" if share is None else f"{share:.3f}" for share in (precision, recall))
        table.add_row(*map(Text, (label, *shares, often)))
    show_table(table)
    if options.out is not None:
        print(f"figures                    {options.out}")
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# nin summary, nin data


def summary(network: NetworkName, size: int) -> int:
    """Print the network and its table of layers."""
    import torch
    from rich.table import Table

    from nin.model_folder import architecture
    from nin.summary import layers

    if not 1 <= size <= LARGEST_SIZE:
        raise OptionError(f"size is from 1 to {LARGEST_SIZE}, not {size}")
    with torch.device("meta"):  # shapes are enough
        module = architecture(network, in_channels=1, classes=10, size=size)
    found = layers(module, in_channels=1, size=size)
    table = Table("layer", "kind", title=f"{network} at {size}x{size}")
    for heading in ("output shape", "parameters", "multiply-adds"):
        table.add_column(heading, justify="right", overflow="fold")
    for layer in found:
        shape = " x ".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    table.add_section()
    totals = (sum(layer.parameters for layer in found), sum(layer.multiply_adds for layer in found))
    table.add_row("total", "", "", *(f"{total:,}" for total in totals))
    print(module)
    show_table(table)
    return 0


def data(folder: Path | None) -> int:
    """Print where the data is, what it holds and the hash of each file's uncompressed bytes."""
    from nin.data import fashion_mnist, file_hashes

    splits = fashion_mnist(folder)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    print(splits.folder)
    print(
        ", ".join(f"{len(part):,} {name}" for name, part in parts.items()), "images; SHA-256 of the uncompressed files:"
    )
    for name, digest in file_hashes(splits.folder).items():
        print(f"{digest}  {name}")
    return 0
