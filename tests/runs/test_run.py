"""Does a plan become a whole run folder, whatever way the training ends?"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from runs.small import files, tiny_plan, tiny_splits, weights
from safetensors.torch import load_file
from synthetic import stripes
from torch.nn.functional import cross_entropy

import nin
from nin.data.images import LabelledImages, Splits
from nin.data.preprocessing import Preprocessing
from nin.device import usable_threads
from nin.errors import DataError, OptionError, RunError
from nin.networks.nin import NiN
from nin.runs.folder import lock, read_state
from nin.runs.result import Result
from nin.runs.run import run_plan
from nin.training.deadline import rescale
from nin.training.events import Event, Step
from nin.training.fit import Training
from nin.training.plan import Plan
from nin.training.plan_file import read_plan

SPLITS = tiny_splits()
TESTS = Path(__file__).parents[1]
FILES = {
    "environment.json",
    "evaluation.json",
    "figures/confusion.png",
    "figures/loss.png",
    "figures/mistakes.png",
    "figures/prediction.png",
    "figures/reliability.png",
    "figures/sample.png",
    "figures/structure.svg",
    "metrics.jsonl",
    "model/README.md",
    "model/config.json",
    "model/model.safetensors",
    "plan.json",
    "report.html",
    "result.json",
    "split.json",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Make a run that ends by itself."""
    return run_plan(tiny_plan(SPLITS), SPLITS, tmp_path_factory.mktemp("runs") / "finished")


def read(folder: Path, name: str) -> dict[str, object]:
    return json.loads((folder / name).read_text())


def test_a_run_leaves_its_whole_folder(finished: Result):
    assert files(finished.folder) == FILES
    lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(4, 1), (8, 2)]
    assert list(lines[0]) == [
        "step", "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images_per_second",
        "seconds",
    ]  # fmt: skip
    for figure in finished.folder.glob("figures/*.png"):
        with Image.open(figure) as image:
            image.load()


