"""What does a reader see of a run? One HTML page that holds its figures and numbers and loads nothing."""

import re
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, UndefinedError
from markupsafe import Markup

from nin import runs
from nin.errors import RunError

FIGURES = ("sample", "loss", "prediction", "confusion")


def write_report(folder: Path) -> Path:
    """Write the page of the run in `folder` as `report.html` there, and give its path. Raises what `render` does."""
    path = folder / "report.html"
    runs.write(path, render(folder))
    return path


def render(folder: Path) -> str:
    """Make the page from what the run left in `folder`.

    Raises:
        RunError: a file is missing or damaged, or lacks a value.

    """
    files = [folder / f"{name}.json" for name in ("plan", "result", "environment")]
    plan, result, environment = (Fields(file, runs.read_json(file)) for file in files)
    metrics = folder / "metrics.jsonl"
    epochs = [Fields(metrics, line) for line in runs.read_lines(metrics)]
    figures = {name: read_png(folder / "figures" / f"{name}.png") for name in FIGURES}
    structure = read_svg(folder / "figures" / "NIN.svg")
    try:
        return template().render(
            plan=plan,
            recipe=plan["recipe"],
            result=result,
            environment=environment,
            epochs=epochs,
            figures=figures,
            structure=structure,
            mistake=most_frequent_mistake(result["confusion"], environment["names"]),
        )
    except RunError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, UndefinedError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"a file of {folder} holds a value that no run writes: {reason}; was it edited?") from error


def template() -> Template:
    """Load the page's template. It escapes whatever it is given, and a name that it lacks is an error."""
    loader = PackageLoader("nin", "")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"number": number, "duration": duration, "date": date}
    return page.get_template("report.html.j2")


# ---------------------------------------------------------------------------------------------------------------------
# Reading what the run left


class Fields(dict[str, Any]):
    """A JSON object of a run's file, which names the file when a key is missing."""

    def __init__(self, path: Path, content: Any) -> None:
        if not isinstance(content, dict):
            raise RunError(f"{path} holds no JSON object where one is needed; was it edited?")
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
    """Read a figure. Raises RunError when it is missing or no whole PNG."""
    content = _read(path)
    if not (content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")):
        raise RunError(f"{path} is not a whole PNG; was it cut short? Train again")
    width, height = (int.from_bytes(content[start : start + 4]) for start in (16, 20))  # of the header chunk, IHDR
    return Png(f"data:image/png;base64,{b64encode(content).decode()}", width, height)


class Svg(NamedTuple):
    """A figure as HTML takes it: its start tag, still open for more attributes, and the rest."""

    start: Markup
    rest: Markup


def read_svg(path: Path) -> Svg:
    """Read a figure without the prolog, which HTML does not take. Raises RunError when missing or no whole SVG."""
    found = re.search(rb"(<svg\b[^>]*)>(.*</svg>)", _read(path), re.DOTALL)
    if not found:
        raise RunError(f"{path} is not a whole SVG; was it cut short? Train again")
    return Svg(*(Markup(part.decode(errors="replace")) for part in found.groups()))  # noqa: S704 - our own figure


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read the figure {path}: {error.strerror}; is it of a finished run?") from error


# ---------------------------------------------------------------------------------------------------------------------
# Numbers for people


def number(value: int | float | None, pattern: str = ",.0f") -> str:
    """Write a number by a format pattern, and a dash where there is none."""
    return "–" if value is None else format(value, pattern)


def duration(seconds: int | float) -> str:
    """Write seconds as people say them: 4.2 s, 3 min 20 s, 9 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def date(started: str) -> str:
    """Write an ISO time as 22 November 2026, 15:04."""
    moment = datetime.fromisoformat(started)
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def most_frequent_mistake(confusion: list[list[int]], names: list[str]) -> tuple[int, str, str]:
    """Find the largest number off the diagonal, with the name of its true class and of the predicted one."""
    return max(
        (count, names[true], names[predicted])
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if predicted != true
    )
