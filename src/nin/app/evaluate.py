"""How is `nin evaluate` carried out? Prints how good a model is on labelled images."""

import json
from contextlib import nullcontext

from rich.table import Table
from rich.text import Text

from nin.app.console import Progress, print_table
from nin.app.options import Evaluate
from nin.data.images import LabelledImages
from nin.data.progress import no_progress
from nin.distributed import check_agreement, from_main, is_main, join, one_by_one, processes, wait
from nin.files import write, write_json
from nin.inference.classifier import Classifier
from nin.inference.load import hash_of, load
from nin.metrics import Evaluation, classes_to_list
from nin.runs.evaluate import BATCH, evaluate, images_per_second
from nin.runs.folder import new_folder, refuse_existing
from nin.runs.held_out import images_to_evaluate
from nin.runs.split_record import fingerprint
from nin.stopping import naming_who_left
from nin.text import printable


@naming_who_left()
def main(options: Evaluate) -> int:
    """Evaluate a model on images, print the result and, with --out, write it with its figures."""
    join(options.device)
    if (out := options.out) is not None:
        from_main(lambda: refuse_existing(out))
    classifier = load(options.model, device=options.device)
    with one_by_one(), Progress(stderr=True) if is_main() else nullcontext() as progress:
        on_progress = no_progress if progress is None else progress.read
        name, split, images = images_to_evaluate(options.source, options.model, classifier.config, on_progress)
    name = printable(name)
    if processes() > 1:
        check_agreement("images", fingerprint({split: images}))
        check_agreement("models", hash_of(classifier))
    evaluation = evaluate(classifier, images)
    if not is_main():
        wait()  # for what the main process writes
        return 0
    code = _show(options, classifier, name, split, images, evaluation)
    wait()
    return code


def _show(
    options: Evaluate, classifier: Classifier, name: str, split: str, images: LabelledImages, evaluation: Evaluation
) -> int:
    """Print an evaluation and, with --out, write it with its figures."""
    speed = images_per_second(classifier, images.images)
    values = (
        {"data": name, "split": split}
        | evaluation.to_json()
        | {
            "temperature": classifier.config.temperature,
            "images_per_second": speed,
            "precision_of_predict": classifier.precision,
        }
    )
    if options.out is not None:
        from nin.figures.style import to_png  # matplotlib takes time, and a folder that it can write
        from nin.runs.figures import evaluation_figures

        new_folder(options.out)
        for file, figure in evaluation_figures(evaluation, images).items():
            write(options.out / file, to_png(figure))
        write_json(options.out / "evaluation.json", values)
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    print_evaluation(options.model, classifier, images_in_words(split, name), evaluation, speed)
    if options.out is not None:
        print(f"figures                    {options.out}")
    return 0


def images_in_words(split: str, name: str) -> str:
    """Say which images of a data set were evaluated: "test images of Fashion-MNIST", for example."""
    return f"images of {name}, all that there are" if split == "all" else f"{split} images of {name}"


def mean_recall(found: Evaluation) -> str:
    """Say over which classes the balanced accuracy is a mean: a class without images has no recall."""
    having = sum(share is not None for share in found.recall)
    classes = "the classes" if having == len(found.labels) else f"the {having:,} classes that have images"
    return f"the mean recall of {classes}"


def print_evaluation(model: str, classifier: Classifier, images: str, found: Evaluation, speed: float) -> None:
    """Print how good a model is on images, such as "test images of Fashion-MNIST"."""
    config, interval = classifier.config, f"{found.accuracy_low:.4f} to {found.accuracy_high:.4f}"
    size = config.preprocessing.size
    print(f"model                      {model}: {config.architecture} at {size}x{size}")
    print(f"top-1 accuracy             {found.accuracy:.4f} on {found.images:,} {images}, in float32; 95 % interval "
          f"{interval} (Wilson; it covers the sample of images, not the seed)")  # fmt: skip
    print(f"balanced accuracy          {found.balanced_accuracy:.4f}, {mean_recall(found)}")
    print(f"loss                       {found.loss:.4f} nats, at temperature {config.temperature:.3f}")
    print(f"expected calibration error {found.calibration.error:.4f} in {len(found.calibration.counts)} bins")
    print(f"speed                      {speed:,.0f} images/s, in batches of {BATCH}, in {classifier.precision}")
    _print_classes(found)


def _print_classes(found: Evaluation) -> None:
    """Print a table of the classes; of many, of those of lowest recall."""
    listed, images = classes_to_list(found.recall), found.images_per_class
    if len(listed) < len(found.labels):
        print(f"The {len(listed)} of {len(found.labels):,} classes with the lowest recall; --json has all:")
    often: dict[int, str] = {}
    for true, predicted, count in reversed(found.mistakes()):
        often[true] = f"{found.labels[predicted]}, {count:,} {'time' if count == 1 else 'times'}"
    table = Table("class", "images", "precision", "recall", "most often mistaken for")
    for index in listed:
        shares = ("–" if share is None else f"{share:.3f}" for share in (found.precision[index], found.recall[index]))
        row = (found.labels[index], f"{images[index]:,}", *shares, often.get(index, "–"))
        table.add_row(*map(Text, row))
    print_table(table)
