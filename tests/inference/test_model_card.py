"""Does a model card hold the figures of its own run, in a form that the hub reads?"""

import pytest
import yaml

from nin.card import card
from nin.model_folder import Config

CONFIG = Config("nin", 1, 2, 67, 28, (0.3,), (0.4,), ("shirt", "shoe"), temperature=1.25)
RESULT = {
    "parameters": 1_992_166,
    "test_accuracy": 0.9412,
    "test_accuracy_low": 0.9364,
    "test_accuracy_high": 0.9457,
    "test_loss": 0.1834,
    "calibration_error": 0.0123,
    "confusion": [[4900, 100], [200, 4800]],
    "seconds": 3000.0,
}
ENVIRONMENT = {
    "command": "nin train --recipe long", "nin": "0.1.0", "torch": "2.13.0", "processor": "a processor", "threads": 2,
    "started": "2026-11-22T10:00:00+00:00",
}  # fmt: skip


def test_the_card_says_what_was_measured_and_how():
    page = card(CONFIG, RESULT, ENVIRONMENT, load="fashion-mnist", notes=["Over three seeds.", "From one run."])
    for said in (
        "0.9412", "0.9364 to 0.9457", "10,000 pictures", "1.250", "0.0123", "1,992,166", "shirt, shoe", "67x67",
        'nin.load("fashion-mnist")', "Over three seeds.\n\nFrom one run.", "nin train --recipe long", "50.0 minutes",
    ):  # fmt: skip
        assert said in page
    assert "None" not in page


def test_its_head_is_what_the_hub_reads():
    _, head, _ = card(CONFIG, RESULT, ENVIRONMENT).split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-classification"


def test_a_missing_figure_is_an_error_and_no_blank():
    with pytest.raises(Exception, match="test_loss"):
        card(CONFIG, {key: value for key, value in RESULT.items() if key != "test_loss"}, ENVIRONMENT)
