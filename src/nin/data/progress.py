"""How does whoever waits learn how far the reading is? The callback that readers of data take."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much; 0 for a total that is not known yet."""


def no_progress(what: str, done: int, total: int) -> None:
    """Do nothing."""
