"""What does a comparison say of each network? A row: means over the seeds, at the best of the learning rates."""

import csv
import io
import math
from collections.abc import Sequence
from statistics import fmean

import msgspec

from nin.metrics import t_interval
from nin.runs.comparing.cell import Cell, Outcomes, Trained
from nin.runs.comparing.plan import best_factor

TARGET = 0.90  # of validation accuracy, to which time is measured


class Row(msgspec.Struct, frozen=True):
    """A network, with or without batch norm.

    Attributes:
        network, title: its name, and what figures call it.
        batch_norm: whether it was trained as its batch-norm variant.
        factor: on the recipe's learning rates; the best on validation of those that were tried.
        seeds: how many.
        size: pixels a side of the images.
        parameters, multiply_adds: of the network, and for one image.
        epochs, images_per_second: of training, means over the seeds.
        training_memory: bytes of the training process at most; of the seed that needed most.
        inference_images_per_second, inference_memory: in batches of 256.
        validation, validation_interval: mean top-1 accuracy, and half of its 95 % interval over the seeds.
        test, test_interval: the same; None where there are no test images.
        seconds_to_target: of training steps, until the validation accuracy is `TARGET`: the mean, if every seed gets
            there.
        troubles: what failed or was warned of, a line each.

    Figures are None where no training gave a result. A training that died counts with the accuracy that it had.
    """

    network: str
    title: str
    batch_norm: bool
    factor: float | None = None
    seeds: int = 0
    size: int | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    epochs: float | None = None
    images_per_second: float | None = None
    training_memory: int | None = None
    inference_images_per_second: float | None = None
    inference_memory: int | None = None
    validation: float | None = None
    validation_interval: float | None = None
    test: float | None = None
    test_interval: float | None = None
    seconds_to_target: float | None = None
    troubles: tuple[str, ...] = ()


def rows_of(outcomes: Outcomes) -> list[Row]:
    """Return a row for each network with and without batch norm, in the order in which they were trained."""
    return [_row(network, way, outcomes) for network, way in dict.fromkeys((c.network, c.batch_norm) for c in outcomes)]


def best_cells(network: str, batch_norm: bool, outcomes: Outcomes) -> dict[Cell, Trained]:
    """Return the trainings of a network with the best of the learning rates, a seed each."""
    factor = best_factor(network, batch_norm, outcomes)
    return {
        cell: outcome.trained
        for cell, outcome in outcomes.items()
        if (cell.network, cell.batch_norm, cell.factor) == (network, batch_norm, factor) and outcome.trained is not None
    }


def seconds_to(target: float, trained: Trained) -> float | None:
    """Return after how many seconds of training steps the validation accuracy was `target`; None if it never was."""
    return next((point.seconds for point in trained.curve if point.validation_accuracy >= target), None)


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, Row.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(msgspec.structs.asdict(row) | {"troubles": "; ".join(row.troubles)})
    return file.getvalue()


def _row(network: str, batch_norm: bool, outcomes: Outcomes) -> Row:
    own = {c: outcome for c, outcome in outcomes.items() if (c.network, c.batch_norm) == (network, batch_norm)}
    title, troubles = next(iter(own.values())).title, tuple(_troubles(own))
    best = best_cells(network, batch_norm, own)
    if not best:
        return Row(network, title, batch_norm, troubles=troubles)
    trained = list(best.values())
    inference = [found for cell in best if (found := own[cell].inference) is not None]
    validation = [one.validation_accuracy for one in trained]
    test = [one.test_accuracy for one in trained if one.test_accuracy is not None]
    speeds = [one.images_per_second for one in trained if one.images_per_second is not None]
    times = [seconds for one in trained if (seconds := seconds_to(TARGET, one)) is not None]
    return Row(
        network,
        title,
        batch_norm,
        next(iter(best)).factor,
        len(trained),
        trained[0].size,
        trained[0].parameters,
        trained[0].multiply_adds,
        epochs=fmean(one.epochs for one in trained),
        images_per_second=fmean(speeds) if speeds else None,
        training_memory=max((one.peak_memory for one in trained if one.peak_memory is not None), default=None),
        inference_images_per_second=fmean(one.images_per_second for one in inference) if inference else None,
        inference_memory=max((one.peak_memory for one in inference if one.peak_memory is not None), default=None),
        validation=fmean(validation),
        validation_interval=interval_over_seeds(validation),
        test=fmean(test) if test else None,
        test_interval=interval_over_seeds(test),
        seconds_to_target=fmean(times) if len(times) == len(trained) else None,
        troubles=troubles,
    )


def mean_and_interval(mean: float | None, interval: float | None) -> str:
    """Write a mean and half of its interval over the seeds, where there are some to have one; a dash without a mean."""
    if mean is None:
        return "–"
    return f"{mean:.4f}" if interval is None else f"{mean:.4f} ± {interval:.4f}"


def spread_over_seeds(values: Sequence[float]) -> str:
    """Write the mean, half of its interval over the seeds, and each value where there are 2 to 5; of one, the value."""
    each = f" ({', '.join(f'{value:.4f}' for value in values)})" if 1 < len(values) <= 5 else ""
    return mean_and_interval(fmean(values), interval_over_seeds(values)) + each


def interval_over_seeds(values: Sequence[float]) -> float | None:
    """Return half of the 95 % t-interval of a mean over the seeds; None where fewer than two have a value."""
    interval = t_interval(values)
    return None if math.isnan(interval) else interval


def _troubles(outcomes: Outcomes) -> list[str]:
    """Return what failed or was warned of in these cells: one line for all cells with the same trouble."""
    lines: dict[str, list[str]] = {}
    for cell, outcome in outcomes.items():
        for trouble in (*(outcome.trained.troubles if outcome.trained else ()), *filter(None, [outcome.failed])):
            lines.setdefault(trouble, []).append(f"learning rates × {cell.factor:g}, seed {cell.seed}")
    return [f"{trouble} ({'; '.join(cells)})" for trouble, cells in lines.items()]
