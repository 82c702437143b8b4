"""How does a plan become a run? Training, run folder, evaluation, figures, report: the one way that all take."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import nn

from nin import figures, report, runs
from nin.baselines import VGG, AlexNet
from nin.card import card
from nin.classifier import Classifier
from nin.data import LabelledImages, Splits
from nin.environment import environment
from nin.errors import OptionError
from nin.evaluation import Evaluation, calibration, evaluate, fit_temperature, scores
from nin.folding import fold, lift, with_batch_norm
from nin.initialisation import initialise
from nin.model_folder import Config, architecture, save_folder
from nin.network import NiN
from nin.plan import Plan
from nin.preprocessing import channels_last
from nin.structure import structure
from nin.summary import layers, parameter_count
from nin.training import Epoch, Event, Revision, State, Step, Trouble, fit, unrevised

PREDICTIONS_SHOWN = 30
PICTURES_TO_LIFT_BY = 2000


@dataclass(frozen=True)
class Result:
    """What a run came to; `result.json` is this without `folder` and `network`.

    Accuracies and losses (mean cross-entropy, nats) are of the network that ships, in float32. `test_accuracy_low` and
    `test_accuracy_high` bound the 95 % Wilson interval, which covers the test sample and not the seed. `temperature` is
    fitted on the validation split; losses, and the expected `calibration_error` on the test split, are with it.
    `seconds` is the whole run up to the last evaluation, `training_seconds` the training of the finished epochs.
    `multiply_adds` are of one picture at the size that ships. `listing` is the printed network.
    """

    folder: Path
    network: nn.Module
    ended: Literal["finished", "interrupted", "dead"]
    troubles: tuple[str, ...]
    epochs: int
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    validation_accuracy: float
    test_loss: float
    validation_loss: float
    temperature: float
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    parameters: int
    multiply_adds: int
    images_per_second: float | None
    training_seconds: float
    seconds: float
    listing: str

    def to_json(self) -> dict[str, Any]:
        """Give what `result.json` holds."""
        return {key: value for key, value in vars(self).items() if key not in ("folder", "network")}


def unheard(*told: object) -> None:
    """Listen to nothing, whatever is told."""


def run(
    plan: Plan,
    data: Splits,
    folder: Path | None = None,
    *,
    state: Mapping[str, Any] | None = None,
    revise: Callable[[Plan, Epoch], Plan] = unrevised,
    command: str = "nin.experiment.run(plan, data)",
    began: float | None = None,
    on_start: Callable[[Plan, Path], None] = unheard,
    on_event: Callable[[Event], None] = unheard,
) -> Result:
    """Train as `plan` says, evaluate, and leave a run folder with everything in it.

    Ctrl-C ends the training where it stands; model, evaluation and report are still made of what was done. A dead run
    ends by itself in the same way. The test split is read once, by the network that ships. A run that was killed goes
    on from its last state, and ends with the weights of one that never stopped.

    Args:
        plan: what to do.
        data: train and validation are for training, test for the one evaluation.
        folder: the run's folder, which must not exist; `runs/` and the time unless given. With `state` the folder of
            the run to go on with.
        state: what `runs.read_state` found in it.
        revise: may give another plan at an epoch's end; see `nin.training.fit`.
        command: what made this run, for the report.
        began: the `time.monotonic()` from which the run's seconds count; from now unless given.
        on_start: called with the plan and the folder once they are written.
        on_event: called with every event of training.

    Raises:
        RunError: the folder exists or cannot be written.
        OptionError: the plan does not fit the data.

    """
    began = time.monotonic() if began is None else began
    check_fit(plan, data.train)
    torch.set_num_threads(plan.threads)
    if state is None:
        folder = runs.new_run(folder)
        runs.write_json(folder / "plan.json", asdict(plan))
    assert folder is not None, "a run that goes on has a folder"
    with runs.alone(folder):
        runs.remove_leftovers(folder)
        if not (folder / "environment.json").exists():
            runs.write_json(folder / "environment.json", environment(plan, data, command))
        on_start(plan, folder)
        network = build(plan, data.train.images.shape[1])
        log = _Log(folder, plan, state or {}, began)
        ended = log.follow(fit(network, data.train, data.validation, plan, log.training, revise), on_event)
        return _finish(network, plan, data, log, ended)


def _finish(
    network: nn.Module, plan: Plan, data: Splits, log: "_Log", ended: Literal["finished", "interrupted", "dead"]
) -> Result:
    """Ship and save the network, evaluate it, draw and report."""
    folder = log.folder
    network = ship(network, plan, data.train)
    held_out = scores(network, data.validation.images, plan.sizes[-1], plan.mean, plan.std)
    temperature = fit_temperature(held_out, data.validation.labels)
    validation = evaluate(held_out / temperature, data.validation.labels)
    about = config(plan, data.train, temperature)
    save_folder(folder / "model", network, about)
    found = scores(network, data.test.images, plan.sizes[-1], plan.mean, plan.std) / temperature
    test = evaluate(found, data.test.labels)
    result = Result(
        folder,
        network,
        ended,
        troubles=tuple(trouble.message for trouble in log.troubles),
        epochs=len(log.epochs),
        test_accuracy=test.accuracy,
        test_accuracy_low=test.low,
        test_accuracy_high=test.high,
        validation_accuracy=validation.accuracy,
        test_loss=test.loss,
        validation_loss=validation.loss,
        temperature=temperature,
        calibration_error=calibration(found.softmax(dim=1), data.test.labels).error,
        confusion=tuple(tuple(row) for row in test.confusion.tolist()),
        parameters=parameter_count(network),
        multiply_adds=sum(layer.multiply_adds for layer in layers(network, len(plan.mean), plan.sizes[-1])),
        images_per_second=median(epoch.images_per_second for epoch in log.epochs) if log.epochs else None,
        training_seconds=sum((epoch.seconds for epoch in log.epochs), 0.0),
        seconds=time.monotonic() - log.began,
        listing=repr(network),
    )
    runs.write_json(folder / "result.json", result.to_json())
    runs.write(
        folder / "model" / "README.md",
        card(about, result.to_json(), runs.read_json(folder / "environment.json"), load=(folder / "model").as_posix()),
    )
    classifier = Classifier(network, about, device=torch.device(plan.device), precision="float32")
    draw(folder / "figures", plan, data, log.epochs, found, test, classifier)
    report.write_report(folder)
    if ended != "interrupted":
        runs.remove_state(folder)
    return result


class _Log:
    """Follows a training and writes down what happens: `metrics.jsonl`, the states, a revised plan."""

    def __init__(self, folder: Path, plan: Plan, state: Mapping[str, Any], began: float) -> None:
        self.folder, self.plan, self.began = folder, plan, began
        self.training: dict[str, Any] | None = state.get("training")
        self.epochs = [Epoch(**epoch) for epoch in state.get("epochs", [])]
        self.troubles = [Trouble(**trouble) for trouble in state.get("troubles", [])]
        self.step = 0 if self.training is None else self.training["step"]

    def follow(
        self, events: Iterator[Event], on_event: Callable[[Event], None]
    ) -> Literal["finished", "interrupted", "dead"]:
        """Train to the end, telling `on_event` each event too, and say how it ended."""
        try:
            self.write_epochs()
            for event in events:
                self.note(event)
                on_event(event)
        except KeyboardInterrupt:
            self.write_epochs()  # it may have come during that
            message = (
                f"Ctrl-C stopped it behind step {self.step} of {self.plan.steps}; the model is saved as it stood then."
            )
            self.note(Trouble("interrupted", len(self.epochs) + 1, self.step, message))
            on_event(self.troubles[-1])
            return "interrupted"
        return "dead" if any(trouble.kind == "dead" for trouble in self.troubles) else "finished"

    def note(self, event: Event) -> None:
        """Write down one event."""
        match event:
            case Step():
                self.step = event.step
            case Epoch():
                self.epochs.append(event)
                self.write_epochs()
            case Trouble():
                self.troubles.append(event)
            case Revision():
                self.plan = event.plan
                runs.write_json(self.folder / "plan.json", asdict(self.plan))
            case State():
                content = {
                    "training": event.content,
                    "epochs": [asdict(epoch) for epoch in self.epochs],
                    "troubles": [asdict(trouble) for trouble in self.troubles],
                    "spent": time.monotonic() - self.began,
                }
                runs.write_state(self.folder, event.step, content)

    def write_epochs(self) -> None:
        """Write `metrics.jsonl`."""
        runs.write_lines(self.folder / "metrics.jsonl", [asdict(epoch) for epoch in self.epochs])


def check_fit(plan: Plan, train: LabelledImages) -> None:
    """Check that the plan is for images like these.

    Raises:
        OptionError: it is for another number of classes or channels, or the images are neither grey nor RGB.

    """
    if train.images.shape[1] not in (1, 3):
        raise OptionError(f"a model is for pictures of 1 or 3 channels, and these have {train.images.shape[1]}")
    for what, planned, here in (
        ("classes", plan.classes, len(train.names)),
        ("channels", len(plan.mean), train.images.shape[1]),
    ):
        if planned != here:
            raise OptionError(f"the plan is for images of {planned} {what}, and these have {here}: make another plan")


def build(plan: Plan, in_channels: int) -> nn.Module:
    """Build what the plan trains, with first weights drawn by its seed; the CPU's generator is left as it was."""
    recipe = plan.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = architecture(
            recipe.network,
            in_channels,
            plan.classes,
            recipe.size,
            final_relu=recipe.final_relu,
            dropout=recipe.dropout,
        )
        initialise(network, recipe.initialisation)
    return with_batch_norm(network) if recipe.batch_norm else network


