"""Does the command line answer as it should: what it prints, and with which exit code?"""

import contextlib
import gzip
import hashlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image

from nin.classifier import load
from nin.cli import mute, parse
from nin.data import fashion_mnist, find
from nin.errors import DataError
from nin.model_folder import find_model
from nin.planning import resolve
from nin.progress import Show, progress_bar
from nin.recipe import quick
from nin.runs import write_json

NIN = [sys.executable, "-c", "from nin.cli import main; main()"]


def nin(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NIN, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def data() -> Path:
    """Find Fashion-MNIST, or skip where it is not and cannot be fetched."""
    try:
        return find()
    except DataError as error:
        pytest.skip(str(error))


def test_options_arrive():
    options = parse(["train", "--recipe", "seed", "--network", "vgg", "--epochs", "3", "--seed", "5", "--run", "x"])
    assert vars(options) == {
        "recipe": "seed", "network": "vgg", "minutes": None, "epochs": 3, "plan": None, "resume": None, "data": None,
        "run": Path("x"), "seed": 5, "device": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--recipe", "slow"], "slow"),
        (["train", "--epochs", "many"], "many"),
        (["train", "--epochs", "0"], "epochs"),
        (["train", "--minutes", "0"], "minutes"),
        (["train", "--minutes", "5", "--epochs", "3"], "minutes and epochs"),
        (["train", "--plan", "/nonexistent/plan.json"], "/nonexistent/plan.json"),
        (["train", "--resume", "/nonexistent"], "/nonexistent"),
        (["train", "--resume", "run", "--seed", "1"], "seed cannot be given with resume"),
        (["train", "--seed", "-1"], "-1"),
        (["train", "--fast"], "--fast"),
        (["train", "--data", "/nonexistent"], "/nonexistent"),
        (["data", "--data", "/nonexistent"], "/nonexistent"),
        (["summary", "--size", "66"], "at least 67"),
        (["summary", "--size", "0"], "0"),
        (["summary", "--size", "99999999999999999999"], "99999999999999999999"),
        (["summary", "--network", "vgg", "--size", "31"], "31x31"),
        (["report", "/nonexistent"], "/nonexistent"),
        (["report"], "RUN"),
        (["predict"], "no picture is given"),
        (["predict", "a.png", "--model", "nowhere"], "nowhere"),
        (["predict", "/nonexistent.png"], "/nonexistent.png"),
        (["evaluate", "--model", "/nonexistent"], "/nonexistent"),
        (["fly"], "fly"),
        ([], "train"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments: list[str], named: str, tmp_path: Path):
    answer = nin(*arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("nin: ")
    assert answer.stderr.count("\n") == 1
    assert named in answer.stderr
    assert not list(tmp_path.iterdir()), "nothing is made for a command that cannot be carried out"


def test_the_version_is_that_of_the_package():
    answer = nin("--version")
    assert (answer.returncode, answer.stdout) == (0, f"nin {version('network-in-network')}\n")


def test_summary_prints_the_network_and_the_cost_of_its_layers():
    answer = nin("summary")
    assert answer.returncode == 0
    assert "(n1): Sequential(" in answer.stdout
    assert "AdaptiveMaxPool2d(output_size=(1, 1))" in answer.stdout
    assert re.search(r"n1\.0 .*Conv2d .*96 x 54 x 54 .*11,712 .*33,872,256", answer.stdout)
    assert re.search(r"total .*1,992,166", answer.stdout)


def test_data_says_where_and_proves_it(data: Path):
    answer = nin("data", "--data", data)
    assert answer.returncode == 0
    assert answer.stdout.startswith(f"{data}\n55,000 train, 5,000 validation, 10,000 test images")
    found = dict(line.split("  ")[::-1] for line in answer.stdout.splitlines()[2:])
    labels = next(path for path in data.iterdir() if path.name.startswith("t10k-labels"))
    content = gzip.decompress(labels.read_bytes()) if labels.suffix == ".gz" else labels.read_bytes()
    assert found["t10k-labels-idx1-ubyte"] == hashlib.sha256(content).hexdigest()


def test_a_place_that_cannot_be_printed_to_is_one_line():
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run([*NIN, "summary"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert answer.returncode == 2
    assert answer.stderr == "nin: cannot write the answer: No space left on device; give another place to print to\n"


def test_a_training_goes_on_when_nobody_reads_its_lines_any_more(monkeypatch: pytest.MonkeyPatch):
    show = Show(progress_bar(), mute)
    assert show.bar.disable, "tests have no terminal"
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        show.say("lost")
        assert sys.stdout is not full
        show.say("lost too, and no error")
    sys.stdout.close()


def test_an_existing_run_folder_is_left_alone(tmp_path: Path):
    (tmp_path / "result.json").write_text("mine")
    answer = nin("train", "--run", tmp_path)
    assert answer.returncode == 2
    assert "is there already" in answer.stderr
    assert (tmp_path / "result.json").read_text() == "mine"


def test_a_reader_that_stops_reading_is_no_error():
    with subprocess.Popen([*NIN, "summary"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


# ---------------------------------------------------------------------------------------------------------------------
# Predicting with the weights in the package

GARMENTS = Path(__file__).parents[1] / "docs" / "garments"


def test_predict_names_what_the_pictures_show():
    answer = nin("predict", GARMENTS)
    assert answer.returncode == 0, answer.stderr
    for picture in GARMENTS.iterdir():
        assert picture.name in answer.stdout
    assert re.search(r"trousers\.\w+ .*Trouser ", answer.stdout)
    assert "negated" in answer.stdout


def test_the_good_pictures_of_a_mixed_folder_are_answered_and_each_bad_one_gets_a_line(tmp_path: Path):
    Image.new("RGB", (50, 80), "white").save(tmp_path / "[red]good.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    answer = nin("predict", tmp_path, tmp_path / "missing.png")
    assert answer.returncode == 2
    assert "[red]good.png" in answer.stdout
    lines = answer.stderr.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("empty.jpg", "notes.txt", "missing.png"), strict=True):
        assert line.startswith("nin: ")
        assert name in line


def test_predictions_for_programs_are_a_list_with_one_object_a_picture(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    boot, broken = next(GARMENTS.glob("*boot*")), tmp_path / "broken.png"
    answer = nin("predict", "--json", broken, boot)
    assert answer.returncode == 2
    bad, good = json.loads(answer.stdout)
    assert (bad["picture"], set(bad)) == (str(broken), {"picture", "error"})
    assert good["picture"] == str(boot)
    assert good["probabilities"][good["label"]] == good["probability"] == max(good["probabilities"].values())
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert good["inverted"] is True
    kept = json.loads(nin("predict", "--json", "--invert", "no", boot).stdout)
    assert kept[0]["inverted"] is False
    assert kept[0]["probabilities"] != good["probabilities"]


def test_predictions_are_the_classifiers_own_and_explained_in_a_picture(tmp_path: Path):
    boot = next(GARMENTS.glob("*boot*"))
    answer = nin("predict", "--json", "--explain", tmp_path / "why.png", boot)
    assert answer.returncode == 0, answer.stderr
    [prediction] = load().predict(boot)
    assert json.loads(answer.stdout)[0]["label"] == prediction.label
    assert json.loads(answer.stdout)[0]["probability"] == pytest.approx(prediction.probability, abs=1e-3)
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 600


def test_a_model_in_the_hubs_cache_is_found_without_a_network(tmp_path: Path):
    cache = tmp_path / "hub" / "models--someone--nin"
    load("fashion-mnist-fast").save(cache / "snapshots" / "1234")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("1234")
    program = [*NIN, "predict", "--json", "--model", "someone/nin", next(GARMENTS.glob("*boot*"))]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr
    program[program.index("someone/nin")] = "someone/else"
    answer = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert answer.returncode == 2
    assert answer.stderr.startswith("nin: someone/else is no folder here and cannot be had from the hub")
    assert answer.stderr.count("\n") == 1


def test_a_hub_that_hangs_up_is_one_line(tmp_path: Path):
    server = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        with contextlib.suppress(OSError):  # the server's end
            while True:
                server.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    program = [*NIN, "predict", "--model", "someone/nin", next(GARMENTS.glob("*boot*"))]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint}
    answer = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=100)
    server.close()
    assert answer.returncode == 2
    assert "cannot be had from the hub" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_name_that_a_terminal_would_obey_is_escaped(tmp_path: Path):
    picture = tmp_path / "x\x1b[31mred\nline.png"
    Image.new("RGB", (50, 80), "white").save(picture)
    answer = nin("predict", picture)
    assert answer.returncode == 0, answer.stderr
    assert "x\\x1b[31mred\\nline.png" in answer.stdout
    assert "\x1b" not in answer.stdout


def test_an_explanation_never_takes_the_place_of_a_file(tmp_path: Path):
    (tmp_path / "mine.png").write_text("mine")
    for taken in ("mine.png", "shirt.jpg"):
        answer = nin("predict", "--explain", taken, next(GARMENTS.glob("*boot*")), cwd=tmp_path)
        assert answer.returncode == 2
        assert taken in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    assert (tmp_path / "mine.png").read_text() == "mine"


@pytest.mark.parametrize("model", ["fashion-mnist", "fashion-mnist-fast"])
def test_evaluate_gives_the_figures_of_the_model_card(data: Path, tmp_path: Path, model: str):
    answer = nin("evaluate", "--model", model, "--data", data, "--json", "--out", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    card = (find_model(model) / "README.md").read_text()
    said = re.search(r"test accuracy \| ([\d.]+), 95 % interval ([\d.]+) to ([\d.]+) on 10,000", card)
    assert said
    # Another processor may round a score the other way.
    assert [found[name] for name in ("accuracy", "low", "high")] == pytest.approx(
        [*map(float, said.groups())], abs=3e-4
    )
    error = re.search(r"expected calibration error \| ([\d.]+)", card)
    assert error
    assert found["calibration"]["error"] == pytest.approx(float(error[1]), abs=1e-3)
    assert found["accuracy"] >= 0.94
    assert found["pictures"] == 10_000
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "confusion.png", "evaluation.json", "mistakes.png", "reliability.png",
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The whole, on the real data: about two minutes on two cores


def test_one_epoch_trains_and_reports(data: Path, tmp_path: Path):
    answer = nin("train", "--epochs", "1", "--data", data, "--run", tmp_path / "run")
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["validation_accuracy"] > 0.75
    assert result["parameters"] == 1_992_166
    assert f"test accuracy       {result['test_accuracy']:.4f} (95 % interval" in answer.stdout
    assert "\x1b" not in answer.stdout, "no control characters where there is no terminal"
    assert "epoch 1/1 at 67x67: train loss" in answer.stdout
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{result['test_accuracy']:.3f}" in page
    (tmp_path / "run" / "report.html").unlink()
    again = nin("report", tmp_path / "run")
    assert again.returncode == 0
    assert (tmp_path / "run" / "report.html").read_text() == page


def test_too_few_minutes_are_refused_with_what_would_do(data: Path, tmp_path: Path):
    answer = nin("train", "--minutes", "0.05", "--data", data, cwd=tmp_path)
    assert answer.returncode == 2
    assert re.fullmatch(r"nin: 0\.05 minutes are too few: .*; give [0-9.]+ or more\n", answer.stderr)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_resumed_has_the_weights_of_the_plan_replayed(data: Path, tmp_path: Path):
    train = fashion_mnist(data).train
    plan = resolve(quick(), train, 0, torch.device("cpu"))
    plan = replace(plan, sizes=(67,) * 3, steps_by_epoch=(3, 3, 3), schedule=((0.0, 1.0), (9.0, 0.0)))
    write_json(tmp_path / "plan.json", asdict(plan))
    given = ("--plan", tmp_path / "plan.json", "--data", data, "--seed", "7")
    replayed = nin("train", *given, "--run", tmp_path / "through")
    assert replayed.returncode == 0, replayed.stderr
    with subprocess.Popen([*NIN, "train", *given, "--run", tmp_path / "run"], stdout=subprocess.PIPE) as process:
        while not list(tmp_path.glob("run/state/*.pt")):
            assert process.poll() is None
        process.kill()
    assert not (tmp_path / "run" / "result.json").exists()
    resumed = nin("train", "--resume", tmp_path / "run", "--data", data)
    assert resumed.returncode == 0, resumed.stderr
    through, killed = ((tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("through", "run"))
    assert through == killed
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["seed"] == 7
    again = nin("train", "--resume", tmp_path / "run", "--data", data)
    assert again.returncode == 2
    assert "has ended" in again.stderr


def test_ctrl_c_on_a_terminal_saves_and_reports(data: Path, tmp_path: Path):
    # A shell's background jobs ignore SIGINT, and so would the child of tests that run in one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*NIN, "train", "--epochs", "1", "--data", data, "--run", tmp_path / "run"],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 120
    while not re.search(rb"loss [0-9.]+ +[0-9,]+ images/s", shown) and time.monotonic() < deadline:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the terminal's other end was closed
            break
    assert process.wait() == 130
    assert b"Ctrl-C stopped it behind step" in shown
    assert b"Traceback" not in shown
    assert json.loads((tmp_path / "run" / "result.json").read_text())["ended"] == "interrupted"
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
