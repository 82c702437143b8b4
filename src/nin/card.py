"""What should one know before using a model? The model card: `README.md` in a model's folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nin.model_folder import Config


def card(
    config: Config,
    result: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    name: str = "NiN",
    load: str = "RUN/model",
    notes: Sequence[str] = (),
) -> str:
    """Write the model card, in Markdown with the fields at its head that the Hugging Face hub reads.

    Args:
        config: the model's.
        result: what the run's `result.json` holds.
        environment: what its `environment.json` holds.
        name: the card's title.
        load: what `nin.load` is called with in the example.
        notes: more paragraphs on how it was trained.

    """
    loader = PackageLoader("nin", "")
    page = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    return page.get_template("card.md.j2").render(
        config=config, result=result, environment=environment, name=name, load=load, notes=notes
    )
