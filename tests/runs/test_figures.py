"""Which figures do a run and an evaluation leave?"""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from runs.small import CPU, tiny_plan, tiny_splits
from synthetic import stripes

from nin.data.images import LabelledImages, Splits
from nin.inference.classifier import Classifier
from nin.metrics import evaluate_logits
from nin.networks.nin import NiN
from nin.runs.evaluate import evaluate
from nin.runs.figures import evaluation_figures, run_figures, structure_figure
from nin.runs.result import Result
from nin.runs.run import model_config

TEST = stripes(20, seed=3)


def words(figure: Figure) -> str:
    """Return all that is written in a figure."""
    return " ".join(text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))


def coloured(images: LabelledImages, channel: int) -> LabelledImages:
    """Return the images in red (0), green (1) or blue (2)."""
    pixels = torch.zeros(len(images), 3, *images.images.shape[2:], dtype=torch.uint8)
    pixels[:, channel] = images.images[:, 0]
    return LabelledImages(pixels, images.labels, images.names)


def share_of_colour(png: bytes, channel: int) -> float:
    """Return the share of a figure's pixels in which a channel is far above the other two."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    others = np.delete(pixels, channel, axis=2).max(axis=2)
    return float((pixels[..., channel] - others > 80).mean())


def evaluated_run(splits: Splits, folder: Path) -> Result:
    """Return the result of a run that ended before its first step."""
    torch.manual_seed(0)
    classifier = Classifier(NiN(splits.train.channels, 4), model_config(tiny_plan(splits), splits), device=CPU)
    validation = evaluate(classifier, splits.validation)
    test = None if splits.test is None else evaluate(classifier, splits.test)
    return Result(folder, classifier, "interrupted", (), 0.0, validation, test, 1, 1, None, 0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("with_test", [True, False])
def test_a_run_is_drawn_in_colour_and_by_the_split_that_it_is_judged_by(with_test: bool, tmp_path: Path):
    train, validation, test, _ = tiny_splits()
    assert test is not None
    splits = Splits(coloured(train, 2), coloured(validation, 1), coloured(test, 0) if with_test else None)
    drawn = run_figures(evaluated_run(splits, tmp_path), tiny_plan(splits), [], splits)
    assert share_of_colour(drawn["sample.png"], 2) > 0.2
    judged, other = (0, 1) if with_test else (1, 0)
    for name in ("prediction.png", "mistakes.png"):
        assert share_of_colour(drawn[name], judged) > 0.1
        assert share_of_colour(drawn[name], other) < 0.06, "only frames and verdicts are of this colour"


@pytest.mark.parametrize(
    ("network", "last", "parameters"),
    [("nin", "NiN", 2_015_398), ("nin-2013", "NiN2013", 966_986), ("alexnet", "NiN", 2_015_398)],
)
def test_the_structure_of_a_runs_own_network_stands_beside_the_baselines(network: str, last: str, parameters: int):
    said = words(structure_figure(network, 3, 10))
    assert said.index("AlexNet") < said.index("VGG-11") < said.index(last)
    assert f"{parameters:,} parameters" in said
    assert said.count(" parameters") == 3 + 1, "three networks and the legend"
    assert ("192 × 32 × 32" in said) == (network == "nin-2013"), "at its own size"


def test_an_evaluation_is_drawn_with_its_most_confident_mistakes_if_there_are_any():
    logits = torch.nn.functional.one_hot(TEST.labels, 4).float()
    right = evaluate_logits(logits, TEST.labels, TEST.names)
    assert set(evaluation_figures(right, TEST)) == {"confusion.png", "reliability.png"}
    labels = TEST.labels.clone()
    labels[7] = (labels[7] + 1) % 4
    one_wrong = LabelledImages(TEST.images, labels, TEST.names)
    figures = evaluation_figures(evaluate_logits(logits, labels, TEST.names), one_wrong)
    assert set(figures) == {"confusion.png", "reliability.png", "mistakes.png"}
    assert "The only mistake" in words(figures["mistakes.png"])
    assert TEST.names[labels[7]] in words(figures["mistakes.png"])


def test_images_whose_classes_come_in_another_order_are_drawn_with_their_own_names():
    logits = torch.nn.functional.one_hot(TEST.labels, 4).float()
    labels = 3 - TEST.labels
    labels[7] = (labels[7] + 1) % 4
    reversed_names = tuple(reversed(TEST.names))
    evaluation = evaluate_logits(logits, 3 - labels, TEST.names)
    figures = evaluation_figures(evaluation, LabelledImages(TEST.images, labels, reversed_names))
    assert "The only mistake" in words(figures["mistakes.png"])
    assert f"true: {reversed_names[labels[7]]}\n" in words(figures["mistakes.png"])
