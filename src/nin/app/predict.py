"""How is `nin predict` carried out? Prints what a classifier predicts for photos."""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Column, Table
from rich.text import Text

from nin.app.answers import Answers, to_line
from nin.app.console import Progress, print_table
from nin.app.options import Predict
from nin.app.streams import complain, names_on_stdin
from nin.choices import Invert
from nin.data.photos.find_photos import find_photos
from nin.errors import OptionError, PhotoError
from nin.files import write
from nin.inference.classifier import Classifier, Prediction
from nin.inference.load import hash_of, load
from nin.networks.registry import find_architecture
from nin.text import printable

TOP = 3  # labels shown per photo
EXPLAINED = 8  # photos in one figure

Answer = tuple[Path, Prediction | PhotoError]


class Found(NamedTuple):
    """What was found: the photos to explain, and how many could be read, and could not."""

    explained: list[Path]
    good: int
    bad: int


def main(options: Predict) -> int:
    """Predict every photo that can be read, and print a line about each other one; the exit code is then 2."""
    _check(options)
    classifier = load(options.model, device=options.device)
    if options.explain is not None and find_architecture(classifier.config.architecture).cells is None:
        raise OptionError(f"{options.model} has no class maps to explain by; leave --explain out, or take a NiN")
    lines = options.jsonl or options.resume is not None
    found = (_stream if lines else _print_all)(options, classifier)
    if options.explain is not None and found.explained:
        from nin.figures.style import to_png  # matplotlib takes time

        write(options.explain, to_png(classifier.explain(found.explained, invert=options.invert)))
        if found.good > EXPLAINED and not (options.json or lines):
            print(f"{options.explain} shows the first {EXPLAINED} of {found.good} photos.")
    return 2 if found.bad else 0


def _check(options: Predict) -> None:
    """Refuse options that cannot be carried out. Raises OptionError."""
    if not options.photos and not options.nul:
        raise OptionError("no photo is given: name files or folders, as in nin predict shirt.jpg shoes/")
    if options.explain is not None and (os.path.lexists(options.explain) or options.explain.suffix != ".png"):
        raise OptionError(f"--explain needs the name of a new file that ends in .png, not {options.explain}")
    if options.json and (options.jsonl or options.resume is not None):
        raise OptionError("--json prints one list, and --jsonl and --resume lines: leave out one")
    if options.explain is not None and options.resume is not None:
        raise OptionError("--explain draws photos that are predicted now, and --resume skips some: give one of them")


def _photos(options: Predict) -> Iterator[Path]:
    """Yield the photos that were named, on standard input too, as they come."""
    named = options.photos if Path("-") in options.photos or not options.nul else (*options.photos, Path("-"))
    end = b"\0" if options.nul else b"\n"
    for path in named:
        yield from find_photos(names_on_stdin(end=end) if path == Path("-") else [path])


def _count(options: Predict) -> int:
    """Return how many photos there are; 0 where standard input alone can tell."""
    return 0 if options.nul or Path("-") in options.photos else sum(1 for _ in _photos(options))


def _answers(
    options: Predict, classifier: Classifier, photos: Iterator[Path], done: int = 0
) -> Generator[Answer, None, None]:
    """Yield each photo's answer, say on stderr why some have none, and show how far they are."""
    with Progress(stderr=True) as progress:
        total = 0 if progress.bar.disable else _count(options)  # which takes time that only a bar is worth
        with contextlib.closing(classifier.predict_photos(photos, invert=options.invert)) as answers:
            for number, (photo, answer) in enumerate(answers, done + 1):
                if isinstance(answer, PhotoError):
                    complain(str(answer))
                yield photo, answer
                progress.read("photos", number, total)


def _stream(options: Predict, classifier: Classifier) -> Found:
    """Write a line of JSON for each photo as soon as it is predicted."""
    explained: list[Path] = []
    model = {"model": hash_of(classifier)[:16] + ("" if options.invert == "auto" else f", invert {options.invert}")}
    photos, done, bad = _photos(options), 0, 0
    with contextlib.ExitStack() as stack:
        if options.resume is not None:
            kept = stack.enter_context(Answers(options.resume, model["model"]))
            photos = kept.skip(_without(kept.file, photos))
            done, bad, write = kept.count, kept.errors, kept.write
            if bad:
                complain(
                    f"{options.resume} has {bad} photos that could not be read before; remove it to try them again"
                )
        else:
            photos, write = _without(sys.stdout, photos), _print_line
        good = done - bad
        answers = stack.enter_context(contextlib.closing(_answers(options, classifier, photos, done)))
        for photo, answer in answers:
            plain = _plain(photo, answer)
            write({"photo": plain.pop("photo")} | model | plain)
            good, bad = (good + 1, bad) if isinstance(answer, Prediction) else (good, bad + 1)
            if isinstance(answer, Prediction) and len(explained) < EXPLAINED:
                explained.append(photo)
    return Found(explained, good, bad)


def _without(written: Any, photos: Iterator[Path]) -> Iterator[Path]:
    """Yield the photos, without the open file `written`, if it lies among them."""
    try:
        own = os.fstat(written.fileno())
    except (OSError, ValueError, AttributeError):  # there is none, or it is no file
        yield from photos
        return
    for photo in photos:
        with contextlib.suppress(OSError, ValueError):
            if stat.S_ISREG(own.st_mode) and os.path.samestat(own, photo.stat()):
                continue
        yield photo


def _print_all(options: Predict, classifier: Classifier) -> Found:
    """Print a table, or a list in JSON, once all photos are predicted."""
    answers = list(_answers(options, classifier, _photos(options)))
    good = [(photo, answer) for photo, answer in answers if isinstance(answer, Prediction)]
    if options.json:
        print(json.dumps([_plain(photo, answer) for photo, answer in answers], indent=2))
    elif good:
        _print_predictions(good, options.invert)
    return Found([photo for photo, _ in good][:EXPLAINED], len(good), len(answers) - len(good))


def _print_line(answer: dict[str, Any]) -> None:
    print(to_line(answer), end="", flush=True)


def _plain(photo: Path, answer: Prediction | PhotoError) -> dict[str, Any]:
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
