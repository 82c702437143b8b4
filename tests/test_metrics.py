"""Are accuracy, interval, loss, confusion and calibration those of a hand count, and the temperature the best one?"""

import json
import math
from dataclasses import asdict, fields

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from program_around import SETTINGS, program_around

from nin.metrics import (
    calibration,
    classes_to_list,
    confusion_matrix,
    evaluate_logits,
    fit_temperature,
    most_confident_mistakes,
    top1_accuracy,
    wilson_interval,
)

LABELS = ("shirt", "shoe", "bag")


def test_an_evaluation_is_that_of_a_hand_count():
    logits = torch.tensor([[2.0, 1, 0], [0, 3, 1], [0, 3, 1], [1, 0, 0]])
    evaluation = evaluate_logits(logits, torch.tensor([0, 1, 2, 0]), LABELS)
    assert (evaluation.images, evaluation.labels) == (4, LABELS)
    assert evaluation.accuracy == 0.75
    assert (evaluation.accuracy_low, evaluation.accuracy_high) == wilson_interval(3, 4)
    assert evaluation.confusion == ((2, 0, 0), (0, 1, 0), (0, 1, 0))
    losses = [
        math.log(sum(math.exp(v) for v in row)) - row[label]
        for row, label in zip(logits.tolist(), [0, 1, 2, 0], strict=True)
    ]
    assert evaluation.loss == pytest.approx(sum(losses) / 4)
    torch.testing.assert_close(evaluation.probabilities, logits.softmax(dim=1))
    assert evaluation.calibration == calibration(logits.softmax(dim=1), torch.tensor([0, 1, 2, 0]))


def test_top1_accuracy_and_confusion_matrix_by_hand():
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [2.0, 3.0]])
    targets = torch.tensor([1, 1, 0, 0])
    assert top1_accuracy(logits, targets) == 0.5
    assert confusion_matrix(logits, targets).tolist() == [[1, 1], [1, 1]]


def test_wilson_interval_against_published_figures():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_accuracy_and_stays_within_0_and_1(counts: tuple[int, int]):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


def test_recall_and_precision_by_hand():
    pairs = [(0, 0)] * 6 + [(0, 1)] * 2 + [(1, 0)] + [(1, 1)] * 3  # (true, predicted)
    true, predicted = torch.tensor(pairs).T
    evaluation = evaluate_logits(F.one_hot(predicted, 3).float(), true, LABELS)
    assert evaluation.recall == (6 / 8, 3 / 4, None)  # the third class has no images
    assert evaluation.images_per_class == (8, 4, 0)
    assert evaluation.precision == (6 / 7, 3 / 5, None)  # and was never predicted


def test_balanced_accuracy_counts_every_class_that_has_images_the_same():
    true = torch.tensor([0] * 90 + [1] * 10)
    predicted = torch.tensor([0] * 90 + [1] * 3 + [0] * 7)
    evaluation = evaluate_logits(F.one_hot(predicted, 3).float(), true, LABELS)
    assert evaluation.accuracy == 0.93
    assert evaluation.balanced_accuracy == pytest.approx((1 + 0.3) / 2)
    equal = evaluate_logits(F.one_hot(predicted[80:], 2).float(), true[80:], LABELS[:2])
    assert equal.balanced_accuracy == pytest.approx(equal.accuracy), "where classes are equal in size"


def test_mistakes_come_most_frequent_first():
    pairs = torch.tensor([(0, 1)] * 2 + [(2, 0)] * 3 + [(1, 1)] * 9 + [(2, 1)])
    evaluation = evaluate_logits(F.one_hot(pairs[:, 1], 3).float(), pairs[:, 0], LABELS)
    assert evaluation.mistakes() == [(2, 0, 3), (0, 1, 2), (2, 1, 1)]


def test_a_confusion_matrix_of_many_classes_is_written_as_its_mistakes():
    true, predicted = torch.arange(101), torch.arange(101)
    predicted[[3, 7]] = torch.tensor([5, 6])
    written = evaluate_logits(F.one_hot(predicted, 101).float(), true, tuple(map(str, range(101)))).to_json()
    assert written["confusion"] is None
    assert written["mistakes"] == [(3, 5, 1), (7, 6, 1)]
    assert written["images_per_class"] == (1,) * 101
    few = evaluate_logits(F.one_hot(predicted[8:108] - 8, 100).float(), true[8:] - 8, tuple(map(str, range(100))))
    assert few.to_json()["confusion"] == few.confusion


