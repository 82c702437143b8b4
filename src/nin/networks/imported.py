"""How does a network that is not ours come in? By its import path, and only if the user names it."""

import hashlib
import inspect
import re
from pathlib import Path

from nin.errors import OptionError
from nin.networks.architecture import LARGEST_SIZE, Architecture, builder
from nin.text import printable

OWN_SIZE = 64  # pixels a side up to which a network that has no parameter `size` takes images as they are
IMPORTED: dict[str, Architecture] = {}  # what was imported so far


def import_network(name: str) -> None:
    """Import a network by its import path, so that its name is known from then on; leave names of ours alone.

    Importing runs code. So it is only done for a name that the user gave, and never for one that a model brought along.

    Raises:
        OptionError: it cannot be imported, is not callable, or has a `size` that no network has.

    """
    if name in IMPORTED or not is_import_path(name):
        return
    try:
        build = builder(name)
        parameters = inspect.signature(build).parameters
    except (Exception, SystemExit) as error:  # a module runs any code when it is imported
        reason = printable(str(error).partition("\n")[0])
        raise OptionError(f"cannot import the network {name}: {type(error).__name__}: {reason}") from error
    size = parameters["size"].default if "size" in parameters else inspect.Parameter.empty
    if size is inspect.Parameter.empty:
        IMPORTED[name] = Architecture(
            name, name, smallest_size=1, default_size=OWN_SIZE, sizes=(OWN_SIZE,), enlarges=False
        )
    elif isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= LARGEST_SIZE:
        IMPORTED[name] = Architecture(name, name, smallest_size=1, default_size=size, sizes=(size,))
    else:
        raise OptionError(
            f"the parameter size of {name} must have a whole number from 1 to {LARGEST_SIZE} as its default, not "
            f"{size!r}"
        )


def is_import_path(name: str) -> bool:
    """Return whether a name is written as an import path: "package.module:callable"."""
    return re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*(\.\w+)*", name) is not None


def source_hash(name: str) -> str | None:
    """Return the SHA-256 of the file of a network that is not ours; None for ours, and where it has no file."""
    if not is_import_path(name):
        return None
    try:
        return hashlib.sha256(Path(inspect.getfile(inspect.unwrap(builder(name)))).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None
