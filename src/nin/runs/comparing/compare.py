"""How are networks compared? Cell after cell: the same data, budget and learning rates to try, several seeds."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from msgspec import to_builtins
from msgspec.structs import replace

from nin.choices import Augmentation, BatchNorm, Size
from nin.errors import FileError, NinError, OptionError, RunError
from nin.files import read_json, remove_temporary_files, write_json
from nin.networks.imported import import_network, source_hash
from nin.networks.registry import NETWORKS, find_architecture
from nin.runs.comparing.cell import Cell, Inference, Job, Outcome, Outcomes, Progress, Settings, Trained, image_size
from nin.runs.comparing.cell_process import run_job
from nin.runs.folder import lock, refuse_existing

SETTINGS = "comparison.json"
RESULTS = "results.json"
MOST_SEEDS = 21  # for which t-intervals are known
MOST_EPOCHS = 10_000
SECONDS_OF_PATIENCE = 30  # with the process of a comparison that was killed


@dataclass(frozen=True)
class Plan:
    """What is to be compared, beside what all cells share.

    Attributes:
        networks: names of the registry, or import paths.
        seeds: how many, from 0 on.
        learning_rates: factors on those of the recipe quick.
        batch_norm: whether to train the batch-norm variants, the networks without batch norm, or both.

    Raises:
        OptionError: one of them cannot be used.

    """

    networks: Sequence[str]
    seeds: int = 3
    learning_rates: Sequence[float] = (1.0,)
    batch_norm: BatchNorm = "yes"

    def __post_init__(self) -> None:
        """Check the values, and import networks that are not ours."""
        if len(set(self.networks)) < max(1, len(self.networks)):
            raise OptionError(f"name each network once; there are {', '.join(NETWORKS)}")
        for network in self.networks:
            import_network(network)
            find_architecture(network)
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise OptionError(f"seeds must be from 1 to {MOST_SEEDS}, not {self.seeds}")
        rates = self.learning_rates
        if not rates or not all(0 < factor <= 1000 for factor in rates):
            raise OptionError(f"learning rates are factors over 0, up to 1000, not {', '.join(map(str, rates))}")
        if len(set(rates)) < len(rates):
            raise OptionError("a factor on the learning rates is given twice: name each once")
        _check_choice("batch norm", self.batch_norm, BatchNorm)

    def series(self) -> list[tuple[str, bool]]:
        """Return each network with each way of batch norm."""
        ways = {"yes": (True,), "no": (False,), "both": (True, False)}[self.batch_norm]
        return [(network, way) for way in ways for network in self.networks]

    def cells(self, outcomes: Outcomes) -> Iterator[Cell]:
        """Yield the cells in order; those of the other seeds once the best learning rate is in `outcomes`."""
        for network, way in self.series():
            for factor in self.learning_rates:
                yield Cell(network, way, factor, seed=0)
            best = best_factor(network, way, outcomes, self.learning_rates)
            if best is not None:
                yield from (Cell(network, way, best, seed) for seed in range(1, self.seeds))


@dataclass(frozen=True)
class Watcher:
    """What is called while a comparison is made.

    Attributes:
        cell: before a cell is trained, with it, and with how many are left, this one included.
        progress: now and then while it is trained.
        outcome: when it is done.

    """

    cell: Callable[[Cell, int], None]
    progress: Callable[[Progress], None]
    outcome: Callable[[Outcome], None]


def compare(plan: Plan, settings: Settings, folder: Path, watcher: Watcher) -> None:
    """Make every cell that `folder` does not hold yet.

    Every network is trained by seed 0 with each of the learning rates, and by the other seeds with the one that gave
    the best validation accuracy. What a kill leaves half-made, and what failed, is made again.

    Args:
        plan: what to compare.
        settings: what all cells share.
        folder: of the comparison; one that is there must be of the same settings.
        watcher: what to call.

    Raises:
        NinError: the options cannot be used, the images cannot be read, or the folder holds something else.

    """
    _check(settings)
    if folder.exists() and not (folder / SETTINGS).exists() and any(_foreign(folder)):
        refuse_existing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunError(f"cannot make the folder {folder}: {reason}; name another with --out") from error
    with lock(folder):
        remove_temporary_files(folder)
        outcomes = read_outcomes(folder)
        _check_settings(folder, settings, outcomes)
        cells = plan.cells(outcomes)
        if any(_is_missing(cell, outcomes) for cell in plan.cells(outcomes)):
            sizes = tuple({image_size(network, settings.size) for network in plan.networks})
            run_job(Job("data", settings.source, sizes=sizes), watcher.progress)
        if not (folder / SETTINGS).exists() or read_json(folder / SETTINGS) != to_builtins(settings):
            write_json(folder / SETTINGS, settings)
        tried: set[Cell] = set()
        for cell in cells:
            if _is_missing(cell, outcomes):
                watcher.cell(cell, _left(plan, outcomes, tried))
                tried.add(cell)
                outcomes[cell] = _make(folder, cell, settings, watcher.progress)
                write_json(folder / f"{cell.name}.json", outcomes[cell])
                watcher.outcome(outcomes[cell])


def read_outcomes(folder: Path) -> Outcomes:
    """Return what came of every cell in the folder of a comparison, in the order in which they were made."""
    files = [file for file in folder.glob("*.json") if file.name not in (SETTINGS, RESULTS)]
    found = [read_json(file, Outcome) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]
    return {outcome.cell: outcome for outcome in found}


def best_factor(
    network: str, batch_norm: bool, outcomes: Outcomes, factors: Sequence[float] | None = None
) -> float | None:
    """Return the factor on the learning rates whose cell of seed 0 has the best validation accuracy, if any has one.

    Of `factors`, or of all that were tried.
    """
    accuracies = {
        cell.factor: outcome.trained.validation_accuracy
        for cell, outcome in outcomes.items()
        if (cell.network, cell.batch_norm, cell.seed) == (network, batch_norm, 0) and outcome.trained is not None
    }
    tried = [factor for factor in accuracies if factors is None or factor in factors]
    return max(tried, key=lambda factor: accuracies[factor], default=None)


def _check(settings: Settings) -> None:
    """Refuse settings that cannot be used. Raises OptionError."""
    if (settings.minutes is None) == (settings.epochs is None):
        raise OptionError("give either minutes or epochs: each says how long a training lasts")
    for name, value, most in (("minutes", settings.minutes, 1e6), ("epochs", settings.epochs, MOST_EPOCHS)):
        if value is not None and not 0 < value <= most:
            raise OptionError(f"{name} must be a number over 0, {most:,.0f} at most, not {value!r}")
    _check_choice("size", settings.size, Size)
    if settings.augmentation is not None:
        _check_choice("augmentation", settings.augmentation, Augmentation)


def _check_choice(name: str, value: str, known: object) -> None:
    if value not in get_args(known):
        raise OptionError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")


def _foreign(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder beside what a comparison that was killed at its start leaves there."""
    return (path for path in folder.iterdir() if path.name != ".lock" and path.suffix != ".tmp")


