"""How is `nin predict` carried out? Prints what a classifier predicts for photos."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from nin.app.console import print_table
from nin.app.options import Predict
from nin.app.streams import complain
from nin.choices import Invert
from nin.data.photos.photo import find_photos
from nin.errors import OptionError
from nin.files import write
from nin.inference.classifier import Prediction
from nin.inference.load import load
from nin.text import printable

TOP = 3  # labels shown per photo
EXPLAINED = 8  # photos in one figure


def main(options: Predict) -> int:
    """Predict every photo that can be read, and print a line about each other one; the exit code is then 2."""
    if not options.photos:
        raise OptionError("no photo is given: name files or folders, as in nin predict shirt.jpg shoes/")
    if options.explain is not None and (os.path.lexists(options.explain) or options.explain.suffix != ".png"):
        raise OptionError(f"--explain needs the name of a new file that ends in .png, not {options.explain}")
    classifier = load(options.model, device=options.device)
    photos = find_photos(options.photos)
    answers = list(zip(photos, classifier.predict_photos(photos, invert=options.invert), strict=True))
    good = [(photo, answer) for photo, answer in answers if isinstance(answer, Prediction)]
    for _, answer in answers:
        if not isinstance(answer, Prediction):
            complain(str(answer))
    if options.json:
        print(json.dumps([_plain(photo, answer) for photo, answer in answers], indent=2))
    elif good:
        _print_predictions(good, options.invert)
    if options.explain is not None and good:
        from nin.figures.style import to_png  # matplotlib takes time

        explained = [photo for photo, _ in good][:EXPLAINED]
        write(options.explain, to_png(classifier.explain(explained, invert=options.invert)))
        if len(good) > EXPLAINED and not options.json:
            print(f"{options.explain} shows the first {EXPLAINED} of {len(good)} photos.")
    return 2 if len(good) < len(answers) else 0


def _plain(photo: Path, answer: Prediction | Exception) -> dict[str, Any]:
    return {"photo": str(photo)} | (asdict(answer) if isinstance(answer, Prediction) else {"error": str(answer)})


def _print_predictions(answers: list[tuple[Path, Prediction]], invert: Invert) -> None:
    table = Table(Column("photo", overflow="fold"), "label", "probability", "then")
    for photo, prediction in answers:
        likeliest = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])[:TOP]
        (label, first), *others = ((name, f"{100 * share:.1f} %") for name, share in likeliest)
        then = ", ".join(f"{name} {share}" for name, share in others)
        # As Text: in a str rich would read markup.
        table.add_row(*map(Text, (printable(str(photo)), label, first, then)))
    print_table(table)
    if invert == "auto" and (inverted := sum(prediction.inverted for _, prediction in answers)):
        print(f"{inverted} of {len(answers)} were inverted, as the training images are light on black; --invert no "
              "turns that off.")  # fmt: skip
