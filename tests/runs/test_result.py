"""Is a run judged by its test images, and by the validation images where there are none?"""

import json
from pathlib import Path

import torch
from inference.untrained import classifier

from nin.metrics import Evaluation, evaluate_logits
from nin.runs.result import Result

TEST = evaluate_logits(torch.eye(3), torch.tensor([0, 1, 1]), ("a", "b", "c"))
VALIDATION = evaluate_logits(torch.eye(3)[:2], torch.tensor([0, 1]), ("a", "b", "c"))
OF_A_SPLIT = ("images", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "loss")


def result(test: Evaluation | None) -> Result:
    return Result(Path("run"), classifier(), "finished", (), 2.0, VALIDATION, test, 5, 7, None, 1.0, 2.0)


def test_a_run_is_judged_by_its_test_images():
    found = result(TEST)
    assert (found.evaluated, found.evaluation, found.test_accuracy) == ("test", TEST, 2 / 3)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["evaluated"] == "test"
    assert written["calibration_error"] == TEST.calibration.error
    for name in OF_A_SPLIT:
        assert written[f"test_{name}"] == getattr(TEST, name)
        assert written[f"validation_{name}"] == getattr(VALIDATION, name)


def test_without_test_images_it_is_judged_by_its_validation_images_and_has_no_figures_of_a_test():
    found = result(None)
    assert (found.evaluated, found.evaluation, found.test_accuracy) == ("validation", VALIDATION, None)
    written = found.to_json()
    assert (written["evaluated"], written["validation_accuracy"]) == ("validation", 1)
    assert written["calibration_error"] == VALIDATION.calibration.error
    assert [written[f"test_{name}"] for name in OF_A_SPLIT] == [None] * len(OF_A_SPLIT)
