"""How many images of Fashion-MNIST and CIFAR-10 are there more than once, and how accurate are the models without them?

    git clone https://github.com/cvjena/cifair
    OMP_NUM_THREADS=1 python benchmarks/duplicates.py --cifair cifair/meta

Prints a page of Markdown: the pairs of equal and nearly equal images, with validation as a part of train, as others
counted them; how long the audit takes, and what it misses of what a comparison of all with all finds, which takes
minutes; pairs of which one is mirrored, which the audit does not look for; the test accuracy of the models in the
package on the images that have no copy in train; and, with ciFAIR's lists of duplicates in CIFAR-10, how many of these
images are found.
"""

import argparse
import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from speed import heading

import nin
from nin.choices import MODELS, Part
from nin.data.auditing import near_equal
from nin.data.auditing.audit import Audit, audit
from nin.data.auditing.duplicates import find_duplicates
from nin.data.images import LabelledImages, Splits
from nin.data.load import load_dataset
from nin.metrics import wilson_interval

FEW = near_equal.FEW


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifair", type=Path, help="folder of duplicates_cifar10.csv and duplicates_cifar10_test.csv")
    cifair: Path | None = parser.parse_args().cifair
    print(heading())
    print(
        "| data set | copies | pairs in train | in test | across | test images with a copy in train | with any copy |"
    )
    print("|---|---|---|---|---|---|---|")
    fashion, seconds = _print_pairs("fashion-mnist")
    cifar, more_seconds = _print_pairs("cifar10")
    print()
    for splits, took in ((fashion, seconds), (cifar, more_seconds)):
        images = sum(map(len, splits.parts().values()))
        share, mirrored = _found_share(splits), _mirrored_pairs(splits)
        print(f"{splits.origin.name}: the audit of {images:,} images took {took:.1f} s. It finds {share:.1%} of the "
              "pairs that a comparison of all with all does. With one of the two mirrored, "
              f"{mirrored} pairs are nearly equal.", flush=True)  # fmt: skip
    print("\n| model | all test images | without those that have a copy in train | those alone |\n|---|---|---|---|")
    for name, splits in (("fashion-mnist", fashion), ("cifar10", cifar)):
        _print_accuracies([model for model, data in MODELS.items() if data == name], splits, audit(splits))
    if cifair is not None:
        _print_found(cifair, _test_images(audit(cifar)))


def _print_pairs(source: str) -> tuple[Splits, float]:
    """Print the rows of a data set; return it, and the seconds that its audit took."""
    splits = load_dataset(source)
    began = time.perf_counter()
    found = audit(splits)
    seconds = time.perf_counter() - began
    for how, copies, anywhere in (("equal", found.equal, 0), ("nearly equal", found.near, len(_test_images(found)))):
        pairs = _with_validation_in_train(copies.pairs)
        numbers = *(pairs[kind] for kind in ("train", "test", "across")), len(copies.held_out.get("test", ())), anywhere
        print(f"| {found.name} | {how} | {' | '.join(map(str, numbers))} |", flush=True)
    return splits, seconds


def _with_validation_in_train(pairs: Mapping[tuple[Part, Part], int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for parts, count in pairs.items():
        counted[("train", "across", "test")[parts.count("test")]] += count
    return counted


def _test_images(found: Audit) -> set[int]:
    """Return the positions of the test images that are nearly equal to any other; none are equal in these sets."""
    images = (image for pair in found.duplicates.near for image in pair[:2])
    return {image.position for image in images if image.part == "test"}


def _found_share(splits: Splits) -> float:
    """Compare all with all, for minutes; return the share of the nearly equal pairs that is found without that."""
    thumbnails = torch.cat([near_equal.thumbnails_of(part.images) for part in splits.parts().values()])
    some = near_equal.near_pairs(thumbnails)
    near_equal.FEW = len(thumbnails)
    every = near_equal.near_pairs(thumbnails)
    near_equal.FEW = FEW
    return len(some.first) / len(every.first)


def _mirrored_pairs(splits: Splits) -> int:
    """Count pairs of different images, of which one is nearly equal to the other mirrored and not as it is."""
    images = torch.cat([part.images for part in splits.parts().values()])
    labels = torch.zeros(len(images), dtype=torch.int64)
    both = (LabelledImages(side, labels, ("any",)) for side in (images, images.flip(3)))
    straight: set[tuple[int, int]] = set()
    mirrored: set[tuple[int, int]] = set()
    for one, other, _ in find_duplicates(dict(zip(("train", "test"), both, strict=True))).near:
        pair = min(one.position, other.position), max(one.position, other.position)
        (straight if one.part == other.part else mirrored).add(pair)
    return sum(one != other for one, other in mirrored - straight)


def _print_accuracies(models: Sequence[str], splits: Splits, found: Audit) -> None:
    """Print the accuracies of models on all test images, on those without a copy in train, and on the others."""
    test = splits.parts()["test"]
    copied = found.near.mask("test", len(test))
    for name in models:
        right = nin.evaluate(nin.load(name), test).probabilities.argmax(dim=1).cpu() == test.labels
        print(f"| {name} | {' | '.join(map(_accuracy, (right, right[~copied], right[copied])))} |", flush=True)


def _accuracy(right: torch.Tensor) -> str:
    low, high = wilson_interval(int(right.sum()), len(right))
    return f"{right.float().mean():.4f} ({low:.4f} to {high:.4f}) of {len(right):,}"


def _print_found(folder: Path, ours: set[int]) -> None:
    """Print how many of the test images that ciFAIR lists are found, and how many others."""
    judgments: dict[int, int] = {}  # of a test image: 0 exact, 1 near-duplicate, 2 very similar; the lowest counts
    for name, columns in (("duplicates_cifar10", ["TestID"]), ("duplicates_cifar10_test", ["TestID", "TrainID"])):
        with (folder / f"{name}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                for position in (int(row[column]) for column in columns):
                    judgments[position] = min(int(row["Judgment"]), judgments.get(position, 2))
    near = {position for position, judgment in judgments.items() if judgment < 2}
    similar = set(judgments) - near
    print(f"\nOf the {len(near)} test images that ciFAIR lists as near-duplicates {len(near & ours)} are found, and of "
          f"the {len(similar)} as very similar {len(similar & ours)}; "
          f"{len(ours - set(judgments))} are found that it does not list.")  # fmt: skip


if __name__ == "__main__":
    main()
