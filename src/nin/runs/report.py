"""What does a run look like to a reader? One HTML page with its figures and numbers, which loads nothing."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Template, UndefinedError
from markupsafe import Markup

from nin.errors import FileError, OptionError, RunError
from nin.files import read_bytes, read_json, read_json_lines, write
from nin.metrics import classes_to_list
from nin.networks.imported import is_import_path
from nin.networks.registry import find_architecture, network_options, side_by_side
from nin.page import load_template
from nin.text import duration

FIGURES = ("sample", "loss", "prediction", "confusion", "reliability", "mistakes")
OPTIONAL_FIGURES = ("mistakes",)  # a model without mistakes has none
MOST_MISTAKES = 30  # listed
LARGEST_MATRIX = 30  # classes whose confusion matrix is written in numbers


def write_report(folder: Path) -> Path:
    """Write the report of the run in `folder` to `report.html` there, and return its path. Raises what `render` does.

    Raises:
        RunError: a file of the run is missing or damaged, or lacks a value.
        OptionError: the run's network is not one of ours, and was not named.
        FileError: the report cannot be written.

    """
    page = render(folder)
    path = folder / "report.html"
    write(path, page)
    return path


def render(folder: Path) -> str:
    """Return the page, from the files that the run left in `folder`. Raises what `write_report` does."""
    network = ""
    try:
        files = [folder / f"{name}.json" for name in ("plan", "result", "evaluation", "environment")]
        plan, result, evaluation, environment = (Fields(file, read_json(file)) for file in files)
        network = plan["recipe"]["network"]
        metrics = folder / "metrics.jsonl"
        lines = [Fields(metrics, line) for line in read_json_lines(metrics)]
        figures = {name: read_png(path) for name in FIGURES if (path := _figure(folder, name))}
        structure = read_svg(folder / "figures" / "structure.svg")
        return template().render(
            plan=plan,
            recipe=plan["recipe"],
            network=find_architecture(network),
            options=network_options(network),
            columns=[find_architecture(name) for name in side_by_side(network)],
            result=result,
            evaluation=evaluation,
            environment=environment,
            lines=lines,
            figures=figures,
            structure=structure,
            equal_classes=len(set(evaluation["images_per_class"]) - {0}) == 1,
            mistakes=mistakes(evaluation, environment["names"])[:MOST_MISTAKES],
            classes=classes(evaluation, environment["names"]),
            matrix=matrix(evaluation["confusion"], len(environment["names"])),
        )
    except RunError:
        raise
    except FileError as error:
        raise RunError(f"{error}; is {folder} the folder of a finished run of this version?") from error
    except (TypeError, ValueError, LookupError, ArithmeticError, UndefinedError) as error:
        if isinstance(error, OptionError) and is_import_path(network):  # it was not named
            raise
        reason = str(error).partition("\n")[0]
        raise RunError(f"a file of {folder} holds a value that no run writes: {reason}; was it edited?") from error


def template() -> Template:
    """Load the page's template."""
    return load_template("runs", "report.html.j2", {"number": number, "duration": duration, "date": date})


# --- Reading what the run left ---


class Fields(dict[str, Any]):
    """A JSON object of a run's file, which names the file when a key is missing."""

    def __init__(self, path: Path, content: Any) -> None:
        if not isinstance(content, dict):
            raise RunError(f"{path} has no JSON object where one is needed; was it edited?")
        super().__init__(
            {key: Fields(path, value) if isinstance(value, dict) else value for key, value in content.items()}
        )
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise RunError(f"{self.path} has no {key!r}, which the report needs; edited, or of another version?")


class Png(NamedTuple):
    """A figure as a data URI, with its width and height in pixels."""

    source: str
    width: int
    height: int


def read_png(path: Path) -> Png:
    """Read a figure. Raises FileError if it cannot be read, RunError if it is not a whole PNG."""
    content = read_bytes(path)
    if not (content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")):
        raise RunError(f"{path} is not a whole PNG; was it cut short? Train again")
    return png_of(content)


def png_of(content: bytes) -> Png:
    """Return the figure in the content of a PNG file."""
    width, height = (int.from_bytes(content[start : start + 4]) for start in (16, 20))  # of the header chunk, IHDR
    return Png(f"data:image/png;base64,{b64encode(content).decode()}", width, height)


class Svg(NamedTuple):
    """A figure as HTML takes it: its start tag, still open for more attributes, and the rest."""

    start: Markup
    rest: Markup


def read_svg(path: Path) -> Svg:
    """Read a figure without the prolog, which HTML does not allow. Raises as `read_png` does."""
    found = re.search(rb"(<svg\b[^>]*)>(.*</svg>)", read_bytes(path), re.DOTALL)
    if not found:
        raise RunError(f"{path} is not a whole SVG; was it cut short? Train again")
    return Svg(*(Markup(part.decode(errors="replace")) for part in found.groups()))  # noqa: S704 - our own figure


def _figure(folder: Path, name: str) -> Path | None:
    path = folder / "figures" / f"{name}.png"
    return None if name in OPTIONAL_FIGURES and not path.exists() else path


# --- Numbers for people ---


def number(value: int | float | None, pattern: str = ",.0f") -> str:
    """Write a number by a format pattern, and a dash where there is none."""
    return "–" if value is None else format(value, pattern)


def date(started: str) -> str:
    """Write an ISO time as 22 November 2026, 15:04."""
    moment = datetime.fromisoformat(started)
    return f"{moment.day} {moment:%B %Y, %H:%M}"


# --- Tables ---


class Mistake(NamedTuple):
    """How many images of a class, and what share of them, are predicted as another."""

    true: str
    predicted: str
    images: int
    share: float


class Class(NamedTuple):
    """What is known of the predictions of one class: None where no image belongs to it, or is predicted as it."""

    name: str
    images: int
    recall: float | None
    precision: float | None


def mistakes(evaluation: Mapping[str, Any], names: Sequence[str]) -> list[Mistake]:
    """Return the mistakes of an `evaluation.json`, the most frequent first, with the names of their classes."""
    found: Sequence[tuple[int, int, int]] = evaluation["mistakes"]
    sizes = evaluation["images_per_class"]
    return [Mistake(names[true], names[predicted], images, images / sizes[true]) for true, predicted, images in found]


def classes(evaluation: Mapping[str, Any], names: Sequence[str]) -> list[Class]:
    """Return what an `evaluation.json` says of each class, or, where they are many, of those of lowest recall."""
    columns = (evaluation[name] for name in ("images_per_class", "recall", "precision"))
    found = [Class(*row) for row in zip(names, *columns, strict=True)]
    return [found[index] for index in classes_to_list(evaluation["recall"])]


def matrix(confusion: list[list[int]] | None, count: int) -> list[list[int]] | None:
    """Return a confusion matrix of `count` classes if it is small enough to be read, else None."""
    if confusion is None or count > LARGEST_MATRIX:
        return None
    if [len(row) for row in confusion] != [count] * count:
        raise ValueError(f"a confusion matrix that has not {count} rows and columns")
    return confusion
