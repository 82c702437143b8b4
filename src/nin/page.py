"""How does a page look? The templates of all HTML pages, and the style that they share in page.css."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template


def load_template(folder: str, name: str, filters: Mapping[str, Callable[..., Any]]) -> Template:
    """Load a page's template from a folder of the package, such as "runs".

    It escapes whatever it is given, and a name that is missing is an error.
    """
    loader = ChoiceLoader([PackageLoader("nin", folder), PackageLoader("nin", "")])
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= filters
    return page.get_template(name)
