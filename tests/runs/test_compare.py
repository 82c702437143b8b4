"""Does a comparison train every network alike, go on where it was stopped, and say what failed?"""

import json
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from app.program import ENVIRONMENT, PROGRAM, start
from data.idx_files import any_idx, write_files
from synthetic import stripes

from nin.errors import OptionError, RunError
from nin.runs.comparing import cell_process
from nin.runs.comparing import compare as compare_module
from nin.runs.comparing.cell import Cell, Inference, Job, Outcome, Outcomes, Point, Read, Settings, Trained
from nin.runs.comparing.compare import Watcher, compare, read_outcomes
from nin.runs.comparing.comparison_page import write_page
from nin.runs.comparing.plan import Plan, best_factor
from nin.runs.comparing.table import rows_of, seconds_to, spread_over_seeds, to_csv
from nin.runs.environment import machine

QUIET = Watcher(lambda cell, left: None, lambda progress: None, lambda outcome: None)
NETS = """
import os
from torch import nn

def normed(in_channels, num_classes):
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, num_classes),
    )

class Broken(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.dense = nn.Linear(in_channels, num_classes)

    def forward(self, images):
        print("not an answer")
        return self.dense(images.mean(dim=(2, 3)) * (float("nan") if self.training else 1.0))

class Gone(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.dense = nn.Linear(in_channels, num_classes)

    def forward(self, images):
        if self.training:
            os._exit(7)
        return self.dense(images.mean(dim=(2, 3)))
"""


