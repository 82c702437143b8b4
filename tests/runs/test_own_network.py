"""Can a network be added with one file and one line, and is one that could not be saved refused in time?"""

from pathlib import Path

import pytest
import torch
from runs.small import tiny_plan, tiny_splits

import nin
from nin.errors import ModelError
from nin.networks.architecture import Architecture, CellGrid
from nin.networks.registry import NETWORKS
from nin.runs.run import run_plan

SPLITS = tiny_splits()
CELLS = CellGrid(1, start=0.5, receptive_field=3, pool="avg", single_up_to=3)
OWN = Architecture("Own", "runs.own_network:BiasFree", 8, 28, (28,), cells=CELLS)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "own", OWN)


@pytest.mark.slow
def test_a_network_of_ones_own_trains_reports_loads_and_explains(tmp_path: Path):
    plan = tiny_plan(SPLITS, network="own", size=28, batch_norm=False, learning_rate=0.2, bfloat16=False)
    result = run_plan(plan, SPLITS, tmp_path / "run")
    loaded = nin.load(tmp_path / "run" / "model", precision="float32")
    images = SPLITS.validation.images
    assert torch.equal(loaded.logits(images), result.classifier.logits(images))
    assert (loaded.logits(images) < 0).any(), "nothing was shifted above a ReLU that it does not have"
    assert loaded.class_maps(images).shape == (len(images), 4, 26, 26)
    assert loaded.explain(images[:2]).axes
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "AlexNet, VGG-11 and Own side by side" in report
    assert "112 parameters" in report, "the structure is that of the run's own network"


def test_a_network_that_could_not_be_saved_is_refused_before_anything_is_made(tmp_path: Path):
    plan = tiny_plan(SPLITS, network="own", size=28, batch_norm=True)  # folding would add a bias to its last layer
    with pytest.raises(ModelError, match="not the own of its config"):
        run_plan(plan, SPLITS, tmp_path / "run")
    assert not (tmp_path / "run").exists()