def ship(network: nn.Module, plan: Plan, train: LabelledImages) -> nn.Module:
    """Make of the trained network the one that ships, in `eval` mode: batch norm folded, the last ReLU on."""
    folded = fold(network)
    if not isinstance(folded, NiN):
        return channels_last(folded)
    lowest = 0.0
    if not plan.recipe.final_relu:
        pictures = train.images[:PICTURES_TO_LIFT_BY]
        lowest = scores(folded, pictures, plan.sizes[-1], plan.mean, plan.std).min().item()
    return channels_last(lift(folded, lowest).to(plan.device))


def config(plan: Plan, train: LabelledImages, temperature: float) -> Config:
    """Give all that is needed beside the weights to use the network."""
    return Config(
        architecture=plan.recipe.network,
        in_channels=train.images.shape[1],
        classes=plan.classes,
        size=plan.sizes[-1],
        side=max(train.images.shape[2:]),
        mean=plan.mean,
        std=plan.std,
        labels=train.names,
        temperature=temperature,
    )


def draw(
    folder: Path,
    plan: Plan,
    data: Splits,
    epochs: list[Epoch],
    found: torch.Tensor,
    test: Evaluation,
    classifier: Classifier,
) -> None:
    """Draw the run's figures into `folder`; `found` are the test scores over the temperature."""
    names = data.test.names
    confidence, predicted = found[:PREDICTIONS_SHOWN].cpu().softmax(dim=1).max(dim=1)
    shown = data.test.subset(torch.arange(len(predicted)))
    maps = None
    if isinstance(classifier.network, NiN):
        maps = classifier.class_maps(shown.images)[torch.arange(len(predicted)), predicted]
    smoothing = plan.recipe.label_smoothing
    drawn = {
        "sample.png": figures.sample(data.train.images, data.train.labels, names),
        "loss.png": figures.loss([asdict(epoch) for epoch in epochs], plan.classes, smoothing),
        "prediction.png": figures.prediction(
            shown.images, shown.labels, predicted, confidence, names, maps=maps, size=classifier.config.size
        ),
        "confusion.png": figures.confusion(test.confusion, names),
    }
    for name, figure in drawn.items():
        runs.write(folder / name, figures.to_png(figure))
    runs.write(folder / "NIN.svg", figures.to_svg(structure_figure(len(plan.mean), plan.classes)))


def structure_figure(in_channels: int, classes: int) -> Figure:
    """Draw AlexNet, VGG and NiN side by side, at the textbook's 224x224."""
    with torch.device("meta"):  # shapes are enough: VGG's numbers alone would take half a gigabyte
        networks = {
            "AlexNet": AlexNet(in_channels, classes),
            "VGG-11": VGG(in_channels, classes),
            "NiN": NiN(in_channels, classes),
        }
    return structure([(name, layers(network, in_channels, 224)) for name, network in networks.items()])
