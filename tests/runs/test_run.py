"""Does a plan become a whole run folder, whatever way the training ends?"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from conftest import stripes
from safetensors.torch import load_file

from nin.budget import stretched
from nin.data import Splits
from nin.errors import OptionError, RunError
from nin.evaluation import evaluate, scores
from nin.experiment import run
from nin.network import NiN
from nin.plan import Plan
from nin.planning import read_plan, resolve
from nin.recipe import quick
from nin.runs import alone, read_state
from nin.training import Event, Step

FILES = {
    "environment.json",
    "figures/NIN.svg",
    "figures/confusion.png",
    "figures/loss.png",
    "figures/prediction.png",
    "figures/sample.png",
    "metrics.jsonl",
    "model/README.md",
    "model/config.json",
    "model/model.safetensors",
    "plan.json",
    "report.html",
    "result.json",
}


def small(splits: Splits) -> Plan:
    return resolve(replace(quick(epochs=2.0), batch_size=32), splits.train, 0, torch.device("cpu"))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_its_whole_folder_and_the_figures_of_the_network_that_ships(splits: Splits, tmp_path: Path):
    folder = tmp_path / "run"
    result = run(small(splits), splits, folder)
    assert files(folder) == FILES
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert list(lines[0]) == [
        "epoch", "size", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images_per_second",
        "seconds",
    ]  # fmt: skip

    config = json.loads((folder / "model" / "config.json").read_text())
    network = NiN(config["in_channels"], config["classes"])
    network.load_state_dict(load_file(folder / "model" / "model.safetensors"), strict=True)
    found = scores(network, splits.test.images, config["size"], config["mean"], config["std"])
    evaluation = evaluate(found, splits.test.labels)
    written = json.loads((folder / "result.json").read_text())
    assert written["test_accuracy"] == evaluation.accuracy == result.test_accuracy
    assert (written["test_accuracy_low"], written["test_accuracy_high"]) == (evaluation.low, evaluation.high)
    assert written["confusion"] == evaluation.confusion.tolist()
    assert written["parameters"] == sum(p.numel() for p in network.parameters())
    assert written["ended"] == "finished"
    assert config["labels"] == list(splits.test.names)


def test_the_plan_is_on_the_disk_before_the_first_step(splits: Splits, tmp_path: Path):
    def look(plan: Plan, folder: Path) -> None:
        assert json.loads((folder / "plan.json").read_text()) == json.loads(json.dumps(asdict(plan)))
        assert files(folder) == {"plan.json", "environment.json"}
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(small(splits), splits, tmp_path / "run", on_start=look)


@pytest.mark.parametrize(("step", "epochs"), [(5, 0), (20, 1)])
def test_ctrl_c_saves_and_reports_what_was_done(splits: Splits, tmp_path: Path, step: int, epochs: int):
    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            raise KeyboardInterrupt

    result = run(small(splits), splits, tmp_path / "run", on_event=press)
    assert result.ended == "interrupted"
    assert result.epochs == epochs
    assert {name for name in files(tmp_path / "run") if not name.startswith("state/")} == FILES
    assert "interrupted" in (tmp_path / "run" / "report.html").read_text().lower()


def test_a_dead_run_says_so_in_its_report(splits: Splits, tmp_path: Path):
    recipe = replace(quick(epochs=2.0), batch_size=32, batch_norm=False, muon=0.0, learning_rate=1000.0, warm_up=0.0)
    result = run(resolve(recipe, splits.train, 0, torch.device("cpu")), splits, tmp_path / "run")
    assert result.ended == "dead"
    assert result.troubles[0][1:] in (tmp_path / "run" / "report.html").read_text().replace("&#39;", "'")


def test_an_existing_run_is_not_touched(splits: Splits, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        run(small(splits), splits, tmp_path)
    assert files(tmp_path) == {"notes.txt"}


def in_a_process(folder: Path, *arguments: str) -> int:
    """Carry out `killed.py` and give its exit status, which is minus the signal that killed it."""
    program = [sys.executable, "killed.py", folder, *arguments]
    return subprocess.run(program, cwd=Path(__file__).parent, capture_output=True, check=False).returncode


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_a_run_killed_while_it_writes_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path):
    assert in_a_process(tmp_path / "through") == 0
    run = tmp_path / "killed"
    # In metrics.jsonl before the first state, twice in states, and in a figure when the training is over.
    for write in ("3", "4", "9", "12"):
        assert in_a_process(run, write) == -signal.SIGKILL
        assert not (run / "report.html").exists()
    assert in_a_process(run) == 0
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


def test_a_run_stopped_by_ctrl_c_goes_on_to_the_weights_of_one_that_ran_through(splits: Splits, tmp_path: Path):
    def press(event: Event) -> None:
        if isinstance(event, Step) and event.step == 20:
            raise KeyboardInterrupt

    run(small(splits), splits, tmp_path / "through")
    stopped = run(small(splits), splits, tmp_path / "run", on_event=press)
    assert files(stopped.folder) > FILES
    result = run(small(splits), splits, tmp_path / "run", state=read_state(tmp_path / "run"))
    assert result.ended == "finished"
    assert result.troubles == ()
    assert files(tmp_path / "run") == FILES
    assert weights(tmp_path / "run") == weights(tmp_path / "through")


def test_a_run_stopped_before_its_first_state_can_begin_again(splits: Splits, tmp_path: Path):
    def press(event: Event) -> None:
        if isinstance(event, Step):
            raise KeyboardInterrupt

    run(small(splits), splits, tmp_path / "run", on_event=press)
    assert run(small(splits), splits, tmp_path / "run", state=read_state(tmp_path / "run")).ended == "finished"


def test_two_processes_do_not_work_on_one_run(splits: Splits, tmp_path: Path):
    def resume(plan: Plan, folder: Path) -> None:
        with pytest.raises(RunError, match="still running"):
            run(plan, splits, folder, state=read_state(folder))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(small(splits), splits, tmp_path / "run", on_start=resume)
    with alone(tmp_path / "run"):
        pass  # it is free again


def test_a_plan_for_other_images_is_refused_before_anything_is_made(splits: Splits, tmp_path: Path):
    plan = small(splits)
    for other, said in (
        (replace(plan, classes=10), "classes"),
        (replace(plan, mean=(0.0,) * 3, std=(1.0,) * 3), "channels"),
    ):
        with pytest.raises(OptionError, match=said):
            run(other, splits, tmp_path / "run")
    two = splits._replace(train=stripes(64, seed=1, channels=2))
    with pytest.raises(OptionError, match="1 or 3 channels"):
        run(replace(plan, mean=(0.0,) * 2, std=(1.0,) * 2), two, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_revised_plan_is_written_down_and_replays_to_the_same_weights(splits: Splits, tmp_path: Path):
    run(small(splits), splits, tmp_path / "run", revise=lambda plan, epoch: stretched(plan, epoch.epoch, 0.5))
    executed = read_plan(tmp_path / "run" / "plan.json")
    assert executed.steps_by_epoch == (16, 8)
    run(executed, splits, tmp_path / "again")
    assert weights(tmp_path / "again") == weights(tmp_path / "run")