def _check_settings(folder: Path, settings: Settings, outcomes: Outcomes) -> None:
    """Check that a folder with trainings is of a comparison with the same settings. Raises RunError."""
    if not any(outcome.trained for outcome in outcomes.values()):
        return
    known = read_json(folder / SETTINGS, Settings)
    for field in Settings.__struct_fields__:
        there, wanted = getattr(known, field), getattr(settings, field)
        if there != wanted:
            raise RunError(
                f"{folder} holds a comparison with {field} {there}, not {wanted}: name another folder with --out"
            )


def _is_missing(cell: Cell, outcomes: Outcomes) -> bool:
    """Return whether a cell is still to be made: there is none, it failed, or its network's file is another now."""
    outcome = outcomes.get(cell)
    return outcome is None or outcome.failed is not None or outcome.source != source_hash(cell.network)


def _left(plan: Plan, outcomes: Outcomes, tried: set[Cell]) -> int:
    """Return how many cells are still to be made; those of the other seeds, before their rate is known, too."""
    missing = {cell for cell in plan.cells(outcomes) if _is_missing(cell, outcomes)} - tried
    open_series = {(cell.network, cell.batch_norm) for cell in missing if cell.seed == 0}
    first = sum(cell.seed == 0 for cell in missing)
    others = sum(cell.seed > 0 and (cell.network, cell.batch_norm) not in open_series for cell in missing)
    return first + others + len(open_series) * (plan.seeds - 1)


def _make(folder: Path, cell: Cell, settings: Settings, on_progress: Callable[[Progress], None]) -> Outcome:
    """Train a network and measure it, in processes of their own."""
    run = folder / cell.name
    outcome = Outcome(cell, find_architecture(cell.network).title, source_hash(cell.network))
    try:
        _remove(run)
        job = Job(
            "train",
            settings.source,
            cell.network,
            str(run),
            cell.changes(settings.size),
            settings.augmentation,
            settings.minutes,
            settings.epochs,
            cell.seed,
        )
        trained = run_job(job, on_progress)
        assert isinstance(trained, Trained)
        outcome = replace(outcome, trained=trained)
        if trained.ended == "finished":
            inference = run_job(replace(job, kind="inference"), on_progress)
            assert isinstance(inference, Inference)
            outcome = replace(outcome, inference=inference)
    except NinError as error:
        outcome = replace(outcome, failed=str(error))
    return outcome


def _remove(run: Path) -> None:
    """Remove the run of a cell that was not finished, once no process works on it any more."""
    if not os.path.lexists(run):
        return
    with contextlib.suppress(OSError), lock(run, SECONDS_OF_PATIENCE):
        pass
    try:
        shutil.rmtree(run)
    except OSError as error:
        raise FileError(f"cannot remove {run}, which was not finished: {error.strerror}; remove it first") from error
