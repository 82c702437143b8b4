"""What do tests of runs share? Runs that are not drawn, and `nin.train` on a small data set."""

import pytest
from runs.small import blank_figures, tiny_splits

from nin.data.images import Splits
from nin.data.load import NAMED


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs leave blank figures."""
    monkeypatch.setattr("nin.runs.run.run_figures", blank_figures)


@pytest.fixture
def small_data(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> Splits:
    """Let `nin.train` find a small data set in place of Fashion-MNIST, and leave blank figures."""
    splits = tiny_splits()
    monkeypatch.setitem(NAMED, "fashion-mnist", lambda on_progress: splits)
    return splits
