"""What should people know before they use a model? The model card: `README.md` in the model's folder."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nin.choices import MODELS
from nin.inference.model_folder import Config
from nin.networks.imported import is_import_path
from nin.networks.registry import find_architecture


def model_card(
    config: Config,
    result: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    name: str = "NiN",
    load: str = "RUN/model",
    notes: Sequence[str] = (),
    copies: str = "",
) -> str:
    """Return the model card: Markdown, headed by the fields that the Hugging Face hub reads.

    Args:
        config: the model's.
        result: what the run's `result.json` holds.
        environment: what its `environment.json` holds.
        name: the card's title.
        load: the argument of `nin.load` in the example.
        notes: more paragraphs on how it was trained.
        copies: a sentence on test images that are in training, too.

    """
    loader = PackageLoader("nin.inference", "")
    page = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    page.filters["escaped"] = escaped
    return page.get_template("model_card.md.j2").render(
        config=config,
        architecture=find_architecture(config.architecture),
        result=result,
        environment=environment,
        name=name,
        load=load,
        literal=json.dumps(load, ensure_ascii=False),
        quoted=shlex.quote(load),
        imported=is_import_path(config.architecture),
        notes=notes,
        copies=copies,
        models=MODELS,
    )


def escaped(text: str) -> str:
    """Return text as Markdown that shows it: without backslashes `__a__` would be bold, and `<b>` a tag."""
    return re.sub(r"([\\`*_\[\]<>&#|~$])", r"\\\1", text)