def test_of_many_classes_those_of_lowest_recall_are_listed_and_those_without_images_last():
    recall = [0.5, None, 0.25, 1.0]
    assert classes_to_list(recall) == [0, 1, 2, 3]
    assert classes_to_list([None] * 30 + recall + [0.9] * 30)[:4] == [32, 30, 34, 35]
    assert len(classes_to_list([0.5] * 51)) == 20


def test_an_evaluation_as_json_has_everything_but_the_single_images():
    evaluation = evaluate_logits(torch.tensor([[2.0, 1, 0], [0, 3, 1]]), torch.tensor([0, 0]), LABELS)
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    own = {field.name for field in fields(evaluation)} - {"probabilities"}
    assert content.keys() == own | {"mistakes", "images_per_class"}
    assert content["precision"] == [1.0, 0.0, None]
    assert content["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert (content["mistakes"], content["images_per_class"]) == ([[0, 1, 1]], [2, 0, 0])
    assert content["calibration"] == json.loads(json.dumps(asdict(evaluation.calibration)))


def test_the_mistakes_come_most_confident_first_and_only_mistakes_do():
    probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.2, 0.8]])
    labels = torch.tensor([0, 1, 0, 1, 0])
    assert most_confident_mistakes(probabilities, labels, 3).tolist() == [2, 4, 3]
    assert most_confident_mistakes(probabilities, labels, 9).tolist() == [2, 4, 3, 1]
    assert most_confident_mistakes(probabilities, torch.tensor([0, 0, 1, 0, 1]), 9).tolist() == []


# --- Calibration ---


def drawn(temperature: float, images: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits, and labels as often as softmax(logits / temperature) says."""
    generator = torch.Generator().manual_seed(0)
    found = temperature * 2 * torch.randn(images, 10, generator=generator)
    return found, torch.multinomial((found / temperature).softmax(dim=1), 1, generator=generator).flatten()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.5, 9.0])
def test_a_known_temperature_is_found_and_mends_the_confidence(temperature: float):
    found, labels = drawn(temperature)
    fitted = fit_temperature(found, labels)
    assert fitted == pytest.approx(temperature, rel=0.03)
    least = F.cross_entropy(found / fitted, labels)
    assert least < F.cross_entropy(found / (1.01 * fitted), labels)
    assert least < F.cross_entropy(found / (0.99 * fitted), labels)
    assert calibration((found / fitted).softmax(dim=1), labels).error < 0.02
    if temperature != 1:
        assert calibration(found.softmax(dim=1), labels).error > 0.1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_logits_without_a_mistake_get_the_lowest_temperature_and_with_nothing_else_the_highest(scale: float):
    found, _ = drawn(scale, 100)
    assert fit_temperature(found, found.argmax(dim=1)) == pytest.approx(1 / 20)
    assert fit_temperature(found, found.argmin(dim=1)) == pytest.approx(20)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, math.nan, math.inf])
def test_logits_that_tell_nothing_keep_their_temperature(value: float):
    assert fit_temperature(torch.full((5, 3), value), torch.tensor([0, 1, 2, 0, 1])) == 1


def test_calibration_by_hand():
    sure = torch.tensor([0.9, 0.88, 0.6, 1.0])
    result = calibration(torch.stack((sure, 1 - sure), dim=1), torch.tensor([0, 1, 0, 0]))
    # Of fifteenths: 0.6 is 9 and belongs below, 0.88 and 0.9 are between 13 and 14, and 1 is 15.
    assert result.counts == (0,) * 8 + (1,) + (0,) * 4 + (2, 1)
    assert result.confidence[:8] == result.accuracy[:8] == (None,) * 8
    assert (result.accuracy[8], *result.accuracy[13:]) == (1, 0.5, 1)
    assert (result.confidence[8], *result.confidence[13:]) == pytest.approx((0.6, 0.89, 1))
    assert result.error == pytest.approx((1 * 0.4 + 2 * 0.39 + 1 * 0) / 4)
    assert json.loads(json.dumps(asdict(result), allow_nan=False))["accuracy"][0] is None


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_program_around_change_no_number(setting: str):
    logits, targets = drawn(2.0, 500)
    labels = tuple("abcdefghij")
    expected, temperature = evaluate_logits(logits, targets, labels).to_json(), fit_temperature(logits, targets)
    with program_around(setting):
        assert evaluate_logits(logits, targets, labels).to_json() == expected
        assert fit_temperature(logits, targets) == temperature
