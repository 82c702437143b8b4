"""How do options become a run? `nin.train`, which the command line calls too."""

import time
from collections.abc import Callable, Mapping, Sequence
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any

from nin.choices import Augmentation, DeviceName, check_choice
from nin.data.auditing.audit import Finding
from nin.data.progress import Progress
from nin.device import find_device, pytorch_defaults
from nin.distributed import check_agreement, from_main, join
from nin.errors import OptionError
from nin.networks.imported import import_network, is_import_path
from nin.runs.folder import refuse_existing, run_of_launch
from nin.runs.result import Result
from nin.runs.run import no_op, run_plan
from nin.runs.start import RunStart, StrPath, choose_recipe, new_start, path_of, start_again, with_changes
from nin.stopping import naming_who_left
from nin.training.deadline import keep_deadline
from nin.training.events import Event
from nin.training.fit import Revise, Training, keep_plan
from nin.training.named_recipes import RecipeName
from nin.training.recipe import Recipe
from nin.training.threads import ThreadTuner

MINUTES = 5.0  # the default of the recipe quick


@pytorch_defaults()
@naming_who_left()
def train(
    source: Any = None,
    *,
    recipe: RecipeName | Recipe | None = None,
    network: str | None = None,
    changes: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    plan: StrPath | None = None,
    resume: StrPath | None = None,
    init_from: StrPath | None = None,
    augmentation: Augmentation | None = None,
    validation: float | None = None,
    test: float | None = None,
    fit: str | None = None,
    run: StrPath | None = None,
    seed: int | None = None,
    device: DeviceName | None = None,
    command: str | None = None,
    started: float | None = None,
    on_progress: Progress = no_op,
    on_findings: Callable[[Sequence[Finding]], None] = no_op,
    on_start: Callable[[Training, Path], None] = no_op,
    on_event: Callable[[Event], None] = no_op,
) -> Result:
    """Train on images of any source and leave a run folder: what `nin train` does, with the same options.

    Under `torchrun` all processes call it alike and train one network together; the first alone writes the run folder
    and calls `on_start` and `on_event`, in which nothing may wait for the others, and each returns the result.

    At most one of `minutes`, `epochs`, `plan` and `resume` says how long to train. Without any of them the recipe quick
    takes five minutes, and the others their own number of epochs.

    Args:
        source: the images, whatever `nin.load_dataset` takes; default: "fashion-mnist", or those of `plan` or `resume`.
        recipe: "quick", "long", "long-67" or "d2l" (see `nin.training.named_recipes`), or a `Recipe`; default: quick.
        network: a name of `nin.networks.registry`, or the import path of another network, as "package.module:callable",
            which is imported; default: the recipe's, which is NiN for the named ones. With `plan`, `resume` and
            `init_from` only an import path, which must be theirs.
        changes: fields of the recipe that are to have other values than it gives them, such as {"dropout": 0.5};
            `augmentation` has the last word.
        minutes: how long the whole call may take: data, measuring, training, evaluation, report.
        epochs: passes through the training images; may be a fraction.
        plan: the `plan.json` of a run, to train the same again. Recipe, network and device are in it, and the seed
            unless another one is given; how images are read and split is in the `split.json` beside it.
        resume: the folder of a stopped run, to continue it; give `source` only if its images were in memory, or moved.
        init_from: a model to start from, as `nin.load` takes it: its weights, except the last block's, and its
            preprocessing. For few images.
        augmentation: "full", "no-flip" where a mirrored image is of another class, as digits and letters are, or
            "none"; default: what the recipe says, and "no-flip" for MNIST.
        validation: share of the images to hold out for validation; see `nin.load_dataset`.
        test: share of the images to hold out for testing; the same.
        fit: how photos become square; the same.
        run: the run folder, which must not exist; default: `runs/` and the time.
        seed: of initialisation, order, augmentation and dropout; default: 0. What is held out does not depend on it.
        device: "cpu", "cuda", "mps", or "auto", the default, which takes an accelerator when there is one.
        command: what the report gives as the command; default: this call.
        started: the `time.monotonic()` from which the minutes count; default: now.
        on_progress: called while data is fetched and photos are decoded, with what is done, how much, and of how much.
        on_findings: called with what the audit found in the images, before the first step.
        on_start: called with the training and the run folder before the first step.
        on_event: called with every event of the training.

    Raises:
        NinError: whatever of this cannot be done, in one line.

    """
    started = time.monotonic() if started is None else started
    values = {"recipe": recipe, "network": network, "minutes": minutes, "epochs": epochs, "plan": plan}
    values |= {"resume": resume, "init_from": init_from, "augmentation": augmentation, "validation": validation}
    values |= {"test": test, "fit": fit, "run": run, "seed": seed, "device": device, "changes": changes}
    given = {name: value for name, value in values.items() if value is not None}
    check_options(given)
    if network is not None:
        import_network(network)
    with_changes(choose_recipe(recipe, network)(epochs), changes)  # refused now, and not after the data was fetched
    join("auto" if device is None else device)
    of_this_machine = {"run", "init_from", "plan", "resume"}
    check_agreement("options", repr({name: value for name, value in given.items() if name not in of_this_machine}))
    folder = None if run is None else path_of(run)
    begun = from_main(lambda: run_of_launch(folder))
    if begun is not None:  # torchrun has restarted its processes
        source, plan, resume, seed = None if isinstance(source, (str, PathLike)) else source, None, begun, None
        network = network if network is not None and is_import_path(network) else None
    elif folder is not None:
        from_main(lambda: refuse_existing(folder))
    if plan is not None or resume is not None:
        start = start_again(source, plan, resume, network, seed, on_progress)
    else:
        if minutes is None and epochs is None and recipe in (None, "quick"):
            minutes = MINUTES
        start = new_start(
            "fashion-mnist" if source is None else source,
            recipe,
            network,
            changes,
            epochs=epochs,
            minutes=minutes,
            seed=index(seed or 0),
            device=find_device("auto" if device is None else device),
            init_from=init_from,
            augmentation=augmentation,
            validation=validation,
            test=test,
            fit=fit,
            started=started,
            on_progress=on_progress,
            on_findings=on_findings,
        )
    started -= 0.0 if start.state is None else start.state.elapsed
    shown = {"source": source} if isinstance(source, (str, PathLike)) else {}
    return run_plan(
        start.plan,
        start.splits,
        folder if resume is None else path_of(resume),
        resume=resume is not None,
        state=start.state,
        weights=start.weights,
        revise=_reviser(start, started, resumed=resume is not None),
        command=command or f"nin.train({', '.join(f'{name}={value!r}' for name, value in (shown | given).items())})",
        started=started,
        on_start=on_start,
        on_event=on_event,
    )


