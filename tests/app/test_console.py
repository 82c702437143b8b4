"""Does the console say what matters of a training, and does the training go on when nobody reads it?"""

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.table import Table
from runs.small import tiny_plan, tiny_splits

from nin.app.console import Progress, print_table
from nin.training.events import Revision, Step, Trouble, Validation
from nin.training.fit import Training
from nin.training.network import initial_network
from nin.training.plan import Plan

SPLITS = tiny_splits()
VALIDATION = Validation(
    step=4, epoch=1.0, train_loss=0.9, train_accuracy=0.85, validation_loss=0.8123, validation_accuracy=0.8765,
    images_per_second=1040.4, seconds=52.8,
)  # fmt: skip


def training(plan: Plan) -> Training:
    return Training(initial_network(plan), SPLITS.train, SPLITS.validation, plan)


def test_events_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]):
    plan = tiny_plan(SPLITS)
    with Progress() as progress:
        assert progress.bar.disable, "tests have no terminal"
        progress.start(training(plan), Path("runs/[1]"))
        progress.show(Step(1, 0.25, 1.3, 500.0))
        progress.last_line -= 60
        progress.show(Step(2, 0.5, 1.2, 500.0))
        progress.show(VALIDATION)
        progress.show(Trouble("stalled", 100, "the loss has stayed at ln(4)."))
        progress.show(Trouble("interrupted", 100, "Ctrl-C stopped the training."))
    assert capsys.readouterr().out.splitlines() == [
        f"nin with the recipe small: 2 epochs at 67x67, seed 0, cpu in {plan.precision}; writing to runs/[1]",
        "epoch 0.50/2, step 2/8: loss 1.200, 500 images/s, 0.384 s left",
        "epoch 1.00/2: train loss 0.900, accuracy 0.8500; validation loss 0.812, accuracy 0.8765; 1,040 images/s, "
        "52.8 s",
        "This run is stalled: the loss has stayed at ln(4).",
        "Ctrl-C stopped the training. Evaluation and report follow in a moment.",
    ]


def test_a_plan_that_does_not_fit_its_minutes_says_so(capsys: pytest.CaptureFixture[str]):
    plan = replace(tiny_plan(SPLITS, epochs=0.5), minutes=1.0)
    with Progress() as progress:
        progress.start(training(plan), Path("run"))
    assert "There is time for less than one epoch here; expect a lower accuracy." in capsys.readouterr().out
    plan = replace(tiny_plan(SPLITS, epochs=2.0, max_epochs=2.0), minutes=600.0)
    with Progress() as progress:
        progress.start(training(plan), Path("run"))
    assert "The recipe stops at 2 epochs, before the minutes are used." in capsys.readouterr().out


@pytest.mark.parametrize(("steps", "said"), [((4, 2), "slower"), ((4, 9), "faster")])
def test_a_revised_plan_is_said_with_its_steps(capsys: pytest.CaptureFixture[str], steps: tuple[int, int], said: str):
    made = training(tiny_plan(SPLITS))
    with Progress() as progress:
        progress.start(made, Path("run"))
        made.plan = replace(made.plan, steps_per_interval=steps)
        for _ in range(2):  # the second time, nothing has changed
            progress.show(Revision(made.plan))
    expected = f"This machine has become {said}: the plan now has {sum(steps)} steps.\n"
    out = capsys.readouterr().out
    assert out.endswith(expected)
    assert out.count("This machine") == 1


@pytest.mark.parametrize(("name", "other"), [("stdout", "stderr"), ("stderr", "stdout")])
def test_the_work_goes_on_when_nobody_reads_its_lines_any_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, other: str
):
    progress = Progress(stderr=name == "stderr")
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closed below, where what it holds back cannot be written
    monkeypatch.setattr(f"sys.{name}", full)
    progress.print("lost")
    assert getattr(sys, name) is not full
    progress.print("lost too, and no error")
    print("results", file=getattr(sys, other))
    assert getattr(capsys.readouterr(), other[3:]) == "results\n"
    getattr(sys, name).close()
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_a_table_is_not_cut_where_no_terminal_sets_a_width(capsys: pytest.CaptureFixture[str]):
    table = Table("name")
    table.add_row("x" * 200)
    print_table(table)
    assert "x" * 200 in capsys.readouterr().out
