"""Does `nin evaluate` print and write what the model is worth?"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from app.program import ENVIRONMENT, Nin
from data.idx_files import any_idx, write_files
from msgspec.structs import replace

from nin.app.evaluate import print_evaluation
from nin.data.images import Splits
from nin.data.load import load_dataset
from nin.inference.classifier import Classifier
from nin.inference.find_model import find_model
from nin.inference.load import load
from nin.metrics import evaluate_logits
from nin.networks.nin import NiN
from nin.runs.evaluate import evaluate

OUT = {"confusion.png", "evaluation.json", "mistakes.png", "reliability.png"}
FIELDS = {
    "data", "split", "images", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "loss", "labels",
    "precision", "recall", "confusion", "mistakes", "images_per_class", "calibration", "temperature",
    "images_per_second", "precision_of_predict",
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, small_data: Splits, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a model for the small data set."""
    monkeypatch.setattr("nin.runs.evaluate.SECONDS_OF_TIMING", 0)
    torch.manual_seed(0)
    config = replace(load("fashion-mnist-fast", device="cpu").config, labels=small_data.train.names, temperature=1.25)
    Classifier(NiN(1, 4), config, device=torch.device("cpu")).save(tmp_path / "model")
    return tmp_path / "model"


def test_the_evaluation_is_printed_for_people(nin: Nin, model: Path, small_data: Splits):
    answer = nin("evaluate", "--model", model)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert small_data.test is not None
    found = evaluate(load(model), small_data.test)
    for said in (
        f"{found.accuracy:.4f} on 40 test images of Stripes, in float32; 95 % interval",
        f"balanced accuracy          {found.balanced_accuracy:.4f}, the mean recall of the classes",
        f"{found.loss:.4f} nats, at temperature 1.250",
        f"expected calibration error {found.calibration.error:.4f} in 15 bins",
        "images/s, in batches of 256",
        "most often mistaken for",
    ):
        assert said in answer.stdout
    for label, images in zip(found.labels, found.images_per_class, strict=True):
        assert re.search(rf"{label} +. {images} ", answer.stdout)


def test_machine_readable_output_is_that_of_the_written_evaluation(
    nin: Nin, model: Path, small_data: Splits, tmp_path: Path
):
    answer = nin("evaluate", "--model", model, "--json", "--out", tmp_path / "out")
    assert (answer.returncode, answer.stderr) == (0, "")
    printed = json.loads(answer.stdout)
    assert set(printed) == FIELDS
    assert (printed["data"], printed["split"]) == ("Stripes", "test")
    assert printed == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert small_data.test is not None
    expected = json.loads(json.dumps(evaluate(load(model), small_data.test).to_json()))
    assert {name: printed[name] for name in expected} == expected
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUT


def test_of_many_classes_the_worst_are_printed(capsys: pytest.CaptureFixture[str]):
    labels = torch.arange(600) % 60
    predicted = torch.where(labels == 41, 7, labels)
    predicted[7] = 8
    names = tuple(f"class {number}" for number in range(61))
    found = evaluate_logits(torch.nn.functional.one_hot(predicted, 61).float(), labels, names)
    print_evaluation("mine", load("fashion-mnist-fast", device="cpu"), "validation images of photos", found, 1000.0)
    printed = capsys.readouterr().out
    assert "on 600 validation images of photos, in float32" in printed
    assert "the mean recall of the 60 classes that have images" in printed
    assert "The 20 of 61 classes with the lowest recall; --json has all:" in printed
    rows = [line for line in printed.splitlines() if re.search(r"class \d", line)]
    assert len(rows) == 20
    assert re.search(r"class 41 +. 10 +. – +. 0\.000 +. class 7, 10 times", rows[0])
    assert re.search(r"class 7 +. 10 +. 0\.474 +. 0\.900 +. class 8, 1 time ", rows[1])