def test_result_and_evaluation_are_those_of_the_saved_network_computed_another_way(finished: Result):
    config = read(finished.folder, "model/config.json")
    preprocessing = Preprocessing(67, *(tuple(config["preprocessing"][name]) for name in ("mean", "std")))
    network = NiN(1, 4).eval()
    network.load_state_dict(load_file(finished.folder / "model" / "model.safetensors"), strict=True)
    with torch.inference_mode():
        logits = network(preprocessing(SPLITS.test.images)) / config["temperature"]
    labels = SPLITS.test.labels
    predicted = logits.argmax(1)
    accuracy = (predicted == labels).double().mean().item()
    confusion = [[int(((labels == true) & (predicted == guess)).sum()) for guess in range(4)] for true in range(4)]
    loss = cross_entropy(logits.double(), labels).item()

    result, evaluation = read(finished.folder, "result.json"), read(finished.folder, "evaluation.json")
    assert result["test_accuracy"] == evaluation["accuracy"] == finished.test_accuracy == accuracy
    assert result["test_images"] == evaluation["images"] == 40
    assert evaluation["confusion"] == confusion
    assert result["test_loss"] == evaluation["loss"] == pytest.approx(loss, rel=1e-4)
    assert result["test_accuracy_low"] == evaluation["accuracy_low"] < accuracy < evaluation["accuracy_high"]
    assert result["calibration_error"] == evaluation["calibration"]["error"]
    assert evaluation["recall"] == pytest.approx([row[i] / sum(row) for i, row in enumerate(confusion)])
    assert result["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert result["temperature"] == config["temperature"] == finished.classifier.config.temperature
    assert (result["ended"], result["troubles"], result["epochs"]) == ("finished", [], 2)
    assert config["labels"] == evaluation["labels"] == list(SPLITS.test.names)


def test_evaluating_the_runs_classifier_gives_the_runs_own_figures(finished: Result):
    for classifier in (finished.classifier, nin.load(finished.folder / "model", device="cpu")):
        found = nin.evaluate(classifier, SPLITS.test)
        assert found.to_json() == finished.test.to_json()
        assert torch.equal(found.probabilities, finished.test.probabilities)
    assert nin.evaluate(finished.classifier, SPLITS.validation).accuracy == finished.validation_accuracy


def test_the_report_shows_every_figure_of_the_run(finished: Result):
    page = (finished.folder / "report.html").read_text()
    assert page.count("<img ") == len(list(finished.folder.glob("figures/*.png"))) == 6
    for said in ("Reliability diagram", "classified wrongly with the highest confidence", "Loss against epoch"):
        assert said in page
    assert f"{finished.test_accuracy:.3f}" in page


def test_the_plan_is_on_the_disk_before_the_first_step(tmp_path: Path):
    def look(training: Training, folder: Path) -> None:
        assert training.step == 0
        assert read_plan(folder / "plan.json") == training.plan
        assert files(folder) == {"plan.json", "split.json", "environment.json"}
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_plan(tiny_plan(SPLITS), SPLITS, tmp_path / "run", on_start=look)


def test_an_existing_run_is_not_touched(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        run_plan(tiny_plan(SPLITS), SPLITS, tmp_path)
    assert files(tmp_path) == {"notes.txt"}


def test_two_processes_do_not_work_on_one_run(tmp_path: Path):
    def resume(training: Training, folder: Path) -> None:
        with pytest.raises(RunError, match="still running"):
            run_plan(training.plan, SPLITS, folder, resume=True, state=read_state(folder))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_plan(tiny_plan(SPLITS), SPLITS, tmp_path / "run", on_start=resume)
    with lock(tmp_path / "run"):
        pass  # it is free again


def test_a_plan_for_other_images_is_refused_before_anything_is_made(tmp_path: Path):
    plan = tiny_plan(SPLITS)
    colour = replace(plan.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
    for other, said in ((replace(plan, num_classes=10), "classes"), (replace(plan, preprocessing=colour), "channels")):
        with pytest.raises(OptionError, match=said):
            run_plan(other, SPLITS, tmp_path / "run")
    for part in ("validation", "test"):
        renamed = LabelledImages(SPLITS.test.images, SPLITS.test.labels, tuple("abcd"))
        with pytest.raises(DataError, match=f"the {part} images have other classes"):
            run_plan(plan, SPLITS._replace(**{part: renamed}), tmp_path / "run")
    missing = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(OptionError, match=f"device {missing} is not available"):
        run_plan(replace(plan, device=missing), SPLITS, tmp_path / "run")
    two = Splits(*(stripes(64, seed=1, channels=2) for _ in range(3)), SPLITS.origin)
    with pytest.raises(OptionError, match="1 or 3 channels"):
        run_plan(tiny_plan(two), two, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plan_of_a_larger_machine_uses_the_threads_that_are_here(tmp_path: Path):
    def look(training: Training, folder: Path) -> None:
        assert torch.get_num_threads() == min(64, usable_threads())
        assert read_plan(folder / "plan.json").threads == 64, "the plan stays what it was"
        assert json.loads((folder / "environment.json").read_text())["threads"] == torch.get_num_threads()
        raise InterruptedError

    threads = torch.get_num_threads()
    try:
        with pytest.raises(InterruptedError):
            run_plan(replace(tiny_plan(SPLITS), threads=64), SPLITS, tmp_path / "run", on_start=look)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("undrawn")
def test_a_run_trains_the_same_weights_whatever_the_program_around_has_set(finished: Result, tmp_path: Path):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        result = run_plan(tiny_plan(SPLITS), SPLITS, tmp_path / "run")
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert weights(tmp_path / "run") == weights(finished.folder)
    assert result.test.to_json() == finished.test.to_json()
    assert files(result.folder) == FILES


# --- Other endings ---


def press_ctrl_c_after(step: int) -> object:
    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            raise KeyboardInterrupt

    return press


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
@pytest.mark.parametrize(("step", "validations"), [(3, 0), (6, 1)])
def test_ctrl_c_saves_and_reports_what_was_done(tmp_path: Path, step: int, validations: int):
    result = run_plan(tiny_plan(SPLITS), SPLITS, tmp_path / "run", on_event=press_ctrl_c_after(step))
    assert result.ended == "interrupted"
    assert result.epochs == step / 4
    assert {name for name in files(tmp_path / "run") if not name.startswith("state/")} == FILES
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == validations
    assert "interrupted" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_dead_run_says_so_in_its_report(tmp_path: Path):
    plan = tiny_plan(SPLITS, batch_norm=False, learning_rate=1000.0, warm_up=0.0)
    result = run_plan(plan, SPLITS, tmp_path / "run")
    assert result.ended == "dead"
    assert result.troubles[0][1:] in (tmp_path / "run" / "report.html").read_text().replace("&#39;", "'")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_revised_plan_is_written_down_and_replays_to_the_same_weights(tmp_path: Path):
    def revise(plan: Plan, step: int, seconds: float) -> Plan:
        return {2: rescale(plan, 2, 3, 2), 4: rescale(plan, 4, 2, 1)}.get(step, plan) if step < plan.steps else plan

    run_plan(tiny_plan(SPLITS), SPLITS, tmp_path / "run", revise=revise)
    executed = read_plan(tmp_path / "run" / "plan.json")
    assert (executed.steps, len(executed.revisions)) == (6, 2)
    run_plan(executed, SPLITS, tmp_path / "again")
    assert weights(tmp_path / "again") == weights(tmp_path / "run")


# --- Resuming ---


@pytest.mark.usefixtures("undrawn")
def test_states_are_not_written_most_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[int] = []

    monkeypatch.setattr("nin.runs.folder.write_state", lambda folder, state: written.append(state.step))
    monkeypatch.setattr("nin.runs.run.SHARE_FOR_STATES", 1e-9)
    plan = tiny_plan(SPLITS, epochs=4.0)
    run_plan(plan, SPLITS, tmp_path / "run")
    assert written == [plan.steps_per_interval[0], plan.steps]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_run_stopped_by_ctrl_c_resumes_to_the_weights_of_one_that_ran_through(finished: Result, tmp_path: Path):
    run, plan = tmp_path / "run", tiny_plan(SPLITS)
    stopped = run_plan(plan, SPLITS, run, on_event=press_ctrl_c_after(6))
    assert files(stopped.folder) > FILES
    result = run_plan(plan, SPLITS, run, resume=True, state=read_state(run))
    assert (result.ended, result.troubles) == ("finished", ())
    assert files(run) == FILES
    assert weights(run) == weights(finished.folder)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_run_stopped_before_its_first_state_can_begin_again(finished: Result, tmp_path: Path):
    run, plan = tmp_path / "run", tiny_plan(SPLITS)
    run_plan(plan, SPLITS, run, on_event=press_ctrl_c_after(1))
    assert read_state(run) is None
    assert run_plan(plan, SPLITS, run, resume=True).ended == "finished"
    assert weights(run) == weights(finished.folder)


def in_processes(folder: Path, *kills: str) -> list[str]:
    """Carry out `killed.py` and return its lines."""
    program = [sys.executable, Path(__file__).with_name("killed.py"), folder, *kills]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    answer = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    return answer.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of files being written from /proc")
def test_a_run_killed_while_it_writes_resumes_to_the_same_weights_bit_for_bit(tmp_path: Path):
    assert in_processes(tmp_path / "through") == ["0 report"]
    run = tmp_path / "killed"
    kills = (
        *("metrics.jsonl", "2"),  # after the first interval; its last steps are made again from a state
        *("*.pt", "2"),
        *("loss.png", "1"),
    )
    assert in_processes(run, *kills) == [*3 * [f"-{signal.SIGKILL} no report"], "0 report"]
    assert files(run) == FILES
    assert weights(run) == weights(tmp_path / "through")
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (run, tmp_path / "through")]
    for resumed, through in zip(*lines, strict=True):
        timeless = [
            {key: value for key, value in json.loads(line).items() if key not in ("seconds", "images_per_second")}
            for line in (resumed, through)
        ]
        assert timeless[0] == timeless[1]
    with pytest.raises(RunError, match="has ended"):
        read_state(run)


# --- Names that are not text ---


@pytest.mark.usefixtures("undrawn")
@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse such names")
def test_a_run_whose_folder_and_data_have_names_that_are_no_utf_8_ends_with_its_report(tmp_path: Path):
    folder, splits = tmp_path / os.fsdecode(b"caf\xe9"), tiny_splits(os.fsdecode(b"/dat\xe9"))
    command = os.fsdecode(b"nin train --run caf\xe9")
    result = run_plan(tiny_plan(splits, epochs=0.25), splits, folder, command=command)
    assert files(folder) == FILES
    assert read(folder, "environment.json")["data"]["place"] == "/dat\\udce9"
    assert "nin train --run caf\\udce9" in (folder / "report.html").read_text(encoding="utf-8")
    assert nin.load(result.folder / "model").labels == SPLITS.train.names


@pytest.mark.slow
def test_a_data_set_of_one_class_ends_with_a_report_too(tmp_path: Path):
    splits = tiny_splits()
    one = Splits(*(replace_labels(part) for part in splits[:3]), splits.origin)
    result = run_plan(tiny_plan(one, epochs=0.5), one, tmp_path / "run")
    assert result.test_accuracy == 1
    assert "Most frequent mistake: none." in (tmp_path / "run" / "report.html").read_text()


def replace_labels(images: LabelledImages) -> LabelledImages:
    """Return the images as all of one class."""
    return LabelledImages(images.images, torch.zeros_like(images.labels), ("stripes",))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_worker_trains_a_plan_of_two_threads(tmp_path: Path):
    program = """
import multiprocessing, sys, torch
from pathlib import Path
from msgspec.structs import replace
from runs.small import tiny_plan, tiny_splits
from nin.runs.run import run_plan
splits = tiny_splits()
plan = replace(tiny_plan(splits, epochs=0.5), threads=2)
def work(folder):
    return run_plan(plan, splits, Path(folder)).ended
if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.nn.Conv2d(8, 64, 5)(torch.ones(4, 8, 64, 64))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map_async(work, [sys.argv[1]]).get(timeout=60))
"""
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "2"}
    answer = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True, timeout=90, env=environment
    )
    assert answer.stdout == "['finished']\n", answer.stderr
