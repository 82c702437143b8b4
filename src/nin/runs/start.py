"""What does a run start from? Images, plan and weights: new ones, or those of a run that is repeated or resumed."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from nin.choices import Augmentation
from nin.data.auditing.audit import Finding, audit
from nin.data.images import Splits
from nin.data.load import NAMED, load_dataset
from nin.data.progress import Progress
from nin.device import find_device
from nin.distributed import check_agreement, from_main, one_by_one, processes, wait
from nin.errors import DataError, ModelError, OptionError, RunError
from nin.inference.find_model import find_model
from nin.inference.model_folder import Config, read_folder
from nin.networks.registry import find_architecture
from nin.runs.folder import read_state
from nin.runs.run import model_config
from nin.runs.split_record import fingerprint, load_again, load_like, read_record
from nin.text import printable
from nin.training.budget import plan_for_minutes
from nin.training.events import State
from nin.training.named_recipes import for_images, named_recipe, with_augmentation
from nin.training.pace import Pace, measure
from nin.training.plan import Plan, Start, resolve
from nin.training.plan_file import read_plan
from nin.training.recipe import Recipe

StrPath = str | os.PathLike[str]
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class RunStart:
    """What a run starts from.

    Attributes:
        plan: what to do.
        splits: the images.
        pace: measured on this machine, for a plan with minutes.
        weights: of the model to start from, if there is one.
        state: to resume from, if there is one.

    """

    plan: Plan
    splits: Splits
    pace: Pace | None
    weights: Weights | None = None
    state: State | None = None


def new_start(
    source: Any,
    recipe: str | Recipe | None,
    network: str | None,
    changes: Mapping[str, Any] | None,
    *,
    epochs: float | None,
    minutes: float | None,
    seed: int,
    device: torch.device,
    init_from: StrPath | None,
    augmentation: Augmentation | None,
    validation: float | None,
    test: float | None,
    fit: str | None,
    started: float,
    on_progress: Progress,
    on_findings: Callable[[Sequence[Finding]], None],
) -> RunStart:
    """Read the images, look for what is wrong with them, and make a plan; `nin.train` has the arguments.

    Raises:
        NinError: the images cannot be read or trained on, the recipe does not fit them, or the minutes are too few.

    """
    preparation = channels = config = start = weights = None
    if init_from is not None:
        config, weights, start = _read_model(init_from)
        _check_is_theirs(network, config.architecture, init_from)
        network = config.architecture
    recipe_for = choose_recipe(recipe, network)
    size = with_changes(recipe_for(epochs), changes).size
    if config is not None:
        size, channels = config.image_size, config.in_channels
        preparation = config.preparation if fit is None else replace(config.preparation, fit=fit)
    with one_by_one():
        splits = load_dataset(
            source, size=size, fit=None if init_from else fit, validation=validation, test=test,
            preparation=preparation, channels=channels, on_progress=on_progress,
        )  # fmt: skip
    _check_same(splits)
    from_main(lambda: _check(source, splits, on_findings, on_progress))
    if config is not None and config.in_channels != splits.train.channels:
        raise ModelError(
            f"the model {init_from} takes images of {config.in_channels} channels, and these have "
            f"{splits.train.channels}: start from another model, or from none"
        )

    def fitted(epochs: float | None) -> Recipe:
        """Return the recipe for a number of epochs, fitted to these images."""
        made, choice = recipe_for(epochs), augmentation or "full"
        if not isinstance(recipe, Recipe):
            made = for_images(made, splits)
            choice = augmentation or ("full" if splits.origin.flip else "no-flip")
        made = with_augmentation(with_changes(made, changes), choice)
        return made if config is None else replace(made, size=config.preprocessing.size)

    preprocessing = None if config is None else config.preprocessing
    plan = resolve(fitted(epochs), splits.train, seed, device, start=start, preprocessing=preprocessing)
    model_config(plan, splits)
    if minutes is None:
        return RunStart(plan, splits, None, weights)
    architecture = find_architecture(plan.recipe.network)
    free = architecture.enlarges and recipe in (None, "quick") and config is None and "size" not in (changes or {})
    sizes = architecture.sizes if free else ()
    plan, pace = plan_for_minutes(float(minutes), started, plan, fitted, splits, sizes)
    return RunStart(plan, splits, pace, weights)


def choose_recipe(recipe: str | Recipe | None, network: str | None) -> Callable[[float | None], Recipe]:
    """Return a function from a number of epochs (None: the recipe's own) to the recipe.

    It raises OptionError where there is no such recipe or network, or the epochs are out of range.
    """
    if not isinstance(recipe, Recipe):
        return lambda epochs: named_recipe(recipe or "quick", network or "nin", epochs)
    own = recipe if network is None else replace(recipe, network=network)
    return lambda epochs: own if epochs is None else replace(own, epochs=epochs)


def with_changes(recipe: Recipe, changes: Mapping[str, Any] | None) -> Recipe:
    """Return the recipe with other values of some fields. Raises OptionError for what no recipe can have."""
    if not isinstance(changes, Mapping | None) or not all(isinstance(field, str) for field in changes or ()):
        raise OptionError(f"changes must be a dictionary of fields of the recipe, not {changes!r}")
    fields = [field for field in Recipe.__struct_fields__ if field not in ("name", "network", "epochs")]
    if strange := sorted(set(changes or {}) - set(fields)):
        raise OptionError(f"a recipe has no field {strange[0]!r} to change: it has {', '.join(fields)}")
    return replace(recipe, **(changes or {}))


def start_again(
    source: Any,
    plan: StrPath | None,
    resume: StrPath | None,
    network: str | None,
    seed: int | None,
    on_progress: Progress,
) -> RunStart:
    """Read the plan of a run, to repeat it, or the plan and state of one to resume; and its images.

    Raises:
        NinError: they cannot be read, or are not those of the run.

    """
    if resume is not None:
        folder = path_of(resume)
        known, state = from_main(lambda: (read_plan(folder / "plan.json"), read_state(folder)))
    else:
        assert plan is not None, "one of the two is given"
        path = path_of(plan)
        folder, state = path.parent, None
        known = replace(from_main(lambda: read_plan(path)), minutes=None)
        known = known if seed is None else replace(known, seed=index(seed))
    _check_is_theirs(network, known.recipe.network, folder)
    find_device(known.device, "the plan needs it: use a machine that has it, or make a new plan")
    record = from_main(lambda: read_record(folder))
    if record is None and source is None:
        raise RunError(f"{folder} has no split.json, which says what images the plan is for: give their SOURCE")
    with one_by_one():
        if record is None:
            splits = load_dataset(source, on_progress=on_progress)
        elif resume is None and source is not None:
            splits = load_like(record, source, on_progress)
        else:
            splits = load_again(record, source, on_progress)
    _check_same(splits)
    model_config(known, splits)
    weights = None
    if known.start is not None and state is None:
        _, weights, start = _read_model(known.start.model)
        if start.sha256 != known.start.sha256:
            raise ModelError(f"the model {known.start.model}, which the plan starts from, has changed: restore it")
    return RunStart(known, splits, None if known.minutes is None else measure(known, splits), weights, state)


def path_of(path: StrPath) -> Path:
    """Return the path that is meant, which may be bytes behind PathLike."""
    return Path(os.fsdecode(path))


def _check_is_theirs(network: str | None, known: str, place: StrPath) -> None:
    """Check that a network that was named beside a plan or model is its own. Raises OptionError."""
    if network not in (None, known):
        raise OptionError(f"the network of {os.fspath(place)} is {known}, not {network}; leave network out, or name it")


def _check(
    source: Any, splits: Splits, on_findings: Callable[[Sequence[Finding]], None], on_progress: Progress
) -> None:
    """Audit images of one's own, tell what was found, and raise DataError for what cannot be trained on."""
    if isinstance(source, str) and source in NAMED:  # what is in them is known: docs/data-sets.md
        return
    findings = audit(splits, on_progress).findings
    if findings:
        on_findings(findings)
    for finding in findings:
        if finding.severity == "error":
            raise DataError(f"{printable(splits.origin.place)}: {finding.text}")


def _check_same(splits: Splits) -> None:
    """Check that all processes have read the same images. Raises RunError."""
    if processes() > 1:
        wait()  # for those that read what others had read before
        check_agreement("images", fingerprint(splits.parts()))


def _read_model(model: StrPath) -> tuple[Config, Weights, Start]:
    """Read a model to start from."""
    folder = find_model(model)
    config, network = read_folder(folder)
    with (folder / "model.safetensors").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    name = os.path.abspath(model) if os.path.exists(model) else os.fspath(model)  # noqa: PTH100, PTH110 - as find_model
    return config, network.state_dict(), Start(name, sha256)
