"""How do options become a run? `nin.train`, which the command line calls too."""

import time
from collections.abc import Callable, Mapping
from operator import index
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace

from nin.choices import DeviceName
from nin.data.fashion_mnist import fashion_mnist
from nin.data.images import Splits
from nin.device import find_device, pytorch_defaults
from nin.errors import OptionError
from nin.runs.folder import read_state, refuse_existing
from nin.runs.result import Result
from nin.runs.run import model_config, no_op, run_plan
from nin.training.budget import Pace, fit_to_budget, keep_deadline, measure
from nin.training.events import Event, State
from nin.training.fit import Training, keep_plan
from nin.training.plan import Plan, read_plan, resolve, resolve_schedule
from nin.training.recipe import Recipe, RecipeName, named_recipe, with_epochs

MINUTES = 5.0  # the default of the recipe quick

StrPath = str | PathLike[str]


@pytorch_defaults()
def train(
    *,
    recipe: RecipeName | Recipe | None = None,
    network: str | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    plan: StrPath | None = None,
    resume: StrPath | None = None,
    data: StrPath | None = None,
    run: StrPath | None = None,
    seed: int | None = None,
    device: DeviceName | None = None,
    command: str | None = None,
    started: float | None = None,
    on_start: Callable[[Training, Path], None] = no_op,
    on_event: Callable[[Event], None] = no_op,
) -> Result:
    """Train on Fashion-MNIST and leave a run folder: what `nin train` does, with the same options.

    At most one of `minutes`, `epochs`, `plan` and `resume` says how long to train. Without any of them the recipe quick
    takes five minutes, and the others their own number of epochs.

    Args:
        recipe: "quick", "long", "long-67" or "d2l" (see `nin.training.recipe`), or a `Recipe`; default: quick.
        network: a name of `nin.networks.registry`; default: the recipe's, which is NiN for the named ones.
        minutes: how long the whole call may take: data, measuring, training, evaluation, report.
        epochs: passes through the training images; may be a fraction.
        plan: the `plan.json` of a run, to train the same again. Recipe, network and device are in it, and the seed
            unless another one is given.
        resume: the folder of a run that was stopped, to go on with it; everything but `data` is in it.
        data: the folder of Fashion-MNIST's four files; default: found, or fetched.
        run: the run folder, which must not exist; default: `runs/` and the time.
        seed: of initialisation, order, augmentation and dropout; default: 0.
        device: "cpu", "cuda", "mps", or "auto", the default, which takes an accelerator when there is one.
        command: what the report gives as the command; default: this call.
        started: the `time.monotonic()` from which the minutes count; default: now.
        on_start: called with the training and the run folder before the first step.
        on_event: called with every event of the training.

    Raises:
        NinError: whatever of this cannot be done, in one line.

    """
    started = time.monotonic() if started is None else started
    values = {"recipe": recipe, "network": network, "minutes": minutes, "epochs": epochs, "plan": plan}
    values |= {"resume": resume, "data": data, "run": run, "seed": seed, "device": device}
    given = {name: value for name, value in values.items() if value is not None}
    check_options(given)
    chosen_recipe = choose_recipe(recipe, network, epochs)
    folder = None if run is None else _path(run)
    if folder is not None:
        refuse_existing(folder)  # now, and not after the data was fetched
    known, state = _known_plan(plan, resume, seed)
    folder = folder if resume is None else _path(resume)
    started -= 0.0 if state is None else state.elapsed
    if known is None:
        where = find_device("auto" if device is None else device)
        if minutes is None and epochs is None and recipe in (None, "quick"):
            minutes = MINUTES
    else:
        where = find_device(known.device, "the plan was made on a machine that has it: go there, or plan anew")
    splits = fashion_mnist(None if data is None else _path(data))
    if known is None:
        chosen, pace = make_plan(chosen_recipe, minutes, splits, index(seed or 0), where, started)
    else:
        model_config(known, splits)
        chosen, pace = known, None if known.minutes is None else measure(known, splits)
    revise = keep_plan
    if pace is not None and chosen.minutes is not None:
        # A resumed run keeps its plan, to end as if it had never stopped, unless it would end more than a tenth late.
        slack = 1.0 if known is None else 1.1
        revise = keep_deadline(started + 60 * slack * chosen.minutes, pace, may_extend=known is None)
    return run_plan(
        chosen,
        splits,
        folder,
        resume=resume is not None,
        state=state,
        revise=revise,
        command=command or f"nin.train({', '.join(f'{name}={value!r}' for name, value in given.items())})",
        started=started,
        on_start=on_start,
        on_event=on_event,
    )


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse options of `train` that are of the wrong type, out of range, or exclude each other.

    Raises:
        OptionError: the first of these that is found.

    """
    lengths = [name for name in ("minutes", "epochs", "plan", "resume") if name in given]
    if len(lengths) > 1:
        raise OptionError(f"{lengths[0]} and {lengths[1]} exclude each other: each says how long to train")
    for decides, free in (("plan", {"plan", "data", "run", "seed"}), ("resume", {"resume", "data"})):
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
    for name in ("plan", "resume", "data", "run"):
        if name in given and not isinstance(given[name], (str, PathLike)):
            raise OptionError(f"{name} must be a path, not {given[name]!r}")
    if not isinstance(given.get("recipe", ""), (str, Recipe)):
        raise OptionError(f"recipe must be a name or a nin.Recipe, not {given['recipe']!r}")


def choose_recipe(recipe: str | Recipe | None, network: str | None, epochs: float | None) -> Recipe:
    """Return the recipe that is meant, of the named network and length if they are given.

    Raises:
        OptionError: there is no such recipe or network, or epochs are out of range.

    """
    chosen = recipe if isinstance(recipe, Recipe) else named_recipe("quick" if recipe is None else recipe)
    chosen = chosen if network is None else replace(chosen, network=network)
    return chosen if epochs is None else with_epochs(chosen, epochs)


def _known_plan(plan: StrPath | None, resume: StrPath | None, seed: int | None) -> tuple[Plan | None, State | None]:
    """Return the plan of a file, or of a run to resume, if there is one; and the state to resume from."""
    if resume is not None:
        return read_plan(_path(resume) / "plan.json"), read_state(_path(resume))
    if plan is None:
        return None, None
    known = replace(read_plan(_path(plan)), minutes=None)
    return known if seed is None else replace(known, seed=index(seed)), None


def _path(path: StrPath) -> Path:
    return Path(fsdecode(path))  # which may be bytes behind PathLike


def make_plan(
    recipe: Recipe, minutes: float | None, splits: Splits, seed: int, device: torch.device, started: float
) -> tuple[Plan, Pace | None]:
    """Resolve a recipe into a plan; with minutes, of as many epochs as they allow, and with the measured pace.

    Raises:
        NinError: the recipe does not fit the data, or the minutes are too few.

    """
    plan = resolve(recipe, splits.train, seed, device)
    model_config(plan, splits)
    if minutes is None:
        return plan, None
    pace = measure(plan, splits)
    epochs, intervals = fit_to_budget(minutes, started, pace, recipe, splits.train)
    recipe = with_epochs(recipe, epochs)
    steps_per_interval, schedule = resolve_schedule(recipe, len(splits.train), intervals)
    timed = {"recipe": recipe, "steps_per_interval": steps_per_interval, "schedule": schedule}
    return replace(plan, **timed, minutes=float(minutes)), pace
