"""Do two processes do what one does? As `torchrun` starts them, on this machine, with gloo."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from app.program import ENVIRONMENT, TESTS, Nin
from runs.small import weights
from synthetic import small_splits
from training.alike import ODD, WITH_BATCH_NORM, evaluation_of, logits_of_all, network, train

from nin.metrics import t_interval
from nin.training import fit
from nin.training.fit import Training
from nin.training.optimizer import divide

TORCHRUN = [Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2", "--standalone"]
SMALL_PROGRAM = TESTS / "app" / "small_program.py"
LENET = ("--network", "lenet")  # the quickest
# OMP_NUM_THREADS keeps torchrun from talking about it; the package's own threads do not depend on it.
LAUNCHING = ENVIRONMENT | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def launch(*arguments: object, options: Sequence[str] = (), **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, *options, "--", *map(str, arguments)]
    given = {"capture_output": True, "text": True, "env": LAUNCHING, "timeout": 120} | settings
    return subprocess.run(command, check=False, **given)


@contextlib.contextmanager
def two(*arguments: object, cwd: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Start two processes as torchrun does; without it, which takes seconds to start, and ends one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = LAUNCHING | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }  # fmt: skip
    command = [sys.executable, *map(str, arguments)]
    given: dict[str, Any] = {"cwd": cwd, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        environments = [shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
        yield [stack.enter_context(subprocess.Popen(command, env=one, **given)) for one in environments]


def both(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Return what two processes end with, their outputs one after the other; they must end alike."""
    with two(*arguments, cwd=cwd) as processes:
        outputs = [process.communicate(timeout=120) for process in processes]
    [code] = {process.returncode for process in processes}
    stdout, stderr = ("".join(texts) for texts in zip(*outputs, strict=True))
    return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def ours(stderr: str) -> list[str]:
    """Return the lines on stderr that are not torchrun's own."""
    return [line for line in stderr.splitlines() if line.startswith("nin: ")]


