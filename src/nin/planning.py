"""How do options become a plan, and the plan a run? `nin.train`, which the command line calls too."""

import math
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from nin import experiment, runs
from nin.budget import Pace, keeping, measure
from nin.data import LabelledImages, fashion_mnist
from nin.devices import fastest_precision, find_device
from nin.errors import OptionError
from nin.plan import Plan, plan_from_json, timetable
from nin.preprocessing import channel_statistics
from nin.recipe import LONGEST, DeviceName, NetworkName, Recipe, RecipeName, named
from nin.training import Event, unrevised

MINUTES = 5.0  # what the recipe quick takes unless told otherwise
FEWEST_EPOCHS = 0.25  # less teaches too little to be worth a run
DEFAULTS = {"recipe": "quick", "network": "nin", "device": "auto"}


def train(
    recipe: RecipeName = "quick",
    network: NetworkName = "nin",
    *,
    minutes: float | None = None,
    epochs: float | None = None,
    plan: str | Path | None = None,
    resume: str | Path | None = None,
    data: str | Path | None = None,
    run: str | Path | None = None,
    seed: int | None = None,
    device: DeviceName = "auto",
    began: float | None = None,
    on_start: Callable[[Plan, Path], None] = experiment.unheard,
    on_event: Callable[[Event], None] = experiment.unheard,
) -> experiment.Result:
    """Train on Fashion-MNIST and leave a run folder: what `nin train` does, with the same options.

    One of `minutes`, `epochs`, `plan` and `resume` says how long to train. Without any of them the recipe quick takes
    five minutes, and the others their own number of epochs.

    Args:
        recipe: "quick", "long", "long-67" or "seed"; see `nin.recipe`.
        network: "nin", or a baseline by the same recipe.
        minutes: how long the whole call may take: data, measuring, training, evaluation, report.
        epochs: how often each training image is seen; fractions too.
        plan: the `plan.json` of a run, to do the same again. Recipe, network and device are in it, and the seed, unless
            another one is given.
        resume: the folder of a run that was stopped, to go on with it; everything but `data` is in it.
        data: the folder of Fashion-MNIST's four files; found or fetched unless given.
        run: the run's folder, which must not exist; `runs/` and the time unless given.
        seed: 0 or more, and 0 unless given; decides the first weights, the order, flips, shifts and dropout.
        device: "auto" takes an accelerator when there is one.
        began: the `time.monotonic()` from which the minutes count; the call itself unless given.
        on_start: called with the plan and the run's folder before the first step.
        on_event: called with every event of `nin.training.fit`.

    Raises:
        NinError: whatever of this cannot be done, in one line.

    """
    start = time.monotonic() if began is None else began
    options = {"recipe": recipe, "network": network, "minutes": minutes, "epochs": epochs, "plan": plan}
    options |= {"resume": resume, "data": data, "run": run, "seed": seed, "device": device}
    given = {name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))}
    check(given)
    command = shlex.join(["nin", "train", *(word for name in given for word in (f"--{name}", str(given[name])))])
    seed = 0 if seed is None else index(seed)
    folder = None if run is None else Path(run)
    if folder is not None:
        runs.refuse_existing(folder)  # now, and not after the data was fetched
    known, state = None, None
    if resume is not None:
        folder = Path(resume)
        known, state = read_plan(folder / "plan.json"), runs.read_state(folder)
        start -= state.get("spent", 0.0)
    elif plan is not None:
        known = replace(read_plan(Path(plan)), minutes=None)
        known = known if "seed" not in given else replace(known, seed=seed)

    where = (
        find_device(device)
        if known is None
        else find_device(known.device, "the plan was made on one that has it: go there, or plan anew")
    )
    splits = fashion_mnist(None if data is None else Path(data))
    pace = None
    if known is not None:
        chosen = known
        if chosen.minutes is not None:
            experiment.check_fit(chosen, splits.train)
            pace = measure(chosen, splits)
    elif minutes is not None or (epochs is None and recipe == "quick"):
        minutes = MINUTES if minutes is None else minutes
        pace = measure(resolve(named(recipe, network), splits.train, seed, where), splits)
        epochs, parts = enough(minutes, start, pace, named(recipe, network), len(splits.train))
        chosen = resolve(named(recipe, network, epochs), splits.train, seed, where, parts)
        chosen = replace(chosen, minutes=float(minutes))
    else:
        chosen = resolve(named(recipe, network, epochs), splits.train, seed, where)
    revise = unrevised
    if pace is not None and chosen.minutes is not None:
        # A run that goes on keeps to its plan, to end as if it had never stopped, unless that takes a tenth too long.
        slack = 1.0 if known is None else 1.1
        revise = keeping(start + 60 * slack * chosen.minutes, pace, longer=known is None)
    return experiment.run(
        chosen,
        splits,
        folder,
        state=state,
        revise=revise,
        command=command,
        began=start,
        on_start=on_start,
        on_event=on_event,
    )


