"""How does the page look on which people try a model? HTML, a style and a script, which load nothing from elsewhere."""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from markupsafe import Markup

from nin.page import load_template

_FILES = importlib.resources.files("nin")
_STYLE = _FILES.joinpath("page.css").read_text("utf-8") + _FILES.joinpath("app/serving/start_page.css").read_text(
    "utf-8"
)
_SCRIPT = _FILES.joinpath("app/serving/start_page.js").read_text("utf-8")


def page_routes(models: Sequence[Mapping[str, Any]], cards: Mapping[str, str], most_bytes: int) -> APIRouter:
    """Return what answers with the page, its style and its script; the arguments are those of `start_page`."""
    page, routes = start_page(models, cards, most_bytes), APIRouter(include_in_schema=False)

    @routes.get("/")
    async def start() -> HTMLResponse:
        return HTMLResponse(page)

    @routes.get("/page.css")
    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    @routes.get("/page.js")
    async def script() -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    return routes


def start_page(models: Sequence[Mapping[str, Any]], cards: Mapping[str, str], most_bytes: int) -> str:
    """Return the HTML of the page.

    Args:
        models: what the script needs to know of each, the first first.
        cards: the model cards, in Markdown.
        most_bytes: of a photo.

    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    rendered = {name: Markup(markdown.render(_without_front_matter(card))) for name, card in cards.items()}  # noqa: S704
    known = json.dumps({"models": list(models), "most_bytes": most_bytes}).replace("<", "\\u003c")
    template = load_template("app/serving", "start_page.html.j2", {})
    return template.render(models=models, cards=rendered, known=Markup(known))  # noqa: S704 - it is escaped


def _without_front_matter(card: str) -> str:
    """Return a card without the fields that the Hugging Face hub reads, and without its title."""
    body = card.split("\n---\n", 1)[1] if card.startswith("---\n") and "\n---\n" in card else card
    title, _, rest = body.lstrip().partition("\n")
    return rest if title.startswith("# ") else body
