"""How is a plan read from its file? Of this version, or of an earlier one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nin.errors import OptionError
from nin.files import read_json
from nin.training.named_recipes import RECIPES
from nin.training.plan import Plan


def read_plan(path: Path) -> Plan:
    """Read a `plan.json`, of this version or of an earlier checkout.

    Raises:
        FileError: it cannot be read, or is not JSON.
        OptionError: it is not a plan.

    """
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise OptionError(f"{path}: a plan is a JSON object; name the plan.json of a run")
    try:
        return msgspec.convert(_upgrade(content), Plan)
    except msgspec.ValidationError as error:
        raise OptionError(f"{path}: {error}; name the plan.json of a run") from error
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:  # in what is upgraded
        raise OptionError(f"{path}: a field is missing or damaged ({error}); name the plan.json of a run") from error


def _upgrade(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename what checkouts up to 6c8ffc7 called otherwise; OptionError for what they had and this version has not."""
    if "steps_by_epoch" not in content or not isinstance(content.get("recipe"), Mapping):
        return content
    old, recipe = dict(content), dict(content["recipe"])
    sizes = {size for size, _ in recipe.pop("sizes")}
    if len(sizes) > 1 or recipe.pop("erase", 0):
        raise OptionError("it is of an older version, whose image sizes or erasing are no longer supported")
    recipe["name"] = {"seed": "d2l"}.get(recipe["name"], recipe["name"])
    recipe |= {"size": sizes.pop(), "muon_learning_rate": recipe.pop("muon")}
    if recipe["name"] in RECIPES:
        recipe["max_epochs"] = RECIPES[recipe["name"]]().max_epochs
    old.pop("sizes")
    return {
        "recipe": recipe,
        "preprocessing": {"size": recipe["size"], "mean": old.pop("mean"), "std": old.pop("std")},
        "num_classes": old.pop("classes"),
        "steps_per_interval": old.pop("steps_by_epoch"),
        **{key: value for key, value in old.items() if key != "recipe"},
    }
