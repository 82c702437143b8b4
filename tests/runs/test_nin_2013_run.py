"""Does the paper's network train, report, load and explain as NiN does, with logits that may be negative?"""

from pathlib import Path

import pytest
import torch
from runs.small import tiny_plan
from synthetic import stripes
from torch import nn

import nin
from nin.data.images import Origin, Splits
from nin.networks.forward import compute_logits
from nin.networks.nin_2013 import NiN2013
from nin.runs.run import run_plan
from nin.training.network import final_network, initial_network, trained_without_final_relu

SPLITS = Splits(
    stripes(128, seed=1, channels=3), stripes(32, seed=2, channels=3), stripes(40, seed=3, channels=3),
    Origin("Stripes", "synthetic"),
)  # fmt: skip
RECIPE = {"network": "nin-2013", "size": 28, "bfloat16": False}


def test_the_final_network_is_the_folded_variant_and_its_logits_are_not_shifted():
    plan = tiny_plan(SPLITS, **RECIPE)
    assert not plan.recipe.final_relu
    assert not trained_without_final_relu(plan.recipe), "there is none to leave out"
    variant = initial_network(plan)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in variant.modules()) == 9
    for images in SPLITS.train.images.split(32):  # norms that have seen images
        variant.train()(plan.preprocessing(images))
    final = final_network(variant, plan, SPLITS.train)
    assert repr(final) == repr(NiN2013(3, 4, dropout=0.0).eval())
    logits, expected = (compute_logits(one, SPLITS.validation.images, plan.preprocessing) for one in (final, variant))
    assert (expected < 0).any()
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_run_trains_reports_loads_and_explains(tmp_path: Path):
    plan = tiny_plan(SPLITS, **RECIPE)
    result = run_plan(plan, SPLITS, tmp_path / "run")
    assert result.ended == "finished"
    assert result.parameters == 965_828
    assert result.validation_accuracy > 0.3, "chance is 0.25"

    loaded = nin.load(tmp_path / "run" / "model", precision="float32")
    images = SPLITS.test.images
    logits = loaded.logits(images)
    assert torch.equal(logits, result.classifier.logits(images))
    assert (logits < 0).any()
    maps = loaded.class_maps(images)
    assert maps.shape == (len(images), 4, 7, 7)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), logits)
    figure = loaded.explain(images[:1])
    highest = f"{logits[0].max():.1f}"
    assert f"logit {highest}" in [axes.get_xlabel() for axes in figure.axes]

    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "NiN2013 on Stripes" in report
    assert "Below each image is the class map of the predicted class" in report
    assert "965,828 parameters" in report, "the structure is that of the run's own network, in colour"
    assert "whose mean is the class's logit" in (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
