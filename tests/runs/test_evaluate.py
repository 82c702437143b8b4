"""Does an evaluation say what the classifier's own predictions say?"""

import json
import time

import pytest
import torch
from synthetic import small_splits, stripes

from nin.data.images import LabelledImages
from nin.data.preprocessing import Preprocessing
from nin.errors import ModelError, NinError
from nin.inference.classifier import Classifier
from nin.inference.model_folder import Config
from nin.networks.initialisation import initialise
from nin.networks.nin import NiN
from nin.runs import evaluate as module
from nin.runs.evaluate import evaluate, evaluated_split, images_per_second

TEST = stripes(120, seed=3)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = NiN(1, 4)
    initialise(network, "he")
    config = Config("nin", Preprocessing(67, (0.4,), (0.3,)), 28, TEST.names, temperature=0.5)
    return Classifier(network, config, device=torch.device("cpu"), precision="float32")


def test_every_figure_follows_from_the_predictions(classifier: Classifier):
    found = evaluate(classifier, TEST)
    predicted = [TEST.names.index(one.label) for one in classifier.predict(TEST.images)]
    right = sum(guess == label for guess, label in zip(predicted, TEST.labels.tolist(), strict=True))
    assert found.accuracy == right / 120
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    assert sum(map(sum, found.confusion)) == found.images == sum(found.calibration.counts) == 120
    shares = classifier.probabilities(TEST.images)
    assert torch.allclose(found.probabilities, shares, atol=1e-6)
    assert found.loss == pytest.approx(-shares[torch.arange(120), TEST.labels].log().mean().item(), rel=1e-4)
    for number in range(4):
        of_class = [guess for guess, label in zip(predicted, TEST.labels.tolist(), strict=True) if label == number]
        assert found.recall[number] == pytest.approx(of_class.count(number) / len(of_class))
    assert set(json.loads(json.dumps(found.to_json()))) == {
        "images", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "loss", "labels", "precision",
        "recall", "confusion", "mistakes", "images_per_class", "calibration",
    }  # fmt: skip


def test_a_classifier_that_predicts_in_bf16_is_evaluated_in_float32(classifier: Classifier):
    fast = Classifier(classifier.network, classifier.config, device=classifier.device, precision="bfloat16")
    assert torch.equal(evaluate(fast, TEST).probabilities, evaluate(classifier, TEST).probabilities)
    assert fast.precision == "bfloat16"


def test_classes_are_matched_by_name_in_whatever_order_they_come(classifier: Classifier):
    names = tuple(reversed(TEST.names))
    found = evaluate(classifier, LabelledImages(TEST.images, 3 - TEST.labels, names))
    assert found.to_json() == evaluate(classifier, TEST).to_json()


def test_images_may_be_of_some_of_the_classes_only(classifier: Classifier):
    some = TEST.subset(TEST.labels >= 2)
    found = evaluate(classifier, LabelledImages(some.images, some.labels - 2, TEST.names[2:]))
    assert found.to_json() == evaluate(classifier, some).to_json()
    assert found.labels == TEST.names
    assert found.recall[:2] == (None, None)
    assert found.balanced_accuracy == pytest.approx(sum(share for share in found.recall if share is not None) / 2)


def test_images_of_other_classes_or_channels_are_refused(classifier: Classifier):
    names = ("wide level", "a", "b\n", "narrow level")
    with pytest.raises(ModelError, match=r"does not know a, b\\n: its classes are narrow upright, .*its own classes"):
        evaluate(classifier, LabelledImages(TEST.images, TEST.labels, names))
    many = LabelledImages(TEST.images, TEST.labels, tuple(f"class {number}" for number in range(1000)))
    with pytest.raises(ModelError, match=r"class 8, class 9 and 990 more: its classes"):
        evaluate(classifier, many)
    with pytest.raises(NinError, match=r"\(images, 1, height, width\)"):
        evaluate(classifier, stripes(5, seed=1, channels=3))


def test_without_test_images_the_validation_images_are_evaluated():
    splits = small_splits()
    assert evaluated_split(splits) == ("test", splits.test)
    assert evaluated_split(splits._replace(test=None)) == ("validation", splits.validation)


def test_the_speed_is_that_of_predicting(classifier: Classifier, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SECONDS_OF_TIMING", 0)
    monkeypatch.setattr(classifier, "predict", lambda images: time.sleep(0.02))
    assert 0 < images_per_second(classifier, TEST.images) <= 120 / 0.02
