"""What is in a data set, and what is wrong with it? Found before the first step of a training."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any, get_args

import torch
from jaxtyping import Bool
from torch import Tensor

from nin.choices import Part
from nin.data.auditing.audit_findings import Finding, of_classes, of_copies, of_photos
from nin.data.auditing.duplicates import Duplicates, Image, find_duplicates
from nin.data.images import Splits
from nin.data.progress import Progress, no_progress
from nin.errors import DataError

PARTS: tuple[Part, ...] = get_args(Part)  # train first, and test last


@dataclass(frozen=True)
class Copies:
    """How many images are copies of others, exactly or nearly.

    Attributes:
        pairs: how many pairs lie within a split, or in two: {("train", "train"): 43, ("train", "test"): 10}.
        held_out: each image of validation that has a copy in train, and each of test that has one in train or
            validation, with one of its copies there; by their split.

    """

    pairs: Mapping[tuple[Part, Part], int]
    held_out: Mapping[Part, tuple[tuple[Image, Image], ...]]

    def mask(self, part: Part, images: int) -> Bool[Tensor, "{images}"]:
        """Return which of the `images` of a split that is held out have a copy, as in `held_out`."""
        copied = torch.zeros(images, dtype=torch.bool)
        copied[[image.position for image, _ in self.held_out.get(part, ())]] = True
        return copied


@dataclass(frozen=True)
class Audit:
    """What is in a data set, and what was found in it.

    Attributes:
        name: what it is called.
        place: where it is.
        classes: the names of the classes, in their order.
        order: where that comes from.
        counts: how many images of each class a split has.
        shape: channels, height and width of every image.
        sizes: width and height of the photos before they were prepared, and how many have it.
        unreadable: the photos that could not be read, and why, by their keys.
        duplicates: the equal, nearly equal and blank images.
        equal: how many are equal.
        near: how many are nearly equal; those that are equal do not count, but those equal to one of a pair do.
        findings: what one should know or do something about, the gravest first.

    """

    name: str
    place: str
    classes: tuple[str, ...]
    order: str
    counts: Mapping[Part, tuple[int, ...]]
    shape: tuple[int, int, int]
    sizes: Mapping[tuple[int, int], int]
    unreadable: Mapping[str, str]
    duplicates: Duplicates
    equal: Copies
    near: Copies
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        rows = zip(self.classes, *self.counts.values(), strict=True)
        found = self.duplicates
        return {
            "name": self.name,
            "place": self.place,
            "images": {part: sum(counts) for part, counts in self.counts.items()},
            "classes": [{"name": name} | dict(zip(self.counts, counts, strict=True)) for name, *counts in rows],
            "order": self.order,
            "shape": list(self.shape),
            "sizes": [{"width": size[0], "height": size[1], "photos": count} for size, count in self.sizes.items()],
            "unreadable": dict(self.unreadable),
            "findings": [asdict(finding) for finding in self.findings],
            "copies": {"equal": _plain(self.equal), "nearly_equal": _plain(self.near)},
            "blank": [image._asdict() for image in found.blank],
            "equal": [[image._asdict() for image in group] for group in found.equal],
            "nearly_equal": [
                {"first": pair.first._asdict(), "second": pair.second._asdict(), "correlation": pair.correlation}
                for pair in found.near
            ],
            "complete": found.complete,
        }


def audit(splits: Splits, on_progress: Progress = no_progress) -> Audit:
    """Audit a data set: count its images, look for duplicates, and find what is wrong.

    An error among the findings is what cannot be trained on. What the search for duplicates finds is kept beside the
    images where these are kept in a cache.

    Raises:
        DataError: the images of two splits differ in shape.

    """
    channels, height, width = splits.train.images.shape[1:]
    parts, origin, names = splits.parts(), splits.origin, splits.train.names
    for part, images in parts.items():
        if images.images.shape[1:] != splits.train.images.shape[1:]:
            shapes = f"{tuple(splits.train.images.shape[1:])} in train and {tuple(images.images.shape[1:])} in {part}"
            raise DataError(f"images have the shape {shapes}; make those of all splits the same")
    counts: dict[Part, tuple[int, ...]] = {
        part: tuple(torch.bincount(images.labels.cpu(), minlength=len(names)).tolist())
        for part, images in parts.items()
    }
    found = find_duplicates(parts, origin.cache, on_progress)
    alike = {image: group for group in found.equal for image in group}
    near_groups = [
        (alike.get(pair.first, (pair.first,)), alike.get(pair.second, (pair.second,))) for pair in found.near
    ]
    equal = _copies((group, None) for group in found.equal)
    near = _copies(near_groups)
    findings = [
        *of_classes(names, counts),
        *of_copies(found, equal.held_out, near.held_out, counts),
        *of_photos(origin, found.blank, sum(map(sum, counts.values()))),
    ]
    gravest_first = sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))
    return Audit(
        name=origin.name,
        place=origin.place,
        classes=names,
        order=origin.order,
        counts=counts,
        shape=(channels, height, width),
        sizes=origin.sizes,
        unreadable=origin.unreadable,
        duplicates=found,
        equal=equal,
        near=near,
        findings=tuple(gravest_first),
    )


def _copies(groups: Iterable[tuple[Sequence[Image], Sequence[Image] | None]]) -> Copies:
    """Count pairs: of an image of one group with one of the other, or of two of one group where there is no other."""
    pairs: Counter[tuple[Part, Part]] = Counter()
    held_out: dict[Part, dict[Image, Image]] = {"validation": {}, "test": {}}
    for first, second in groups:
        here = Counter(image.part for image in first)
        there = here if second is None else Counter(image.part for image in second)
        for one, other in combinations_with_replacement(PARTS, 2):
            if one == other:
                pairs[one, one] += here[one] * (here[one] - 1) // 2 if second is None else here[one] * there[one]
            else:
                pairs[one, other] += here[one] * there[other] + (0 if second is None else here[other] * there[one])
        for some, others in ((first, first if second is None else second), (second or (), first)):
            earliest = min(others, key=lambda image: PARTS.index(image.part))
            for image in some:
                if PARTS.index(earliest.part) < PARTS.index(image.part):
                    held_out[image.part].setdefault(image, earliest)
    return Copies(
        {parts: count for parts, count in pairs.items() if count},
        {part: tuple(found.items()) for part, found in held_out.items() if found},
    )


def _plain(copies: Copies) -> dict[str, Any]:
    return {
        "pairs": [{"splits": list(parts), "pairs": count} for parts, count in copies.pairs.items()],
        "held_out": {part: len(found) for part, found in copies.held_out.items()},
    }
