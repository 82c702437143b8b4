"""How are networks compared? Cell after cell: the same data, budget and learning rates to try, several seeds."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import torch

from nin.choices import BatchNorm, Size
from nin.errors import FileError, OptionError, RunError
from nin.files import read_json, write_json
from nin.networks.batch_norm import has_batch_norm
from nin.networks.registry import NETWORKS, build_network, find_architecture, import_network
from nin.runs.comparing.cell import Cell, Inference, Job, Outcome, Outcomes, Progress, Settings, Trained
from nin.runs.comparing.cell_process import run_job
from nin.runs.folder import lock, refuse_existing

MOST_SEEDS = 21  # for which t-intervals are known


@dataclass(frozen=True)
class Watcher:
    """What is called while a comparison is made.

    Attributes:
        cell: before a cell is trained, with it, and how many cells are left with it.
        progress: now and then while it is trained.
        outcome: when it is done.

    """

    cell: Callable[[Cell, int], None]
    progress: Callable[[Progress], None]
    outcome: Callable[[Cell, Outcome], None]


def compare(
    networks: Sequence[str],
    settings: Settings,
    seeds: int,
    learning_rates: Sequence[float],
    batch_norm: BatchNorm,
    folder: Path,
    watcher: Watcher,
) -> Outcomes:
    """Make every cell that `folder` does not hold yet, and return all of them.

    Every network is trained by seed 0 with each of the learning rates, and by the other seeds with the one that gave
    the best validation accuracy. What a kill leaves half-made is made again.

    Args:
        networks: names of the registry, or import paths.
        settings: what all cells share.
        seeds: how many, from 0 on.
        learning_rates: factors on those of the recipe quick.
        batch_norm: whether to train the batch-norm variants, the networks without batch norm, or both.
        folder: of the comparison; one that is there must be of the same settings.
        watcher: what to call.

    Raises:
        NinError: the options cannot be used, or the folder holds something else.

    """
    _check(networks, settings, seeds, learning_rates, batch_norm)
    _open(folder, settings)
    outcomes: Outcomes = {}
    with lock(folder):
        ways = {"yes": (True,), "no": (False,), "both": (True, False)}[batch_norm]
        series = [(network, way) for way in ways for network in networks]
        left = len(series) * (len(learning_rates) + seeds - 1)
        for network, way in series:
            for cell in _cells(network, way, seeds, learning_rates, outcomes):
                outcome = _finished(folder, cell)
                if outcome is None:
                    watcher.cell(cell, left)
                    outcome = _make(folder, cell, settings, watcher.progress)
                    write_json(_file(folder, cell), outcome)
                    watcher.outcome(cell, outcome)
                outcomes[cell] = outcome
                left -= 1
    return outcomes


def best_factor(network: str, batch_norm: bool, outcomes: Outcomes) -> float | None:
    """Return the factor on the learning rates whose cell of seed 0 has the best validation accuracy, if any has one."""
    accuracies = {
        cell.factor: outcome.trained.validation_accuracy
        for cell, outcome in outcomes.items()
        if (cell.network, cell.batch_norm, cell.seed) == (network, batch_norm, 0) and outcome.trained is not None
    }
    return max(accuracies, key=lambda factor: accuracies[factor], default=None)


def _cells(
    network: str, batch_norm: bool, seeds: int, learning_rates: Sequence[float], outcomes: Outcomes
) -> Iterator[Cell]:
    """Yield the cells of a network; those of the other seeds once the best learning rate is known."""
    for factor in learning_rates:
        yield Cell(network, batch_norm, factor, seed=0)
    best = best_factor(network, batch_norm, outcomes)
    for seed in range(1, seeds) if best is not None else ():
        yield Cell(network, batch_norm, best, seed)


def _check(
    networks: Sequence[str], settings: Settings, seeds: int, learning_rates: Sequence[float], batch_norm: BatchNorm
) -> None:
    """Refuse options that cannot be used. Raises OptionError."""
    if len(set(networks)) < max(1, len(networks)):
        raise OptionError(f"each network is compared once; name some of {', '.join(NETWORKS)}")
    for network in networks:
        import_network(network)
        find_architecture(network)
    if (settings.minutes is None) == (settings.epochs is None):
        raise OptionError("give either minutes or epochs: each says how long a cell trains")
    for name, value in (("minutes", settings.minutes), ("epochs", settings.epochs)):
        if value is not None and not 0 < value <= 1e6:
            raise OptionError(f"{name} must be a number over 0, a million at most, not {value!r}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise OptionError(f"seeds must be from 1 to {MOST_SEEDS}, not {seeds}")
    if not learning_rates or not all(0 < factor <= 1000 for factor in learning_rates):
        raise OptionError(f"learning rates are factors from over 0 to 1000, not {', '.join(map(str, learning_rates))}")
    if len(set(learning_rates)) < len(learning_rates):
        raise OptionError("a learning rate is given twice: name each once")
    for name, value, known in (("batch norm", batch_norm, BatchNorm), ("size", settings.size, Size)):
        if value not in get_args(known):
            raise OptionError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")


def _open(folder: Path, settings: Settings) -> None:
    """Make the folder of a comparison, or check that the one that is there is of the same settings."""
    file = folder / "comparison.json"
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            refuse_existing(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {folder}: {error.strerror}; name another") from error
        write_json(file, settings)
    known = read_json(file, Settings)
    for field in Settings.__struct_fields__:
        there, wanted = getattr(known, field), getattr(settings, field)
        if there != wanted:
            raise RunError(f"{folder} is a comparison with {field} {there}, not {wanted}: name another folder")


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"


def _finished(folder: Path, cell: Cell) -> Outcome | None:
    """Return what came of a cell that was made before, and failed for no passing reason; None where there is none."""
    file = _file(folder, cell)
    outcome = read_json(file, Outcome) if file.exists() else None
    return None if outcome is None or outcome.trained is None else outcome


def _make(folder: Path, cell: Cell, settings: Settings, on_progress: Callable[[Progress], None]) -> Outcome:
    """Train a network and measure it, in processes of their own."""
    if not cell.batch_norm and _has_its_own(cell.network):
        return Outcome(failed="it has batch norms of its own")
    run = folder / cell.name
    _remove(run)
    job = Job(
        cell.network,
        settings.source,
        str(run),
        cell.changes(settings.size),
        settings.minutes,
        settings.epochs,
        cell.seed,
    )
    try:
        trained = run_job(job, on_progress)
        assert isinstance(trained, Trained)
        if trained.ended == "dead":
            return Outcome(trained)
        inference = run_job(msgspec.structs.replace(job, inference=True), on_progress)
        assert isinstance(inference, Inference)
        return Outcome(trained, inference)
    except RunError as error:
        return Outcome(failed=str(error))


def _has_its_own(network: str) -> bool:
    architecture = find_architecture(network)
    with torch.device("meta"):
        return has_batch_norm(build_network(network, architecture.channels[0], 10, architecture.default_size))


def _remove(run: Path) -> None:
    """Remove the run of a cell that was not finished, once no process works on it any more."""
    if not os.path.lexists(run):
        return
    with lock(run, seconds=30):
        pass
    try:
        shutil.rmtree(run)
    except OSError as error:
        raise FileError(f"cannot remove {run}, which was not finished: {error.strerror}; remove it first") from error
