"""How does a plan become a run? Training, run folder, evaluation, figures, report: the one way that all take."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from nin.data.images import Splits
from nin.device import find_device, pytorch_defaults, usable_threads
from nin.distributed import from_main, is_main, share, wait
from nin.errors import OptionError
from nin.files import read_json, write, write_json, write_json_lines
from nin.inference.classifier import Classifier
from nin.inference.model_card import model_card
from nin.inference.model_folder import Config, check_is_described, save_folder
from nin.metrics import evaluate_logits, fit_temperature
from nin.networks.imported import is_import_path
from nin.networks.registry import find_architecture
from nin.networks.summary import layers, output_shape, parameter_count
from nin.runs import folder as run_folder
from nin.runs.environment import environment
from nin.runs.evaluate import evaluate, logits_of
from nin.runs.figures import run_figures
from nin.runs.report import write_report
from nin.runs.result import Ended, Result
from nin.runs.split_record import write_record
from nin.stopping import interrupted_together, naming_who_left
from nin.text import printable
from nin.training.data_parallel import average_buffers, check_processes
from nin.training.events import Event, Revision, State, Trouble, Validation
from nin.training.fit import Revise, Training, keep_plan
from nin.training.network import final_layers, final_network, initial_network
from nin.training.plan import Plan

SHARE_FOR_STATES = 1 / 10  # of the time, at most: an epoch of a tiny data set is shorter than writing its state


def no_op(*arguments: object) -> None:
    """Do nothing."""


@pytorch_defaults()
@naming_who_left()
def run_plan(
    plan: Plan,
    data: Splits,
    folder: Path | None = None,
    *,
    resume: bool = False,
    state: State | None = None,
    weights: Mapping[str, Tensor] | None = None,
    revise: Revise = keep_plan,
    command: str = "nin.runs.run.run_plan(plan, data)",
    started: float | None = None,
    on_start: Callable[[Training, Path], None] = no_op,
    on_event: Callable[[Event], None] = no_op,
) -> Result:
    """Train as `plan` says, evaluate, and leave a run folder with everything in it.

    Ctrl-C ends the training after the current step; model, evaluation and report are still made of what was done. A
    dead run ends by itself in the same way. The test split is read once, by the final network.

    Args:
        plan: what to do.
        data: train and validation are for the training, test for the one evaluation.
        folder: the run folder, which must not exist; default: `runs/` and the time. With `resume`, the one to resume.
        resume: go on in `folder`, to the weights of a run that never stopped.
        state: the last state in it, if there is one.
        weights: of the model that the plan starts from, if it does and there is no state.
        revise: may return another plan after a step; see `nin.training.fit`.
        command: what made this run, for the report.
        started: the `time.monotonic()` from which the run's seconds count; default: now.
        on_start: called with the training and the folder before the first step.
        on_event: called with every event of the training.

    Raises:
        RunError: the folder exists, or another process works in it.
        FileError: it cannot be written.
        OptionError: the plan does not fit the data.

    """
    config = model_config(plan, data)
    find_device(plan.device)
    check_processes(plan)
    plan = share(plan)
    torch.set_num_threads(min(plan.threads, usable_threads()))
    if not resume:
        folder = from_main(lambda: _new_folder(folder, plan, data))
    assert folder is not None, "a run to resume has a folder"
    with run_folder.lock(folder) if is_main() else nullcontext():
        if is_main():
            run_folder.remove_leftovers(folder)
            if not (folder / "environment.json").exists():
                write_json(folder / "environment.json", environment(plan, data, command))
        network = initial_network(plan, weights)
        training = Training(network, data.train, data.validation, plan, state, started)
        if is_main():
            on_start(training, folder)
        ended = _follow(training, folder, revise, on_event)
        torch.set_num_threads(min(training.plan.threads_at(max(0, training.step - 1)), usable_threads()))
        result = _finish(training, data, config, folder, ended)
        wait()  # for the report, which the main process writes: torchrun ends all processes when the first fails
        return result


def _new_folder(folder: Path | None, plan: Plan, data: Splits) -> Path:
    """Make the run folder, with all that is known before the first step."""
    folder = run_folder.new_folder(folder)
    write_record(folder, data)
    write_json(folder / "plan.json", plan)  # the last: a run that has a plan can be resumed
    run_folder.note_launch(folder)
    return folder


def model_config(plan: Plan, data: Splits) -> Config:
    """Check that the plan is for data like these, and return the config of its model, without a temperature.

    Raises:
        OptionError: it is for another number of classes or channels.
        DataError: the splits have different classes or channels.
        ModelError: labels that no model can have, or a network that could not be saved.

    """
    train = data.train
    for what, planned, here in (
        ("classes", plan.num_classes, len(train.names)),
        ("channels", plan.preprocessing.channels, train.channels),
    ):
        if planned != here:
            raise OptionError(f"the plan is for images of {planned} {what}, and these have {here}: make another plan")
    data.check()
    side = max(train.images.shape[2:])
    config = Config(plan.recipe.network, plan.preprocessing, side, train.names, preparation=data.origin.preparation)
    network = final_layers(plan)
    check_is_described(network, config)
    if is_import_path(plan.recipe.network):
        _check_logits(plan, network)
    return config


def _check_logits(plan: Plan, network: nn.Module) -> None:
    """Check that a network that is not ours can be trained and described, and gives a logit for each class.

    Raises:
        OptionError: it cannot, or does not.

    """
    recipe, channels = plan.recipe, plan.preprocessing.channels
    images = f"images of {channels} channels and {recipe.size}x{recipe.size} pixels"
    try:
        layers(network, channels, recipe.size)
        shape = output_shape(initial_network(plan), channels, recipe.size)
    except Exception as error:
        reason = printable(str(error).partition("\n")[0])
        raise OptionError(f"the network {recipe.network} cannot take {images}: {reason}") from error
    if shape != (plan.num_classes,):
        raise OptionError(
            f"the network {recipe.network} must give {plan.num_classes} logits for each of its {images}, and gives "
            f"values of shape {shape}"
        )


def _follow(training: Training, folder: Path, revise: Revise, on_event: Callable[[Event], None]) -> Ended:
    """Train to the end, write down what happens, tell `on_event`, and return how it ended."""
    next_state = 0.0

    def keep(event: Event | None) -> None:
        """Write down an event, or what is known without any; the main process alone does."""
        nonlocal next_state
        if not is_main():
            return
        match event:
            case None | Validation() | Trouble(kind="interrupted"):
                write_json_lines(folder / "metrics.jsonl", training.validations)
            case Revision():
                write_json(folder / "plan.json", event.plan)
            case State() if (began := time.monotonic()) >= next_state or event.step == training.plan.steps:
                run_folder.write_state(folder, event)
                next_state = time.monotonic() + (time.monotonic() - began) / SHARE_FOR_STATES
            case _:
                pass
        if event is not None:
            on_event(event)

    try:
        with interrupted_together():
            keep(None)
            for event in training.fit(revise):
                keep(event)
    except KeyboardInterrupt:
        average_buffers(training.network)
        keep(training.interrupt())
        return "interrupted"
    return "dead" if any(trouble.kind == "dead" for trouble in training.troubles) else "finished"


def _finish(training: Training, data: Splits, config: Config, folder: Path, ended: Ended) -> Result:
    """Save the final network, evaluate it, draw and report."""
    plan, validations = training.plan, training.validations
    network = final_network(training.network, plan, data.train)
    untempered = Classifier(network, config, device=training.device, precision="float32")
    logits = logits_of(untempered, data.validation.images)
    temperature = fit_temperature(logits, data.validation.labels)
    config = replace(config, temperature=temperature)
    if is_main():
        save_folder(folder / "model", network, config)
    classifier = Classifier(network, config, device=training.device, precision="float32")
    result = Result(
        folder,
        classifier,
        ended,
        troubles=tuple(trouble.message for trouble in training.troubles),
        epochs=training.epoch,
        validation=evaluate_logits(logits / temperature, data.validation.labels, config.labels),
        test=None if data.test is None else evaluate(classifier, data.test),
        parameters=parameter_count(network),
        multiply_adds=sum(layer.multiply_adds for layer in layers(network, config.in_channels, plan.recipe.size)),
        images_per_second=median(one.images_per_second for one in validations) if validations else None,
        training_seconds=sum((one.seconds for one in validations), 0.0),
        seconds=time.monotonic() - training.started,
    )
    if is_main():
        _write_results(result, plan, data, validations)
    return result


def _write_results(result: Result, plan: Plan, data: Splits, validations: list[Validation]) -> None:
    """Write what came of a run: figures, model card, report."""
    folder, config = result.folder, result.classifier.config
    write_json(folder / "evaluation.json", {"split": result.evaluated} | result.evaluation.to_json())
    write_json(folder / "result.json", result.to_json())
    name = f"{find_architecture(config.architecture).title} on {printable(data.origin.name)}"
    load = printable((folder / "model").as_posix())
    card = model_card(config, result.to_json(), read_json(folder / "environment.json"), name=name, load=load)
    write(folder / "model" / "README.md", card)
    for name, content in run_figures(result, plan, validations, data).items():
        write(folder / "figures" / name, content)
    write_report(folder)
    if result.ended != "interrupted":
        run_folder.remove_state(folder)