@pytest.fixture(scope="module")
def stripes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of IDX files with 300 training and 100 test images."""
    contents: dict[str, bytes] = {}
    for prefix, images in (("train", stripes(300, seed=1)), ("t10k", stripes(100, seed=2))):
        contents[f"{prefix}-images-idx3-ubyte"] = any_idx(images.images.squeeze(1).numpy())
        contents[f"{prefix}-labels-idx1-ubyte"] = any_idx(images.labels.numpy().astype("uint8"))
    return write_files(tmp_path_factory.mktemp("stripes"), contents, suffix="")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a module of somebody else's networks."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "others_nets.py").write_text(NETS)
    return folder


class Compared(NamedTuple):
    """A comparison that was killed in its second training and went on: its folder, what the second command printed.

    And when the files of the first training were last written, before the kill.
    """

    folder: Path
    output: str
    finished_before_the_kill: tuple[int, int]


@pytest.fixture(scope="module")
def compared(stripes_folder: Path, nets: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Compare LeNet, a network of somebody else, one that dies and one whose process ends."""
    folder = tmp_path_factory.mktemp("compared") / "comparison"
    networks = ("lenet", "others_nets:normed", "others_nets:Broken", "others_nets:Gone")
    arguments = ["compare", *networks, "--data", stripes_folder, "--epochs", "2", "--seeds", "1", "--out", folder]
    command = [*PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=nets, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "others_nets--normed-1.0-0" / "plan.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "others_nets--normed-1.0-0.json").exists()
    first, page = (folder / name for name in ("lenet-1.0-0.json", "lenet-1.0-0/report.html"))
    finished = first.stat().st_mtime_ns, page.stat().st_mtime_ns
    answer = start(*arguments, cwd=nets)
    assert (answer.returncode, answer.stderr) == (0, "")
    return Compared(folder, answer.stdout, finished)


@pytest.mark.slow
def test_every_network_is_trained_and_measured(compared: Compared):
    folder = compared.folder
    cells = {one["cell"]["network"]: one for one in json.loads((folder / "results.json").read_text())["trainings"]}
    assert list(cells) == ["lenet", "others_nets:normed", "others_nets:Broken", "others_nets:Gone"]
    for network in ("lenet", "others_nets:normed"):
        trained, inference = cells[network]["trained"], cells[network]["inference"]
        assert trained["ended"] == "finished"
        assert trained["epochs"] == pytest.approx(2, abs=0.2)
        assert trained["size"] == 28
        assert trained["test_accuracy"] > 0.3  # chance is 0.25
        assert 1e8 < trained["peak_memory"] < 1e10
        assert 1e8 < inference["peak_memory"] < 1e10
        assert inference["images_per_second"] > 100
        assert [point["epoch"] for point in trained["curve"]] == sorted(point["epoch"] for point in trained["curve"])
    # 24x24x1 conv, its norm, and 128 x 4 dense weights
    assert cells["others_nets:normed"]["trained"]["parameters"] == 8 * 26 + 16 + 4 * 129


@pytest.mark.slow
def test_a_network_that_fails_is_a_row_that_says_so(compared: Compared):
    folder, output, _ = compared
    page = (folder / "comparison.html").read_text()
    assert "its process ended with exit code 7" in page
    assert re.search(r"others_nets:Gone.* failed: its process ended with exit code 7", output)
    assert re.search(r"others_nets:Broken.*: validation accuracy .*\(the training died: ", output)
    assert re.search(r"<strong>others_nets:Broken</strong>: .*the loss ", page)


@pytest.mark.slow
def test_the_page_loads_nothing_and_names_the_command(compared: Compared):
    folder = compared.folder
    page = (folder / "comparison.html").read_text()
    assert "nin compare lenet others_nets:normed" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    lines = (folder / "comparison.csv").read_text().splitlines()
    assert lines[0].startswith("network,title,batch_norm,")
    assert [line.split(",")[0] for line in lines[1:]] == [
        "lenet",
        "others_nets:normed",
        "others_nets:Broken",
        "others_nets:Gone",
    ]


@pytest.mark.slow
def test_a_comparison_that_was_killed_goes_on_where_it_was(compared: Compared):
    times = compared.folder / "lenet-1.0-0.json", compared.folder / "lenet-1.0-0" / "report.html"
    assert tuple(file.stat().st_mtime_ns for file in times) == compared.finished_before_the_kill
    assert "lenet, seed 0" not in compared.output
    assert compared.output.startswith("others_nets:normed, seed 0: 3 trainings to go")


TALKATIVE = """
import sys
sys.stdin.readline()
print('{"images": 5}', flush=True)
while True:
    print("more" * 1000, flush=True)
    print("more" * 1000, file=sys.stderr, flush=True)
"""


def test_what_a_process_says_after_its_answer_disturbs_nobody(monkeypatch: pytest.MonkeyPatch):
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    monkeypatch.setattr(cell_process, "_START", TALKATIVE)
    before = set(threading.enumerate())
    for _ in range(5):
        assert cell_process.run_job(Job("data", "anything"), QUIET.progress) == Read(5)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert raised == []


def test_the_process_of_a_cell_is_alone_and_has_its_share_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    """Under torchrun: it must not join the processes that wait for each other."""
    launched = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cell_process, "processes", lambda: 2)
    monkeypatch.setattr(cell_process, "usable_threads", lambda: 7)
    program = f"import json, os; print(json.dumps({{'failed': str([os.environ.get(one) for one in {[*launched]}])}}))"
    monkeypatch.setattr(cell_process, "_START", program)
    with pytest.raises(RunError, match=re.escape(str(5 * [None]))):
        cell_process.run_job(Job("data", "anything"), QUIET.progress)
    monkeypatch.setattr(
        cell_process, "_START", "import os; print('{\"images\":' + os.environ['OMP_NUM_THREADS'] + '}')"
    )
    assert cell_process.run_job(Job("data", "anything"), QUIET.progress) == Read(7)


# --- The order of the cells, with trainings that take no time ---


def trained(accuracy: float, **changes: object) -> Trained:
    values = {
        "ended": "finished",
        "troubles": (),
        "size": 28,
        "epochs": 2.0,
        "parameters": 10,
        "multiply_adds": 100,
        "validation_accuracy": accuracy,
        "test_accuracy": accuracy - 0.01,
        "images_per_second": 5.0,
        "seconds": 7.0,
        "peak_memory": 2**28,
        "curve": (Point(1.0, 1.0, 2.0, 2.0, 0.5), Point(3.0, 2.0, 1.0, None, accuracy)),
    }
    return Trained(**(values | changes))


SETTINGS = Settings("fashion-mnist", None, 2.0, "fastest")