def test_an_existing_folder_is_refused_before_anything_is_computed(nin: Nin, tmp_path: Path):
    answer = nin("evaluate", "--model", "nowhere", "--out", tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == f"nin: {tmp_path} is there already: name a new folder, or remove it first\n"


def card_of(model: str) -> tuple[float, list[float], float]:
    """Return what a model card says: test accuracy, its interval, and the calibration error."""
    card = (find_model(model) / "README.md").read_text(encoding="utf-8")
    said = re.search(r"test accuracy \| ([\d.]+), 95 % interval ([\d.]+) to ([\d.]+) on 10,000", card)
    error = re.search(r"expected calibration error \| ([\d.]+)", card)
    assert said
    assert error
    return float(said[1]), [float(said[2]), float(said[3])], float(error[1])


@pytest.mark.slow
def test_the_fast_model_of_the_package_is_as_good_as_its_card_says(nin: Nin, fashion_mnist_folder: str, tmp_path: Path):
    model = "fashion-mnist-fast"
    answer = nin("evaluate", fashion_mnist_folder, "--model", model, "--json", "--out", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    accuracy, interval, error = card_of(model)
    # Another processor may round a logit the other way.
    assert [found[name] for name in ("accuracy", "accuracy_low", "accuracy_high")] == pytest.approx(
        [accuracy, *interval], abs=3e-4
    )
    assert found["calibration"]["error"] == pytest.approx(error, abs=1e-3)
    assert found["accuracy"] >= 0.94
    assert found["images"] == 10_000
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUT


@pytest.mark.slow
@pytest.mark.parametrize("model", ["fashion-mnist", "fashion-mnist-maps"])
def test_the_larger_models_of_the_package_are_as_good_as_their_cards_say(model: str, fashion_mnist_folder: str):
    """On a tenth of the test images, which takes a tenth of the time."""
    test = load_dataset(fashion_mnist_folder).test.first(1000)
    found = evaluate(load(model), test)
    accuracy, _, _ = card_of(model)
    assert found.accuracy == pytest.approx(accuracy, abs=0.014)  # two standard errors


@pytest.mark.slow
@pytest.mark.skipif(
    not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("unshare")), reason="needs root, to mount"
)
@pytest.mark.parametrize(
    "command", ["summary", "evaluate FOLDER --json --model fashion-mnist-fast"], ids=["summary", "evaluate"]
)
def test_where_nothing_can_be_written_what_writes_nothing_works(command: str, tmp_path: Path):
    labels = load("fashion-mnist-fast").labels
    content = {
        "images-idx3": any_idx(np.zeros((30, 28, 28), np.uint8)),
        "labels-idx1": any_idx(np.arange(30, dtype=np.uint8) % 10),
    }
    contents = {f"{part}-{name}-ubyte": one for part in ("train", "t10k") for name, one in content.items()}
    folder = write_files(tmp_path, contents, suffix="")
    (folder / "classes.txt").write_text("\n".join(labels))
    read_only = """
mount --make-rprivate / && mount --bind / / && cd / || exit 77
for folder in / /tmp /var/tmp /dev/shm; do
  [ $folder = / ] || mount --bind $folder $folder; mount -o remount,bind,ro $folder || exit 77
done
touch /tmp/probe 2> /dev/null && exit 77
"$@"
"""
    arguments = [str(folder) if part == "FOLDER" else part for part in command.split()]
    # Without dill, which comes with `datasets`: torch imports it, and it cannot be without a temporary folder.
    nin = "import sys; sys.modules['dill'] = None; from nin.app.cli import main; main()"
    program = ["unshare", "-m", "bash", "-c", read_only, "bash", sys.executable, "-c", nin, *arguments]
    answer = subprocess.run(program, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if answer.returncode == 77 or "unshare" in answer.stderr:
        pytest.skip("this machine lets nobody mount")
    assert (answer.returncode, answer.stderr) == (0, "")
    if "--json" in command:
        assert json.loads(answer.stdout)["images"] == 30
