"""What should one know of a data set, or do something about? Each finding is one line: what, how many, what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nin.choices import Part
from nin.data.auditing.duplicates import Duplicates, Image
from nin.data.images import Origin
from nin.data.sources.classes import MAX_CLASSES
from nin.text import printable

EXAMPLES = 3
UNEQUAL = 10  # times the images of the smallest class, that the largest has more than

WORDS: Mapping[Part, str] = {"train": "training", "validation": "validation", "test": "test"}

HeldOut = Mapping[Part, tuple[tuple[Image, Image], ...]]
Counts = Mapping[Part, tuple[int, ...]]


@dataclass(frozen=True)
class Finding:
    """What was found, in one line.

    Attributes:
        severity: "error" for what cannot be trained on, "warning" for what makes a model or its figures worse, and
            "note" for what one should know.
        text: what it is, how many it concerns, and what to do.

    """

    severity: Literal["error", "warning", "note"]
    text: str


def of_classes(names: Sequence[str], counts: Counts) -> list[Finding]:
    """Return what is wrong with the classes, given how many images of each a split has."""
    found: list[Finding] = []
    everywhere = [sum(numbers) for numbers in zip(*counts.values(), strict=True)]
    train = counts["train"]
    if len(names) < 2:
        text = f"there is one class only, {_such(names)}; a classifier chooses among two or more, add another"
        found.append(Finding("error", text))
    if len(names) > MAX_CLASSES:
        found.append(Finding("error", f"there are {len(names):,} classes; keep at most {MAX_CLASSES:,}"))
    if single := [name for name, count in zip(names, everywhere, strict=True) if count == 1]:
        text = f"{_classes(single, 'has', 'have')} a single image; add images, or leave the class out"
        found.append(Finding("error", text))
    empty = [name for name, count, here in zip(names, everywhere, train, strict=True) if count != 1 and not here]
    if empty:
        text = f"{_classes(empty, 'has', 'have')} no images to train on; add some, or leave the class out"
        found.append(Finding("error", text))
    known = [count > 1 and here > 0 for count, here in zip(everywhere, train, strict=True)]
    for part, here in counts.items():
        lacking = [name for name, count, fine in zip(names, here, known, strict=True) if fine and not count]
        if part != "train" and lacking:
            text = f"{_classes(lacking, 'has', 'have')} no {part} images: add some, or recall is not measured there"
            found.append(Finding("warning", text))
    most, least = max(train), min((count for count, fine in zip(train, known, strict=True) if fine), default=max(train))
    if most > UNEQUAL * least:
        rare = [f"{name} ({count:,})" for name, count in zip(names, train, strict=True) if count == least]
        text = (
            f"the classes are very unequal: {printable(names[train.index(most)])} has {most:,} training images, and "
            f"{_such(rare)} the fewest; look at balanced accuracy and recall, or add images"
        )
        found.append(Finding("warning", text))
    return found


def of_copies(duplicates: Duplicates, equal: HeldOut, near: HeldOut, counts: Counts) -> list[Finding]:
    """Return what is wrong since images are equal or nearly so, the gravest first."""
    found: list[Finding] = []
    mixed = [group for group in duplicates.equal if len({image.label for image in group}) > 1]
    if mixed:
        text = (
            f"{_times(len(mixed), 'group')} of equal images {_have(len(mixed))} different labels, "
            f"{_pairs(mixed, labels=True)}; correct the labels, or remove the images"
        )
        found.append(Finding("warning", text))
    pairs = [pair[:2] for pair in duplicates.near if pair.first.label != pair.second.label]
    if pairs:
        text = (
            f"{_times(len(pairs), 'pair')} of nearly equal images {_have(len(pairs))} different labels, "
            f"{_pairs(pairs, labels=True)}; look at them in the --report of nin data, and correct the labels"
        )
        found.append(Finding("warning", text))
    for how, held_out in (("equal", equal), ("nearly equal", near)):
        for part, members in held_out.items():
            before = "training" if part == "validation" else "training or validation"
            what = "is" if len(members) == 1 else "are"
            text = (
                f"{len(members):,} of {sum(counts[part]):,} {part} images {what} {how} to {before} images, "
                f"{_pairs(members)}: accuracy there is inflated; keep one of each, or all in one split"
            )
            found.append(Finding("warning", text))
    for part in counts:
        within = [group for group in ([i for i in g if i.part == part] for g in duplicates.equal) if len(group) > 1]
        if within:
            text = (
                f"{_times(len(within), 'group')} of equal {WORDS[part]} images, {sum(map(len, within)):,} images in "
                f"all, {_pairs(within)}; one of each is enough"
            )
            found.append(Finding("note", text))
        close = [pair[:2] for pair in duplicates.near if pair.first.part == pair.second.part == part]
        if close:
            text = f"{_times(len(close), 'pair')} of nearly equal {WORDS[part]} images, {_pairs(close)}"
            found.append(Finding("note", text))
    if not duplicates.complete:
        text = "too many images are too much alike to compare them all: there may be more that are nearly equal"
        found.append(Finding("note", text))
    return found


def of_photos(origin: Origin, blank: Sequence[Image], images: int) -> list[Finding]:
    """Return what is wrong with single photos and images, and what was noted when they were read."""
    found: list[Finding] = []
    if unreadable := origin.unreadable:
        examples = _such([f"{key} ({why.partition(';')[0]})" for key, why in unreadable.items()])
        text = (
            f"{len(unreadable):,} of {images + len(unreadable):,} photos cannot be read, {examples}; they are left "
            "out, replace or remove them"
        )
        found.append(Finding("warning", text))
    if blank:
        what = "image shows" if len(blank) == 1 else "images show"
        examples = _such([_image(image) for image in blank])
        text = f"{len(blank):,} {what} one colour only, {examples}; remove what is no image"
        found.append(Finding("warning", text))
    return found + [Finding("note", note) for note in origin.notes]


# --- Words ---


def _classes(names: Sequence[str], one: str, several: str) -> str:
    if len(names) == 1:
        return f"the class {printable(names[0])} {one}"
    return f"{len(names):,} classes, {_such(names)}, {several}"


def _such(texts: Sequence[str]) -> str:
    """Write up to three of the texts, and "such as" where there are more."""
    return f"{'such as ' if len(texts) > EXAMPLES else ''}{', '.join(map(printable, texts[:EXAMPLES]))}"


def _pairs(groups: Sequence[Sequence[Image]], *, labels: bool = False) -> str:
    """Write up to three groups, and of each the first two images; of different labels where these are asked for."""
    shown: list[str] = []
    for group in groups:
        first = group[0]
        second = next((image for image in group if image.label != first.label), group[1]) if labels else group[1]
        shown.append(" with ".join(_image(image, label=labels) for image in (first, second)))
    return _such(shown)


def _image(image: Image, *, label: bool = False) -> str:
    return f"{image.key} in {image.part}{f' as {image.label}' if label else ''}"


def _times(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