def pretend(job: Job, on_progress: object) -> Read | Trained | Inference:
    """Do a job in no time."""
    if job.kind == "data":
        return Read(60_000)
    if job.kind == "inference":
        return Inference(10.0, None)
    return trained(0.9 if job.changes["learning_rate"] == pytest.approx(0.2) else 0.8)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Return the list that trainings are put into instead of being done; the best learning rate is the second."""
    done: list[Job] = []

    def note(job: Job, on_progress: object) -> Read | Trained | Inference:
        if job.kind == "train":
            done.append(job)
        return pretend(job, on_progress)

    monkeypatch.setattr(compare_module, "run_job", note)
    return done


def test_other_seeds_have_the_learning_rate_that_is_best_on_validation(jobs: list[Job], tmp_path: Path):
    left: list[tuple[str, int]] = []
    watcher = Watcher(lambda cell, many: left.append((cell.name, many)), QUIET.progress, QUIET.outcome)
    compare(Plan(["lenet", "nin"], 3, (1.0, 2.0)), SETTINGS, tmp_path / "new", watcher)
    names = [f"{network}-{one}" for network in ("lenet", "nin") for one in ("1.0-0", "2.0-0", "2.0-1", "2.0-2")]
    assert [name for name, _ in left] == names
    assert left[-1][1] == 1
    assert [many for _, many in left] == sorted((many for _, many in left), reverse=True)
    assert [job.changes.get("size") for job in jobs] == [None] * 4 + [67] * 4
    rates = [(job.changes["muon_learning_rate"], job.seed) for job in jobs[:4]]
    assert rates == [(0.05, 0), (0.1, 0), (0.1, 1), (0.1, 2)]
    (lenet, nin) = rows_of(read_outcomes(tmp_path / "new"))
    assert (lenet.factor, lenet.seeds, lenet.validation) == (2.0, 3, pytest.approx(0.9))
    assert nin.title == "NiN"


def test_every_network_has_the_same_regularisation(jobs: list[Job], tmp_path: Path):
    compare(Plan(["lenet", "nin", "nin-2013", "resnet18"], 1), SETTINGS, tmp_path / "new", QUIET)
    same = ("flip", "shift", "erase", "dropout", "muon_weight_decay", "learning_rate", "muon_learning_rate")
    assert len({tuple(job.changes[field] for field in same) for job in jobs}) == 1


def test_both_tables_and_published_sizes(jobs: list[Job], tmp_path: Path):
    settings = Settings("fashion-mnist", 5.0, None, "published")
    compare(Plan(["vgg", "resnet18"], 1, batch_norm="both"), settings, tmp_path / "new", QUIET)
    outcomes = read_outcomes(tmp_path / "new")
    assert [(cell.network, cell.batch_norm) for cell in outcomes] == [
        ("vgg", True), ("resnet18", True), ("vgg", False), ("resnet18", False)
    ]  # fmt: skip
    assert [job.changes["size"] for job in jobs] == [224, 96, 224, 96]
    assert [job.changes["batch_norm"] for job in jobs] == [True, True, False, False]
    page = write_page(tmp_path / "new", settings, outcomes, machine("nin compare")).read_text()
    assert "Without batch norm" in page
    assert "5 minutes for each training" in page


def test_more_seeds_and_networks_are_added_to_what_is_there(jobs: list[Job], tmp_path: Path):
    compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "new", QUIET)
    compare(Plan(["lenet", "alexnet"], 2), SETTINGS, tmp_path / "new", QUIET)
    assert [(job.network, job.seed) for job in jobs] == [("lenet", 0), ("lenet", 1), ("alexnet", 0), ("alexnet", 1)]
    compare(Plan(["nin"], 1), SETTINGS, tmp_path / "new", QUIET)
    assert len(read_outcomes(tmp_path / "new")) == 5, "the page shows all that the folder holds"


def test_a_network_whose_file_has_changed_is_trained_again(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = tmp_path / "changing_nets.py"
    module.write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    networks = ["changing_nets:normed"]
    for _ in range(2):
        compare(Plan(networks, 3, (1.0, 2.0)), SETTINGS, tmp_path / "new", QUIET)
    assert len(jobs) == 4
    module.write_text(NETS + "# another\n")
    compare(Plan(networks, 1), SETTINGS, tmp_path / "new", QUIET)
    assert len(jobs) == 5
    for named in (networks, []):
        [row] = rows_of(read_outcomes(tmp_path / "new", named))
        assert (row.seeds, row.factor) == (1, 1.0), "of the file as it is now, and of nothing else"


def test_what_failed_is_tried_again_and_what_only_cannot_be_measured_keeps_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(job: Job, on_progress: object) -> Read | Trained | Inference:
        if job.kind == "inference":
            raise RunError("too little memory")
        return pretend(job, on_progress)

    monkeypatch.setattr(compare_module, "run_job", fail)
    left: list[int] = []
    watcher = Watcher(lambda cell, many: left.append(many), QUIET.progress, QUIET.outcome)
    compare(Plan(["lenet", "nin"], 1), SETTINGS, tmp_path / "both", watcher)
    assert left == [2, 1]
    compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "new", QUIET)
    (outcome,) = read_outcomes(tmp_path / "new").values()
    assert outcome.trained is not None
    assert outcome.failed == "too little memory"
    monkeypatch.setattr(compare_module, "run_job", pretend)
    compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "new", QUIET)
    (outcome,) = read_outcomes(tmp_path / "new").values()
    assert (outcome.failed, outcome.inference) == (None, Inference(10.0, None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"networks": []}, "name each network once"),
        ({"networks": ["lenet", "lenet"]}, "name each network once"),
        ({"networks": ["lenet-5"]}, "there is no network 'lenet-5'"),
        ({"networks": ["no_such_module:net"]}, "cannot import the network no_such_module:net: ModuleNotFoundError"),
        ({"seeds": 0}, "seeds must be from 1 to 21, not 0"),
        ({"learning_rates": ()}, "learning rates are factors"),
        ({"learning_rates": (1.0, -1.0)}, "not 1.0, -1.0"),
        ({"learning_rates": (1.0, 1.0)}, "a factor on the learning rates is given twice"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(changes: dict[str, object], said: str):
    with pytest.raises(OptionError) as caught:
        Plan(**({"networks": ["lenet"]} | changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("minutes", "epochs", "said"),
    [
        (2.0, 2.0, "either minutes or epochs"),
        (None, None, "either minutes or epochs"),
        (0.0, None, "minutes must be a number over 0"),
        (None, 20_000.0, "epochs must be a number over 0, 10,000 at most"),
    ],
)
def test_a_budget_that_no_training_can_have_is_refused(
    minutes: float | None, epochs: float | None, said: str, jobs: list[Job], tmp_path: Path
):
    with pytest.raises(OptionError, match=said):
        compare(Plan(["lenet"]), Settings("fashion-mnist", minutes, epochs, "fastest"), tmp_path / "new", QUIET)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_comparison_or_of_something_else_is_refused(jobs: list[Job], tmp_path: Path):
    folder, other = tmp_path / "new", Settings("fashion-mnist", None, 3.0, "fastest")
    compare(Plan(["lenet"], 1), SETTINGS, folder, QUIET)
    with pytest.raises(
        RunError, match=r"holds a comparison with epochs 2\.0, not 3\.0: name another folder with --out"
    ):
        compare(Plan(["lenet"], 1), other, folder, QUIET)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.png").write_bytes(b"")
    with pytest.raises(RunError, match="is there already"):
        compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "other", QUIET)
    assert len(jobs) == 1


def test_images_that_cannot_be_read_are_said_before_anything_is_trained_and_block_no_folder(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_data(job: Job, on_progress: object) -> Read:
        raise RunError("there is no data set 'fashion-mnsit'")

    with monkeypatch.context() as broken:
        broken.setattr(compare_module, "run_job", no_data)
        with pytest.raises(RunError, match="no data set"):
            compare(Plan(["lenet"], 1), Settings("fashion-mnsit", None, 2.0, "fastest"), tmp_path / "new", QUIET)
    compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "new", QUIET)
    assert len(jobs) == 1


def test_what_a_kill_at_the_start_leaves_blocks_no_folder(jobs: list[Job], tmp_path: Path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".comparison.json.0123abcd.tmp").write_text("{")
    compare(Plan(["lenet"], 1), SETTINGS, tmp_path / "new", QUIET)
    assert not list((tmp_path / "new").glob("*.tmp"))
    assert len(jobs) == 1


# --- Rows ---


def outcomes_of(*accuracies: float, factor: float = 1.0) -> Outcomes:
    return {
        (cell := Cell("nin", True, factor, seed)): Outcome(
            cell, "NiN", None, trained(accuracy), Inference(10.0 + seed, 2**20 * seed)
        )
        for seed, accuracy in enumerate(accuracies)
    }


def test_a_row_has_means_and_intervals_over_the_seeds():
    (row,) = rows_of(outcomes_of(0.90, 0.91, 0.92))
    assert row.validation == pytest.approx(0.91)
    assert row.validation_interval == pytest.approx(4.303 * 0.01 / 3**0.5, abs=1e-4)
    assert row.test == pytest.approx(0.90)
    assert row.seconds_to_target == 3.0
    assert row.inference_memory == 2**21
    assert rows_of(outcomes_of(0.91))[0].validation_interval is None


def test_time_to_the_target_is_only_known_where_every_seed_gets_there():
    assert rows_of(outcomes_of(0.90, 0.89))[0].seconds_to_target is None
    assert seconds_to(0.5, trained(0.9)) == 1.0
    assert seconds_to(0.95, trained(0.9)) is None


def test_a_dead_training_and_a_failed_one_are_troubles_of_the_row():
    cells = outcomes_of(0.91)
    for factor, changes in (
        (4.0, {"trained": trained(0.1, ended="dead", troubles=("the loss is not finite",))}),
        (8.0, {"failed": "out of memory"}),
    ):
        cell = Cell("nin", True, factor, 0)
        cells[cell] = Outcome(cell, "NiN", None, **changes)
    (row,) = rows_of(cells)
    assert row.factor == 1.0
    assert row.troubles == (
        "the loss is not finite (learning rates × 4, seed 0)",
        "out of memory (learning rates × 8, seed 0)",
    )
    cell = Cell("nin", True, 1.0, 0)
    (alone,) = rows_of({cell: Outcome(cell, "NiN", None, failed="<b> & more")})
    assert alone.validation is None
    assert best_factor("nin", True, {}) is None
    assert "<b> & more" in to_csv([alone])


def test_the_page_says_whether_all_networks_were_tuned_alike(tmp_path: Path):
    tuned = outcomes_of(0.9) | outcomes_of(0.8, factor=2.0)
    other = Cell("lenet", True, 1.0, 0)
    page = write_page(
        tmp_path, SETTINGS, tuned | {other: Outcome(other, "LeNet-5", None, trained(0.7))}, machine("nin")
    )
    assert "are the best of 1 or 2 on the validation" in page.read_text()
    assert "Not all networks were tuned alike." in page.read_text()
    otherwise = {
        (cell := Cell("lenet", True, factor, 0)): Outcome(cell, "LeNet-5", None, trained(0.7)) for factor in (1.0, 4.0)
    }
    page = write_page(tmp_path, SETTINGS, tuned | otherwise, machine("nin"))
    assert "Not all networks were tuned alike." in page.read_text()
    page = write_page(tmp_path, SETTINGS, tuned, machine("nin"))
    assert "are the best of 2 on the validation" in page.read_text()
    assert "tuned alike" not in page.read_text()


def test_names_are_text_on_the_page(tmp_path: Path):
    cell = Cell("lenet", True, 1.0, 0)
    outcomes = outcomes_of(0.9) | {cell: Outcome(cell, "LeNet-5", None, failed="<b> & more")}
    page = write_page(tmp_path, SETTINGS, outcomes, machine("nin <compare>")).read_text()
    assert "not trained: &lt;b&gt; &amp; more" in page
    assert "nin &lt;compare&gt;" in page


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.9407], "0.9407"),
        ([0.9258, 0.9239, 0.9264], "0.9254 ± 0.0032 (0.9258, 0.9239, 0.9264)"),
        ([0.91, 0.92, 0.93, 0.94, 0.95, 0.96], "0.9350 ± 0.0196"),
    ],
)
def test_accuracies_of_some_seeds_are_written_with_their_interval_and_few_with_each_of_them(
    values: list[float], written: str
):
    assert spread_over_seeds(values) == written
