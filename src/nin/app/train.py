"""How is `nin train` carried out? Trains, shows the progress, and prints the result."""

import shlex
import sys

from nin.app.cli import STARTED
from nin.app.console import Progress
from nin.app.evaluate import mean_recall
from nin.app.options import Train
from nin.launch import launched_rank
from nin.runs.result import Result
from nin.runs.train import train
from nin.text import duration

EXIT_CODES = {"finished": 0, "dead": 1, "interrupted": 130}


def main(options: Train) -> int:
    """Train; return 0, or 1 for a dead run and 130 for one that Ctrl-C stopped."""
    command = shlex.join(["nin", *sys.argv[1:]])
    if launched_rank() > 0:  # the first process shows and prints
        train(**vars(options), command=command, started=STARTED)
        return 0
    with Progress() as progress:
        try:
            result = train(
                **vars(options),
                command=command,
                started=STARTED,
                on_progress=progress.read,
                on_findings=progress.found,
                on_start=progress.start,
                on_event=progress.show,
            )
        except KeyboardInterrupt:
            progress.print("Stopped before the report was made.")
            raise
    _print_accuracy(result)
    print(f"time                {duration(result.seconds)}, of which training {duration(result.training_seconds)}")
    print(f"model               {result.folder / 'model'}")
    print(f"report              {result.folder / 'report.html'}")
    return EXIT_CODES[result.ended]


def _print_accuracy(result: Result) -> None:
    found, split = result.evaluation, result.evaluated
    print(f"{split + ' accuracy':19} {found.accuracy:.4f} (95 % interval {found.accuracy_low:.4f} to "
          f"{found.accuracy_high:.4f}; it covers the {split} sample, not the seed)")  # fmt: skip
    print(f"balanced accuracy   {found.balanced_accuracy:.4f} ({mean_recall(found)})")
    if split == "test":
        print(f"validation accuracy {result.validation_accuracy:.4f}")
    else:
        print("                    There were no test images: the temperature was fitted on the validation images, and "
              "runs are compared by them, so expect less on new images.")  # fmt: skip
