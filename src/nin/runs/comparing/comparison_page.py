"""What does a comparison look like to a reader? A page with tables and figures, and the same as CSV and JSON."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from nin.figures.comparison import Curve, Place, accuracy_against_computation, accuracy_against_time, losses
from nin.figures.style import to_png
from nin.files import write_all
from nin.page import load_template
from nin.runs.comparing.cell import Outcomes, Settings, Trained
from nin.runs.comparing.table import TARGET, Row, best_cells, mean_and_interval, rows_of, to_csv
from nin.runs.report import Png, number, png_of
from nin.text import duration


def write_page(folder: Path, settings: Settings, outcomes: Outcomes, environment: dict[str, Any]) -> Path:
    """Write a comparison into its folder as page, CSV and JSON, and return the path of the page.

    Raises:
        FileError: they cannot be written.

    """
    rows = rows_of(outcomes)
    parts = [
        {
            "batch_norm": way,
            "rows": [row for row in rows if row.batch_norm == way],
            "figures": _figures([row for row in rows if row.batch_norm == way], outcomes),
        }
        for way in dict.fromkeys(row.batch_norm for row in rows)
    ]
    tried = {
        (cell.network, cell.batch_norm, cell.factor): outcome for cell, outcome in outcomes.items() if cell.seed == 0
    }
    factors = sorted({cell.factor for cell in outcomes if cell.seed == 0})
    factors_of: dict[tuple[str, bool], set[float]] = {}
    for network, way, factor in tried:
        factors_of.setdefault((network, way), set()).add(factor)
    filters = {"number": number, "duration": duration, "megabytes": _megabytes, "accuracy": mean_and_interval}
    page = load_template("runs/comparing", "comparison.html.j2", filters).render(
        settings=settings,
        environment=environment,
        parts=parts,
        factors=factors,
        factor_counts=sorted({len(own) for own in factors_of.values()}),
        alike=len({frozenset(own) for own in factors_of.values()}) == 1,
        tried={key: outcome.trained for key, outcome in tried.items()},
        target=TARGET,
        trainings=len(outcomes),
        most_seeds=max((row.seeds for row in rows), default=0),
    )
    trainings = list(outcomes.values())
    content = {"settings": settings, "environment": environment, "rows": rows, "trainings": trainings}
    write_all(
        {
            folder / "comparison.csv": to_csv(rows),
            folder / "results.json": msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n",
            folder / "comparison.html": page,
        }
    )
    return folder / "comparison.html"


def _figures(rows: Sequence[Row], outcomes: Outcomes) -> dict[str, Png]:
    """Draw the figures of the rows that have a training to show."""
    shown = [row for row in rows if row.validation is not None]
    if not shown:
        return {}
    curves = {
        row.title: [_curve(one) for one in best_cells(row.network, row.batch_norm, outcomes).values()] for row in shown
    }
    places = {
        row.title: Place(row.multiply_adds or 0, row.validation or 0.0, row.validation_interval or 0.0) for row in shown
    }
    drawn = {
        "time": accuracy_against_time(curves),
        "computation": accuracy_against_computation(places),
        "losses": losses(curves),
    }
    return {name: png_of(to_png(figure)) for name, figure in drawn.items()}


def _curve(trained: Trained) -> Curve:
    """Return the validations of a training; a loss that was not finite is a gap."""
    points = trained.curve
    columns = ([point.train_loss for point in points], [point.validation_loss for point in points])
    train, validation = ([math.nan if value is None else value for value in column] for column in columns)
    return Curve([point.seconds for point in points], train, validation, [one.validation_accuracy for one in points])


def _megabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:,.0f} MB"
