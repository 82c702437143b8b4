"""Does an assessment say what the classifier's own answers say?"""

import json
from pathlib import Path

import pytest
import torch
from conftest import stripes

from nin.assessment import assess, write
from nin.classifier import Classifier
from nin.data import LabelledImages
from nin.errors import ModelError, RunError
from nin.initialisation import initialise
from nin.model_folder import Config
from nin.network import NiN

TEST = stripes(200, seed=3)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = NiN(1, 4)
    initialise(network, "he")
    config = Config("nin", 1, 4, 67, 28, (0.4,), (0.3,), TEST.names, temperature=0.5)
    return Classifier(network, config, device=torch.device("cpu"), precision="float32")


def test_every_figure_follows_from_the_predictions(classifier: Classifier, tmp_path: Path):
    found = assess(classifier, TEST)
    predicted = [TEST.names.index(one.label) for one in classifier.predict(TEST.images)]
    right = sum(guess == label for guess, label in zip(predicted, TEST.labels.tolist(), strict=True))
    assert found.accuracy == right / 200
    assert found.low < found.accuracy < found.high
    assert sum(map(sum, found.confusion)) == found.pictures == sum(found.calibration.counts) == 200
    shares = classifier.probabilities(TEST.images)
    assert found.loss == pytest.approx(-shares[torch.arange(200), TEST.labels].log().mean().item(), rel=1e-4)
    for number in range(4):
        of_class = [guess for guess, label in zip(predicted, TEST.labels.tolist(), strict=True) if label == number]
        assert found.recall[number] == pytest.approx(of_class.count(number) / len(of_class))
    assert found.images_per_second > 0

    write(found, TEST, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "confusion.png", "evaluation.json", "mistakes.png", "reliability.png",
    }  # fmt: skip
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(found.to_json()))
    with pytest.raises(RunError, match="is there already"):
        write(found, TEST, tmp_path / "out")


def test_pictures_of_other_classes_are_refused(classifier: Classifier):
    other = LabelledImages(TEST.images, TEST.labels, ("a", "b", "c", "d"))
    with pytest.raises(ModelError, match="its own classes"):
        assess(classifier, other)


def test_without_a_mistake_there_is_no_figure_of_them(classifier: Classifier, tmp_path: Path):
    predicted = torch.tensor([TEST.names.index(one.label) for one in classifier.predict(TEST.images)])
    agreed = LabelledImages(TEST.images, predicted, TEST.names)
    write(assess(classifier, agreed), agreed, tmp_path / "out")
    assert not (tmp_path / "out" / "mistakes.png").exists()
