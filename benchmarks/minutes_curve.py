"""How does test accuracy grow with the minutes? The figure of docs/time-to-accuracy.md.

    python benchmarks/minutes_curve.py docs/time-to-accuracy.png

draws the runs of benchmarks/records/minutes.csv, to which minutes.py adds lines: a dot for each run, and a line through
the means over the seeds. The axis of accuracy is logarithmic in the error.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from nin.figures.style import BLUE, RED, STYLE, to_png

RECORD = Path(__file__).parent / "records" / "minutes.csv"
NETWORKS = {"nin": ("nin, the textbook's network", BLUE, "o"), "nin-2013": ("nin-2013, the paper's network", RED, "s")}
SOURCES = {"fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
ACCURACIES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95)


def main(path: Path) -> None:
    """Read the record and draw it."""
    errors = read(RECORD)
    ticks = sorted({minutes for by_minutes in errors.values() for minutes in by_minutes})
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        panels = figure.subplots(1, len(SOURCES), sharex=True, sharey=True)
        for axes, (source, title) in zip(panels, SOURCES.items(), strict=True):
            for network, (name, colour, marker) in NETWORKS.items():
                by_minutes = errors[source, network]
                means = [mean(by_minutes[minutes]) for minutes in sorted(by_minutes)]
                axes.plot(sorted(by_minutes), means, color=colour, label=name)
                dots = [(minutes, error) for minutes, several in by_minutes.items() for error in several]
                axes.plot(*zip(*dots, strict=True), marker, color=colour, markersize=4, alpha=0.6)
            axes.set(xscale="log", yscale="log", title=title, xlabel="minutes of the whole command")
            axes.set_xticks(ticks, [f"{minutes:g}" for minutes in ticks])
            axes.set_yticks([1 - accuracy for accuracy in ACCURACIES], [f"{accuracy:g}" for accuracy in ACCURACIES])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.3)
        panels[0].invert_yaxis()
        panels[0].set_ylabel("test accuracy")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        path.write_bytes(to_png(figure))


def read(record: Path) -> defaultdict[tuple[str, str], defaultdict[float, list[float]]]:
    """Return the test errors by data set and network, and by minutes."""
    errors: defaultdict[tuple[str, str], defaultdict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    with record.open(newline="") as file:
        for run in csv.DictReader(file):
            errors[run["source"], run["network"]][float(run["minutes"])].append(1 - float(run["test_accuracy"]))
    return errors


if __name__ == "__main__":
    main(Path(sys.argv[1]))
