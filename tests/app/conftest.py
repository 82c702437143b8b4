"""What do tests of the command line share? A way to call it, and small data to train on."""

import pytest
from app.program import Nin
from runs.small import blank_figures, tiny_splits

from nin.data.images import Splits
from nin.data.load import NAMED


@pytest.fixture
def nin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Nin:
    """Return a function that carries out a command line in this process."""
    return Nin(capsys, monkeypatch)


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> Splits:
    """Let commands find a small data set in place of Fashion-MNIST, and runs leave blank figures."""
    splits = tiny_splits()
    monkeypatch.setitem(NAMED, "fashion-mnist", lambda on_progress: splits)
    monkeypatch.setattr("nin.runs.run.run_figures", blank_figures)
    return splits
