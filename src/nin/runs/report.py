"""What does a run look like to a reader? One HTML page with its figures and numbers, which loads nothing."""

import re
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, UndefinedError
from markupsafe import Markup

from nin.errors import FileError, RunError
from nin.files import read_bytes, read_json, read_json_lines, write
from nin.networks.registry import find_architecture
from nin.text import duration

FIGURES = ("sample", "loss", "prediction", "confusion", "reliability", "mistakes")
OPTIONAL_FIGURES = ("mistakes",)  # a model without mistakes has none


def write_report(folder: Path) -> Path:
    """Write the report of the run in `folder` to `report.html` there, and return its path. Raises what `render` does.

    Raises:
        RunError: a file of the run is missing or damaged, or lacks a value.
        FileError: the report cannot be written.

    """
    page = render(folder)
    path = folder / "report.html"
    write(path, page)
    return path


def render(folder: Path) -> str:
    """Return the page, from the files that the run left in `folder`. Raises RunError as `write_report` does."""
    try:
        files = [folder / f"{name}.json" for name in ("plan", "result", "evaluation", "environment")]
        plan, result, evaluation, environment = (Fields(file, read_json(file)) for file in files)
        metrics = folder / "metrics.jsonl"
        lines = [Fields(metrics, line) for line in read_json_lines(metrics)]
        figures = {name: read_png(path) for name in FIGURES if (path := _figure(folder, name))}
        structure = read_svg(folder / "figures" / "structure.svg")
        return template().render(
            plan=plan,
            recipe=plan["recipe"],
            network=find_architecture(plan["recipe"]["network"]),
            result=result,
            evaluation=evaluation,
            environment=environment,
            lines=lines,
            figures=figures,
            structure=structure,
            mistake=most_frequent_mistake(evaluation["confusion"], environment["names"]),
        )
    except RunError:
        raise
    except FileError as error:
        raise RunError(f"{error}; is {folder} the folder of a finished run of this version?") from error
    except (TypeError, ValueError, LookupError, ArithmeticError, UndefinedError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"a file of {folder} holds a value that no run writes: {reason}; was it edited?") from error


def template() -> Template:
    """Load the page's template. It escapes whatever it is given, and a name that is missing is an error."""
    loader = PackageLoader("nin.runs", "")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"number": number, "duration": duration, "date": date}
    return page.get_template("report.html.j2")


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


def most_frequent_mistake(confusion: list[list[int]], names: list[str]) -> tuple[int, str, str]:
    """Find the largest number off the diagonal, with the names of its true and its predicted class; 0 for one class."""
    off_diagonal = (
        (count, names[true], names[predicted])
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if predicted != true
    )
    return max(off_diagonal, default=(0, names[0], names[0]))