def check(given: Mapping[str, Any]) -> None:
    """Refuse options of `train` that no run can have, or not together, before anything is done.

    Raises:
        OptionError: a value out of its range, or one that something else given decides.

    """
    lengths = [name for name in ("minutes", "epochs", "plan", "resume") if name in given]
    if len(lengths) > 1:
        raise OptionError(f"{lengths[0]} and {lengths[1]} do not go together: each says how long to train")
    for decides, free in (("plan", {"plan", "data", "run", "seed"}), ("resume", {"resume", "data"})):
        if decides in given and (decided := sorted(set(given) - free)):
            raise OptionError(f"{decided[0]} cannot be given with {decides}, which says it already; leave it out")
    try:
        index(given.get("seed", 0))
    except TypeError:
        raise OptionError(f"seed is a whole number, not {given['seed']!r}") from None
    if not 0 <= given.get("seed", 0) < 2**63:
        raise OptionError(f"seed is a whole number from 0 to 2^63 - 1, not {given['seed']}")
    for length, unit in (("minutes", "a number of minutes"), ("epochs", "a number of epochs")):
        value = given.get(length, 1)
        if not isinstance(value, (int, float)) or not 0 < value <= 1e6:
            raise OptionError(f"{length} is {unit} over 0, a million at most, not {value!r}")
    for name in ("plan", "resume", "data", "run"):
        if name in given and not isinstance(given[name], (str, PathLike)):
            raise OptionError(f"{name} is a path, not {given[name]!r}")
    named(given.get("recipe", "quick"), given.get("network", "nin"), given.get("epochs"))
    find_device(given.get("device", "auto"))


def enough(minutes: float, start: float, pace: Pace, recipe: Recipe, images: int) -> tuple[float, int]:
    """Say how many passes through the training images the minutes are enough for, and in how many epochs.

    Raises:
        OptionError: they are enough for less than is worth a run.

    """
    spent = time.monotonic() - start
    epochs = min(pace.epochs_within(60 * minutes - spent, recipe, images), LONGEST[recipe.name])
    if epochs < FEWEST_EPOCHS:
        parts = pace.parts(FEWEST_EPOCHS, recipe, images)
        least = spent + pace.seconds(FEWEST_EPOCHS, recipe, images, parts)
        an_epoch, rest = pace.seconds(1.0, recipe, images) - pace.ending, spent + pace.ending
        raise OptionError(
            f"{minutes:g} minutes are too few: here an epoch of {recipe.network} at {recipe.size}x{recipe.size} "
            f"takes {an_epoch:.0f} s, and data, evaluation and report {rest:.0f} s; give {math.ceil(least / 6) / 10:g} "
            "or more"
        )
    return epochs, pace.parts(epochs, recipe, images)


def read_plan(path: Path) -> Plan:
    """Read a `plan.json`.

    Raises:
        RunError: it cannot be read.
        OptionError: it is no plan.

    """
    try:
        return plan_from_json(runs.read_json(path))
    except OptionError as error:
        raise OptionError(f"{path}: {error}; take the plan.json of a run of this version") from error


def resolve(recipe: Recipe, train: LabelledImages, seed: int, device: torch.device, parts: int = 1) -> Plan:
    """Resolve a recipe into a plan for these training images on this device, in `parts` epochs or more.

    Raises:
        OptionError: fewer training images than a batch.

    """
    channels = train.images.shape[1]
    mean, std = channel_statistics(train.images) if recipe.normalise else ((0.0,) * channels, (1.0,) * channels)
    if len(train) < recipe.batch_size:
        raise OptionError(f"a batch of {recipe.batch_size} needs as many training images, and there are {len(train)}")
    sizes, steps_by_epoch, schedule = timetable(recipe, len(train), parts)
    return Plan(
        recipe,
        seed,
        sizes,
        steps_by_epoch,
        schedule,
        classes=len(train.names),
        mean=mean,
        std=std,
        device=device.type,  # pyright: ignore[reportArgumentType] - find_device gives no other
        precision=fastest_precision(device) if recipe.bfloat16 else "float32",
        threads=torch.get_num_threads(),
    )
