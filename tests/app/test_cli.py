"""Does every command line end as it should: one line and an exit code for whatever goes wrong?"""

import json
import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
from app.program import ENVIRONMENT, GARMENTS, PROGRAM, Nin, start

from nin.app.cli import parse, share_the_machine


def test_options_arrive():
    options = parse(["train", "--recipe", "d2l", "--network", "vgg", "--epochs", "3", "--seed", "5", "--run", "x"])
    assert vars(options) == {
        "source": None, "recipe": "d2l", "network": "vgg", "minutes": None, "epochs": 3, "plan": None, "resume": None,
        "init_from": None, "augmentation": None, "validation": None, "test": None, "fit": None, "run": Path("x"),
        "seed": 5, "device": None,
    }  # fmt: skip


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "summary", "data", "report"])
def test_help_says_each_default_once(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        parse([command, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "None" not in said
    if command == "train":
        for default in ("(default: quick)", "(default: nin)", "(default: 5 for quick)", "(default: 0)"):
            assert " ".join(said.replace("│", " ").split()).count(default) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--epochs", "many"], "many"),
        (["train", "--epochs", "0"], "epochs"),
        (["train", "--minutes", "0"], "minutes"),
        (["train", "--minutes", "nan"], "nan"),
        (["train", "--minutes", "5", "--epochs", "3"], "minutes and epochs"),
        (["train", "--network", "resnet"], "resnet"),
        (["train", "--plan", "/nonexistent/plan.json"], "/nonexistent/plan.json"),
        (["train", "--resume", "/nonexistent"], "/nonexistent"),
        (["train", "--resume", "run", "--seed", "1"], "seed cannot be given with resume"),
        (["train", "--seed", "-1"], "-1"),
        (["train", "--fast"], "--fast"),
        (["train", "/nonexistent"], "/nonexistent"),
        (["data", "/nonexistent"], "/nonexistent"),
        (["summary", "--size", "66"], "from 67x67"),
        (["summary", "--size", "0"], "0"),
        (["summary", "--size", "99999999999999999999"], "99999999999999999999"),
        (["summary", "vgg", "--size", "31"], "31x31"),
        (["report", "/nonexistent"], "/nonexistent"),
        (["report"], "RUN"),
        (["predict"], "no photo is given"),
        (["predict", "a.png", "--model", "nowhere"], "nowhere"),
        (["predict", "/nonexistent.png"], "/nonexistent.png"),
        (["evaluate", "--model", "/nonexistent"], "/nonexistent"),
        (["fly"], "fly"),
        ([], "train"),
    ],
)
def test_invalid_input_is_one_line_and_exit_code_2(
    nin: Nin, arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    answer = nin(*arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("nin: ")
    assert answer.stderr.count("\n") == 1
    assert named in answer.stderr
    assert not list(tmp_path.iterdir()), "nothing is made for a command that cannot be carried out"


@pytest.mark.slow
def test_an_unknown_recipe_is_one_line_that_names_the_recipes():
    # In a process of its own, without the shape checks of these tests, which would refuse the name before we do.
    answer = start("train", "--recipe", "seed")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.count("\n") == 1
    assert "quick, long, long-67" in answer.stderr


def test_a_program_of_its_own_prints_the_version_or_the_error_and_exits():
    answer = start("--version")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"nin {version('network-in-network')}\n", "")
    answer = start("train", "--fast")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("nin: ")
    assert "--fast" in answer.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "nin: too little free memory (MemoryError); close other programs, or"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you"),
            "too little",
        ),
        (OSError(12, "Cannot allocate memory"), "too little free memory"),
        (RuntimeError("could not create a primitive"), "too little free memory (could not create a primitive)"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "too little free memory"),
        (
            RuntimeError("CUDA out of memory. Tried 2 GiB.\nSee"),
            "too little free memory (CUDA out of memory",
        ),
        (PermissionError(13, "Permission denied", "/secret"), "nin: /secret: Permission denied\n"),
        (OSError("odd"), "nin: cannot write the output: odd; redirect the output elsewhere\n"),
    ],
)
def test_what_the_machine_lacks_is_one_line(nin: Nin, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str):
    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr("nin.app.summary.main", fail)
    with monkeypatch.context() as unmuted:
        unmuted.setattr("nin.app.cli.mute", lambda: None)
        answer = nin("summary")
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), ImportError("no module of ours"), KeyError("ours")])
def test_a_fault_of_ours_is_no_line_but_a_traceback(nin: Nin, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr("nin.app.summary.main", fail)
    with pytest.raises(type(error), match="ours"):
        nin("summary")


def test_the_warnings_of_the_program_around_stay_as_they_are(nin: Nin):
    before = list(warnings.filters)
    nin("--version")
    assert [entry for entry in warnings.filters if "PIL" not in str(entry)] == before


# --- Streams ---


def test_a_place_that_cannot_be_printed_to_is_one_line():
    with Path("/dev/full").open("w") as full:
        answer = start("--help", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert answer.returncode == 2
    assert answer.stderr == "nin: cannot write the output: No space left on device; redirect the output elsewhere\n"


def test_a_reader_that_stops_reading_is_no_error():
    with subprocess.Popen([*PROGRAM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_with_stderr_closed_the_error_does_not_go_into_the_output():
    command = ["bash", "-c", '"$@" 2>&-', "bash", *PROGRAM, "train", "--fast"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (answer.returncode, answer.stdout) == (2, "")


@pytest.mark.slow
def test_with_stderr_closed_machine_readable_output_stays_readable(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    boot = next(GARMENTS.glob("*boot*"))
    command = ["bash", "-c", '"$@" 2>&-', "bash", *PROGRAM, "predict", "--json", tmp_path / "broken.png", boot]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert answer.returncode == 2
    assert [one["photo"] for one in json.loads(answer.stdout)] == [str(tmp_path / "broken.png"), str(boot)]


def test_with_stdout_closed_there_is_no_traceback():
    command = ["bash", "-c", '"$@" >&-', "bash", *PROGRAM, "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (answer.returncode, answer.stderr) == (0, "")


# --- Machines ---


@pytest.mark.slow
def test_too_little_memory_is_one_line(tmp_path: Path):
    limit = 'ulimit -v "$1" || exit 77; shift; "$@"'
    command = [
        "bash",
        "-c",
        limit,
        "bash",
        "1000000",
        *PROGRAM,
        "train",
        "--epochs",
        "0.001",
        "--run",
        tmp_path / "run",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if answer.returncode == 77:
        pytest.skip("this shell cannot limit memory")
    assert answer.returncode == 2
    assert answer.stderr.startswith("nin: too little free memory (")
    assert answer.stderr.count("\n") == 1


@pytest.mark.slow
def test_help_ends_on_a_terminal_of_a_few_columns():
    answer = start("train", "--help", env=ENVIRONMENT | {"COLUMNS": "3"}, timeout=60)
    assert answer.returncode == 0
    assert "--recipe" in answer.stdout


@pytest.mark.parametrize("decided", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_spin_briefly_where_the_user_has_not_decided(monkeypatch: pytest.MonkeyPatch, decided: dict[str, str]):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in decided.items():
        monkeypatch.setenv(name, value)
    share_the_machine()
    found = {name: value for name, value in os.environ.items() if name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    assert found == (decided or {"GOMP_SPINCOUNT": "1000"})


def test_it_is_decided_before_torch_is_imported():
    program = (
        "import os, sys; from nin.app import cli; "
        "cli.share_the_machine = lambda: sys.exit('torch' in sys.modules); cli.run_command(['train'])"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
