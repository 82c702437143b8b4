"""How are networks compared? Cell after cell: the same data, budget and learning rates to try, several seeds."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from msgspec import to_builtins
from msgspec.structs import replace

from nin.choices import Augmentation, Size, check_choice
from nin.distributed import from_main, is_main, processes, rank, wait
from nin.errors import FileError, NinError, OptionError, RunError
from nin.files import read_json, remove_temporary_files, write_json
from nin.networks.imported import source_hash
from nin.networks.registry import find_architecture
from nin.runs.comparing.cell import Cell, Inference, Job, Outcome, Outcomes, Progress, Settings, Trained, image_size
from nin.runs.comparing.cell_process import run_job
from nin.runs.comparing.plan import Plan
from nin.runs.folder import lock, refuse_existing

SETTINGS = "comparison.json"
RESULTS = "results.json"
MOST_EPOCHS = 10_000
SECONDS_OF_PATIENCE = 30  # with the process of a comparison that was killed


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
    the best validation accuracy. What a kill leaves half-made, and what failed, is made again. Processes that
    `torchrun` has started divide the networks.

    Args:
        plan: what to compare.
        settings: what all cells share.
        folder: of the comparison; one that is there must be of the same settings.
        watcher: what to call.

    Raises:
        NinError: the options cannot be used, the images cannot be read, or the folder holds something else.

    """
    _check(settings)
    from_main(lambda: _make_folder(folder))
    with lock(folder) if is_main() else nullcontext():
        from_main(lambda: _begin(plan, settings, folder, watcher))
        wait()
        networks = plan.networks[rank() :: processes()]  # each process has its own, on its share of the cores
        if networks:
            _make_cells(dataclasses.replace(plan, networks=networks), settings, folder, watcher)
        wait()


def _make_folder(folder: Path) -> None:
    """Make the folder of a comparison, if it is not there. Raises RunError."""
    if folder.exists() and not (folder / SETTINGS).exists() and any(_foreign(folder)):
        refuse_existing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunError(f"cannot make the folder {folder}: {reason}; name another with --out") from error


def _begin(plan: Plan, settings: Settings, folder: Path, watcher: Watcher) -> None:
    """Check that the folder is of such a comparison, have the images read if any will be needed, and keep the settings.

    Raises:
        NinError: it is of another, or the images cannot be read.

    """
    remove_temporary_files(folder)
    _check_settings(folder, settings)
    outcomes = read_outcomes(folder, plan.networks)
    if any(_is_missing(cell, outcomes) for cell in plan.cells(outcomes)):
        sizes = tuple({image_size(network, settings.size) for network in plan.networks})
        run_job(Job("data", settings.source, sizes=sizes), watcher.progress)
    if not (folder / SETTINGS).exists() or read_json(folder / SETTINGS) != to_builtins(settings):
        write_json(folder / SETTINGS, settings)


def _make_cells(plan: Plan, settings: Settings, folder: Path, watcher: Watcher) -> None:
    """Make every cell of the plan that the folder does not hold yet."""
    outcomes = read_outcomes(folder, plan.networks)
    tried: set[Cell] = set()
    for cell in plan.cells(outcomes):
        if _is_missing(cell, outcomes):
            watcher.cell(cell, _left(plan, outcomes, tried))
            tried.add(cell)
            outcomes[cell] = _make(folder, cell, settings, watcher.progress)
            write_json(folder / f"{cell.name}.json", outcomes[cell])
            watcher.outcome(outcomes[cell])


def read_outcomes(folder: Path, networks: Sequence[str] = ()) -> Outcomes:
    """Return what came of every cell in the folder of a comparison, in the order in which they were made.

    Cells of a network whose file has changed since are left out, as cells of another network: the file is as it was in
    the last of them or, of the `networks`, as it is now.
    """
    found = _all_outcomes(folder)
    last = {one.cell.network: one.source for one in found} | {network: source_hash(network) for network in networks}
    return {one.cell: one for one in found if one.source == last[one.cell.network]}


def _all_outcomes(folder: Path) -> list[Outcome]:
    files = [file for file in folder.glob("*.json") if file.name not in (SETTINGS, RESULTS)]
    return [read_json(file, Outcome) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def _check(settings: Settings) -> None:
    """Refuse settings that cannot be used. Raises OptionError."""
    if (settings.minutes is None) == (settings.epochs is None):
        raise OptionError("give either minutes or epochs: each says how long a training lasts")
    for name, value, most in (("minutes", settings.minutes, 1e6), ("epochs", settings.epochs, MOST_EPOCHS)):
        if value is not None and not 0 < value <= most:
            raise OptionError(f"{name} must be a number over 0, {most:,.0f} at most, not {value!r}")
    check_choice("size", settings.size, Size)
    if settings.augmentation is not None:
        check_choice("augmentation", settings.augmentation, Augmentation)


def _foreign(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder beside what a comparison that was killed at its start leaves there."""
    return (path for path in folder.iterdir() if path.name != ".lock" and path.suffix != ".tmp")


def _check_settings(folder: Path, settings: Settings) -> None:
    """Check that a folder with trainings is of a comparison with the same settings. Raises RunError."""
    if not any(outcome.trained for outcome in _all_outcomes(folder)):
        return
    known = read_json(folder / SETTINGS, Settings)
    for field in Settings.__struct_fields__:
        there, wanted = getattr(known, field), getattr(settings, field)
        if there != wanted:
            raise RunError(
                f"{folder} holds a comparison with {field} {there}, not {wanted}: name another folder with --out"
            )


def _is_missing(cell: Cell, outcomes: Outcomes) -> bool:
    """Return whether a cell is still to be made: there is none, or it failed."""
    outcome = outcomes.get(cell)
    return outcome is None or outcome.failed is not None


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
