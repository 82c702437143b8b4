"""What can be typed? The commands of `nin`; the only room that prints. Torch is imported once a command needs it."""

import contextlib
import io
import os
import sys
import time
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

from nin.errors import NinError, OptionError
from nin.recipe import LARGEST_SIZE, LONGEST, DeviceName, NetworkName, Plan, RecipeName

if TYPE_CHECKING:
    from rich.progress import Progress

    from nin.training import Event

SECONDS_BETWEEN_LINES = 10  # where there is no terminal to draw a bar on


@dataclass(frozen=True)
class Train:
    """Train on Fashion-MNIST and leave a run folder with model, figures and report."""

    recipe: RecipeName = "quick"
    """quick: minutes, batch norm folded away, 67x67. seed: the textbook's way, 224x224, hours on a CPU."""
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
    """decides first weights, order, flips and dropout; 0 unless given."""
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
        print(f"nin: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("nin: stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `nin summary | head`: nobody reads on
        mute()
        code = 0
    except OSError as error:
        mute()
        print(f"nin: cannot write the answer: {error.strerror}; give another place to print to", file=sys.stderr)
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
    match parse(arguments):
        case Train() as options:
            return train(options)
        case Summary(network, size):
            return summary(network, size)
        case Data(folder):
            return data(folder)
        case Report(folder):
            from nin.report import write_report

            print(write_report(folder))
            return 0


def parse(arguments: list[str]) -> Train | Summary | Data | Report:
    """Read the options; one line and exit code 2 for those that cannot be read, in place of tyro's box of many."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                Train | Summary | Data | Report,
                prog="nin",
                description="Network in Network: train, explain, compare and ship small image classifiers.",
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
    import nin
    from nin.report import duration

    with progress_bar() as bar:
        show = Show(bar)
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


def progress_bar() -> "Progress":
    """Make a live bar with loss, images/s and time left; on what is no terminal it is disabled and shows nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} images/s "),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal or console.is_dumb_terminal,
        transient=True,
    )


class Show:
    """Shows a run as it goes: on a live bar, or as plain lines where that is disabled."""

    def __init__(self, bar: "Progress") -> None:
        self.bar = bar
        self.last_line = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one; where nobody reads it, the training goes on all the same."""
        if not self.bar.disable:
            self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            return
        try:
            print(line, flush=True)
        except OSError:
            mute()

    def start(self, plan: Plan, folder: Path) -> None:
        """Say what will be done, and where."""
        self.plan = plan
        sizes = ", then ".join(f"{size}x{size}" for size in dict.fromkeys(plan.sizes))
        self.say(
            f"{plan.recipe.network} by the recipe {plan.recipe.name}: {plan.recipe.epochs:.3g} times through the "
            f"images at {sizes}, seed {plan.seed}, {plan.device} in {plan.precision}; writing to {folder}"
        )
        if plan.minutes is not None and plan.recipe.epochs >= LONGEST.get(plan.recipe.name, float("inf")):
            self.say(f"The recipe cannot use {plan.minutes:g} minutes: it ends earlier, at its longest schedule.")
        if plan.minutes is not None and plan.recipe.epochs < 1:
            self.say(f"{plan.minutes:g} minutes are not enough to see each image once; expect less of this run.")
        self.task = self.bar.add_task("epoch 1", total=plan.steps, loss=float("nan"), speed=0.0)

    def event(self, event: "Event") -> None:
        """Show one event."""
        from nin.report import duration
        from nin.training import Epoch, Revision, State, Step, Trouble

        match event:
            case Step(epoch, step, loss, speed):
                name = f"epoch {epoch}/{self.plan.epochs}"
                self.bar.update(self.task, description=name, completed=step, loss=loss, speed=speed)
                now = time.monotonic()
                if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
                    self.last_line = now
                    left = duration((self.plan.steps - step) * self.plan.recipe.batch_size / speed)
                    self.say(
                        f"{name}, step {step}/{self.plan.steps}: loss {loss:.3f}, {speed:,.0f} images/s, {left} left"
                    )
            case Epoch():
                self.say(
                    f"epoch {event.epoch}/{self.plan.epochs} at {event.size}x{event.size}: "
                    f"train loss {event.train_loss:.3f}, accuracy {event.train_accuracy:.4f}; "
                    f"validation loss {event.validation_loss:.3f}, accuracy {event.validation_accuracy:.4f}; "
                    f"{event.images_per_second:,.0f} images/s, {duration(event.seconds)}"
                )
            case Revision(plan):
                slower = plan.steps < self.plan.steps
                self.plan = plan
                self.bar.update(self.task, total=plan.steps)
                self.say(
                    f"This machine is {'slower' if slower else 'faster'} than measured: {plan.steps} steps in all now."
                )
            case State():
                pass
            case Trouble("interrupted"):
                self.say(f"{event.message} The evaluation and the report of it follow in a moment.")
            case Trouble(kind):
                self.say(f"This run is {kind}: {event.message}")


# ---------------------------------------------------------------------------------------------------------------------
# nin summary, nin data


def summary(network: NetworkName, size: int) -> int:
    """Print the network and its table of layers."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from nin.baselines import VGG, AlexNet
    from nin.network import NiN
    from nin.summary import layers

    if not 1 <= size <= LARGEST_SIZE:
        raise OptionError(f"size is from 1 to {LARGEST_SIZE}, not {size}")
    with torch.device("meta"):  # shapes are enough
        module = {"nin": NiN, "alexnet": lambda: AlexNet(size=size), "vgg": lambda: VGG(size=size)}[network]()
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
    Console().print(table)
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