# --- Training, without the command line ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes have left what they found, and a run."""
    folder = tmp_path_factory.mktemp("found")
    ended = both(TESTS / "training" / "two_processes.py", folder, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    (folder / "stdout").write_text(ended.stdout)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """Return what two processes have found."""
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.slow
def test_two_processes_have_joined(found: dict[str, Any]):
    assert (found["processes"], found["ranks"]) == (2, [0, 1])


@pytest.mark.slow
def test_without_batch_norm_two_processes_give_the_weights_of_one(found: dict[str, Any]):
    one = train(ODD, small_splits())
    assert one.step == 51
    for name, tensor in one.network.state_dict().items():
        assert torch.allclose(found["odd"][name], tensor, atol=2e-5), name
    moved = [not torch.allclose(tensor, network(batch_norm=False).state_dict()[name], atol=1e-3)
             for name, tensor in found["odd"].items()]  # fmt: skip
    assert any(moved)
    for theirs, mine in zip(found["odd_validations"], one.validations, strict=True):
        assert theirs["train_accuracy"] == pytest.approx(mine.train_accuracy, abs=1e-6)
        assert theirs["train_loss"] == pytest.approx(mine.train_loss, abs=1e-4)
        assert theirs["validation_accuracy"] == mine.validation_accuracy
        assert theirs["validation_loss"] == pytest.approx(mine.validation_loss, abs=1e-4)


@pytest.mark.slow
def test_with_batch_norm_two_processes_are_as_accurate_as_one(found: dict[str, Any]):
    splits = small_splits()
    one = [train(WITH_BATCH_NORM, splits, seed=seed).validations[-1].validation_accuracy for seed in range(3)]
    apart = t_interval(found["batch_norm"]) + t_interval(one)
    assert sum(found["batch_norm"]) / 3 == pytest.approx(sum(one) / 3, abs=max(0.05, apart))
    assert min(found["batch_norm"]) > 0.6
    first, second = found["statistics"]
    assert torch.equal(first, second)  # averaged before the last validation


@pytest.mark.slow
def test_the_logits_of_divided_images_are_those_of_one_process_bit_for_bit(found: dict[str, Any]):
    assert torch.equal(found["logits"], logits_of_all(small_splits()))


@pytest.mark.slow
def test_a_training_that_is_resumed_ends_as_if_it_had_never_stopped(found: dict[str, Any]):
    for name, tensor in found["through"].items():
        assert torch.equal(found["again"][name], tensor), name


@pytest.mark.slow
def test_a_divided_evaluation_is_that_of_one_process(found: dict[str, Any]):
    one = evaluation_of(small_splits())
    assert found["evaluation"]["images"] == one["images"] == 200
    for name in ("accuracy", "confusion"):
        assert found["evaluation"][name] == one[name]
    assert found["evaluation"]["loss"] == pytest.approx(one["loss"], abs=1e-5)


@pytest.mark.slow
def test_what_the_first_process_refuses_all_refuse(found: dict[str, Any]):
    assert found["taken"] == 2 * ["taken is there already: name a new folder, or remove it first"]
    assert found["other_options"] == 2 * [
        "rank 1 has other options than rank 0 ({'epochs': 1.0, 'seed': 1}, not {'epochs': 1.0, 'seed': 0}): make them "
        "the same"
    ]


@pytest.mark.slow
def test_processes_that_do_not_fit_are_told_so(found: dict[str, Any]):
    assert found["other_data"] == "rank 1 has other images than rank 0 (those, not these): make them the same"
    assert found["too_many"] == "2 processes cannot share a batch of 1 images, which needs 2: start fewer"


@pytest.mark.slow
def test_a_dead_run_ends_in_all_processes_and_leaves_its_report(found: dict[str, Any], folder: Path):
    assert found["dead"] == ["dead", "dead"]
    assert result(folder / "dead")["ended"] == "dead"
    assert (folder / "dead" / "report.html").exists()


@pytest.mark.slow
def test_a_comparison_is_divided(found: dict[str, Any], folder: Path):
    assert found["compared"] == [(0, ["lenet", "nin"]), (0, ["alexnet"])]
    rows = (folder / "comparison" / "comparison.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["network", "lenet", "alexnet", "nin"]
    assert len(re.findall("^page ", (folder / "stdout").read_text(), re.MULTILINE)) == 1


def test_alone_a_batch_is_not_divided(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fit.data_parallel, "DistributedDataParallel", None)
    splits = small_splits()
    assert isinstance(train(WITH_BATCH_NORM, splits), Training)


# --- The commands ---


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the only run folder that a launch has left, and what it printed."""
    folder = tmp_path_factory.mktemp("unbroken")
    ended = launch(SMALL_PROGRAM, "train", *LENET, "--epochs", "1", "--seed", "1", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    [run] = (folder / "runs").iterdir()
    return run, ended.stdout


@pytest.mark.slow
def test_two_processes_leave_one_run_folder_and_one_report(unbroken: tuple[Path, str]):
    run, stdout = unbroken
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    assert (run / "report.html").exists()
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    for line in (r"^test accuracy ", r"^epoch 1\.00/1", r"^report "):
        assert len(re.findall(line, stdout, re.MULTILINE)) == 1
    assert (result(run)["test_images"], result(run)["validation_images"]) == (40, 32)


@pytest.mark.slow
def test_what_a_launch_is_refused_is_said_once(unbroken: tuple[Path, str]):
    run, _ = unbroken
    again = launch(SMALL_PROGRAM, "train", *LENET, "--epochs", "1", f"--run={run.name}", cwd=run.parent)
    assert again.returncode == 1
    assert ours(again.stderr) == [f"nin: {run.name} is there already: name a new folder, or remove it first"]
    assert 'Traceback (most recent call last):\n  File "' + str(SMALL_PROGRAM) not in again.stderr


KILLING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from nin.metrics import t_interval
from nin.runs import run
from nin.training import fit
fit.SECONDS_PER_STATE, run.SHARE_FOR_STATES = 0, float("inf")
step = fit.Training._train_step
attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
def train_step(self, views):
    with open("steps-" + os.environ["RANK"], "a") as file:
        print(attempt, self.step, file=file)
    if attempt == "0" and os.environ["RANK"] == "1" and self.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, views)
fit.Training._train_step = train_step
exec(open({program!r}).read())
"""


@pytest.mark.slow
def test_a_launch_goes_on_after_one_process_is_killed(tmp_path: Path, unbroken: tuple[Path, str]):
    """Rank 1 is killed before its fourth step, and torchrun starts both again."""
    (tmp_path / "killing.py").write_text(KILLING.format(tests=str(TESTS), program=str(SMALL_PROGRAM)))
    arguments = (tmp_path / "killing.py", "train", *LENET, "--epochs", "1", "--seed", "1")
    killed = launch(*arguments, cwd=tmp_path, options=["--max-restarts", "1"])
    assert killed.returncode == 0, killed.stderr
    [run] = (tmp_path / "runs").iterdir()
    assert result(run)["ended"] == "finished"
    for rank in (0, 1):
        steps = [line.split() for line in (tmp_path / f"steps-{rank}").read_text().splitlines()]
        again = [int(step) for attempt, step in steps if attempt == "1"]
        assert again == list(range(again[0], 8))
        assert again[0] in (2, 3)  # the third state may not have been on the disk yet
    assert weights(run) == weights(unbroken[0])


@pytest.mark.slow
def test_a_process_that_ends_is_named_by_those_that_wait_for_it(tmp_path: Path):
    script = tmp_path / "killing.py"
    script.write_text(KILLING.format(tests=str(TESTS), program=str(SMALL_PROGRAM)))
    with two(script, "train", *LENET, "--epochs", "1", "--run", "run", cwd=tmp_path) as (first, second):
        assert second.wait(60) == -signal.SIGKILL
        _, stderr = first.communicate(timeout=60)
    assert first.returncode == 2
    assert ours(stderr) == [
        "nin: rank 1 of 2 has ended or does not answer: start again (a training goes on with --resume)"
    ]


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_with_a_report(tmp_path: Path):
    with subprocess.Popen(
        [*TORCHRUN, "--", SMALL_PROGRAM, "train", *LENET, "--epochs", "400", "--run=run"],
        env=LAUNCHING, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        for _ in range(600):
            if (tmp_path / "run" / "metrics.jsonl").exists() and (tmp_path / "run" / "metrics.jsonl").read_text():
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert "Ctrl-C stopped the training after step" in stdout
    assert result(tmp_path / "run")["ended"] == "interrupted"
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_what_runs_in_one_process_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    answer = Nin(capsys, monkeypatch)("predict", "photo.jpg")
    said = "nin: nin predict is for one process; torchrun is for nin train, nin compare and nin evaluate\n"
    assert answer == (2, "", said)


def test_tasks_are_divided_by_what_they_cost():
    assert divide([5, 1, 9, 4], 1) == [0, 0, 0, 0]
    assert divide([5, 1, 9, 4], 2) == [1, 0, 0, 1]
    assert divide([], 3) == []
