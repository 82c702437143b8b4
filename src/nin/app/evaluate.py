"""How is `nin evaluate` carried out? Prints how good a model is on the test images."""

import json

from rich.table import Table
from rich.text import Text

from nin.app.console import print_table
from nin.app.options import Evaluate
from nin.data.fashion_mnist import fashion_mnist
from nin.files import write, write_json
from nin.inference.classifier import Classifier, load
from nin.metrics import Evaluation
from nin.runs.evaluate import BATCH, evaluate, images_per_second
from nin.runs.folder import new_folder, refuse_existing


def main(options: Evaluate) -> int:
    """Evaluate a model on the test split, print the result and, with --out, write it with its figures."""
    if options.out is not None:
        refuse_existing(options.out)
    classifier = load(options.model, device=options.device)
    test = fashion_mnist(options.data).test
    evaluation = evaluate(classifier, test)
    speed = images_per_second(classifier, test.images)
    values = evaluation.to_json() | {
        "temperature": classifier.config.temperature,
        "images_per_second": speed,
        "precision_of_predict": classifier.precision,
    }
    if options.out is not None:
        from nin.figures.style import to_png  # matplotlib takes time, and a folder that it can write
        from nin.runs.figures import evaluation_figures

        new_folder(options.out)
        for name, figure in evaluation_figures(evaluation, test).items():
            write(options.out / name, to_png(figure))
        write_json(options.out / "evaluation.json", values)
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    _print_evaluation(options.model, classifier, evaluation, speed)
    if options.out is not None:
        print(f"figures                    {options.out}")
    return 0


def _print_evaluation(model: str, classifier: Classifier, found: Evaluation, speed: float) -> None:
    config, interval = classifier.config, f"{found.accuracy_low:.4f} to {found.accuracy_high:.4f}"
    size = config.preprocessing.size
    print(f"model                      {model}: {config.architecture} at {size}x{size}")
    print(f"top-1 accuracy             {found.accuracy:.4f} on {found.images:,} test images, in float32; 95 % interval "
          f"{interval} (Wilson; it covers the test sample, not the seed)")  # fmt: skip
    print(f"loss                       {found.loss:.4f} nats, at temperature {config.temperature:.3f}")
    print(f"expected calibration error {found.calibration.error:.4f} in {len(found.calibration.counts)} bins")
    print(f"speed                      {speed:,.0f} images/s, in batches of {BATCH}, in {classifier.precision}")
    table = Table("class", "precision", "recall", "most often mistaken for")
    for row, (label, precision, recall) in enumerate(zip(found.labels, found.precision, found.recall, strict=True)):
        wrong = {name: count for name, count in zip(found.labels, found.confusion[row], strict=True) if name != label}
        name = max(wrong, key=wrong.__getitem__, default=None)
        often = f"{name}, {wrong[name]} times" if name is not None and wrong[name] else "–"
        shares = ("–" if share is None else f"{share:.3f}" for share in (precision, recall))
        table.add_row(*map(Text, (label, *shares, often)))
    print_table(table)
