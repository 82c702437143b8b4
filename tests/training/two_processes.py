"""Train in each of the processes that `torchrun` has started, and write down what came of it: a program for tests.

torchrun --nproc-per-node 2 -- two_processes.py FOLDER
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from runs.small import blank_figures
from runs.test_compare import pretend
from synthetic import small_splits
from torch import Tensor, nn
from training.alike import ODD, WITH_BATCH_NORM, evaluation_of, logits_of_all, network, train

import nin.runs.run
from nin import distributed
from nin.app.cli import run_command
from nin.data.images import Splits
from nin.errors import NinError
from nin.runs.comparing import compare as compare_module
from nin.runs.comparing.cell import Inference, Job, Read, Trained
from nin.training.augmentation import Views
from nin.training.events import State, Validation
from nin.training.fit import Training
from nin.training.plan import resolve


def complaint(action: Callable[[], object]) -> str:
    """Return what an action complains of."""
    try:
        action()
    except NinError as error:
        return str(error)
    return ""


def resumed(splits: Splits) -> tuple[nn.Module, nn.Module]:
    """Return a network that was trained through, and one whose training was resumed from the middle of an interval."""
    through = train(WITH_BATCH_NORM, splits, dropout=True)
    states: list[State] = []
    begun = network(dropout=True)
    plan = resolve(WITH_BATCH_NORM, splits.train, 0, torch.device("cpu"))
    training = Training(begun, splits.train, splits.validation, plan)
    for _ in training.fit():
        if training.step == 5:
            states.append(training.state())
            break
    [state] = states
    state = distributed.share(state)  # as if it had been read from the disk of the first
    again = Training(network(dropout=True), splits.train, splits.validation, plan, state)
    list(again.fit())
    return through.network, again.network


def dead(splits: Splits) -> str:
    """Return how a run ends whose loss is no number in one process alone."""
    step = Training._train_step

    def train_step(training: Training, views: Views) -> Tensor:
        logits = step(training, views)
        training.interval_totals[0] += float("nan") if distributed.rank() == 1 else 0.0
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_train_step", train_step)
        patch.setattr(nin.runs.run, "run_figures", blank_figures)
        return nin.train(splits, network="lenet", epochs=1.0, run="dead").ended


def compared() -> tuple[int, list[str]]:
    """Return how a comparison ends whose trainings take no time, and which networks this process trains."""
    made: list[str] = []

    def note(job: Job, on_progress: object) -> Read | Trained | Inference:
        if job.kind == "train":
            made.append(job.network)
        return pretend(job, on_progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare_module, "run_job", note)
        networks = ["lenet", "alexnet", "nin"]
        return run_command(["compare", *networks, "--epochs", "1", "--seeds", "1", "--out", "comparison"]), made


def main(folder: Path) -> None:
    """Do it all, and write the results as the first process."""
    distributed.join()
    torch.set_num_threads(1)
    splits = small_splits()
    found = {
        "processes": distributed.processes(),
        "ranks": distributed.gather(distributed.rank()),
        "odd": train(ODD, splits).network.state_dict(),
        "odd_validations": [vars_of(one) for one in train(ODD, splits).validations],
    }
    accuracies = [train(WITH_BATCH_NORM, splits, seed=seed).validations[-1].validation_accuracy for seed in range(3)]
    found |= {"batch_norm": accuracies, "logits": logits_of_all(splits)}
    through, again = resumed(splits)
    found |= {"through": through.state_dict(), "again": again.state_dict()}
    statistics = distributed.gather(torch.cat([buffer.float().flatten() for buffer in through.buffers()]))
    found["statistics"] = statistics
    rank = distributed.rank()
    found["other_data"] = complaint(lambda: distributed.check_agreement("images", "these" if rank == 0 else "those"))
    found["evaluation"] = evaluation_of(splits)
    Path("taken").mkdir(exist_ok=True)
    found["taken"] = distributed.gather(complaint(lambda: nin.train(splits, epochs=1.0, run="taken")))
    found["other_options"] = distributed.gather(complaint(lambda: nin.train(splits, epochs=1.0, seed=rank)))
    found["compared"] = distributed.gather(compared())
    found["dead"] = distributed.gather(dead(splits))
    few = replace(ODD, batch_size=1)
    found["too_many"] = complaint(lambda: train(few, splits))
    if distributed.is_main():
        torch.save(found, folder / "found.pt")


def vars_of(validation: Validation) -> dict[str, float]:
    """Return the figures of a validation."""
    names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    return {name: getattr(validation, name) for name in names}


main(Path(sys.argv[1]))