def _reviser(start: RunStart, started: float, *, resumed: bool) -> Revise:
    """Return what revises the plan as the run goes on; only a plan for minutes is revised.

    A resumed run keeps its plan, to end as if it had never stopped, unless it would end more than a tenth late.
    """
    if start.pace is None or start.plan.minutes is None:
        return keep_plan
    if resumed:
        return keep_deadline(started + 1.1 * 60 * start.plan.minutes, start.pace, may_extend=False)
    in_time, tune = keep_deadline(started + 60 * start.plan.minutes, start.pace), ThreadTuner(start.pace.fastest)
    return lambda plan, step, seconds: in_time(tune(plan, step, seconds), step, seconds)


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse options of `train` that are of the wrong type, out of range, or exclude each other.

    Raises:
        OptionError: the first of these that is found.

    """
    lengths = [name for name in ("minutes", "epochs", "plan", "resume") if name in given]
    if len(lengths) > 1:
        raise OptionError(f"{lengths[0]} and {lengths[1]} exclude each other: each says how long to train")
    trusted = {"network"} if is_import_path(str(given.get("network", ""))) else set[str]()
    for decides, free in (("plan", {"plan", "run", "seed"} | trusted), ("resume", {"resume"} | trusted)):
        if decides in given and (decided := sorted(set(given) - free)):
            raise OptionError(f"{decided[0]} cannot be given with {decides}, which decides it; leave it out")
    seed = given.get("seed", 0)
    try:
        index(seed)
    except TypeError:
        raise OptionError(f"seed must be a whole number, not {seed!r}") from None
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed must be a whole number from 0 to 2^63 - 1, not {seed}")
    for name in ("minutes", "epochs"):
        value = given.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
            raise OptionError(f"{name} must be a number over 0, a million at most, not {value!r}")
    if "init_from" in given and "network" in given and not trusted:
        raise OptionError("network cannot be given with init_from, whose network it is; leave it out")
    for name in ("plan", "resume", "init_from", "run"):
        if name in given and not isinstance(given[name], (str, PathLike)):
            raise OptionError(f"{name} must be a path, not {given[name]!r}")
    check_choice("augmentation", given.get("augmentation", "full"), Augmentation)
    if not isinstance(given.get("recipe", ""), (str, Recipe)):
        raise OptionError(f"recipe must be a name or a nin.Recipe, not {given['recipe']!r}")
