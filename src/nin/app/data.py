"""How is `nin data` carried out? Prints what images there are, and what is wrong with them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.table import Table
from rich.text import Text

from nin.app.console import Progress, print_table
from nin.app.options import Data
from nin.data.auditing.audit import Audit, audit
from nin.data.auditing.audit_page import render_audit
from nin.data.images import Origin
from nin.data.load import load_dataset
from nin.data.read import NAMED_FILES
from nin.errors import OptionError
from nin.files import write
from nin.text import printable

MANY = 30  # classes; of more than these, only some are listed
FEWEST = 10  # of those, the ones with the fewest images


def main(options: Data) -> int:
    """Audit a data set, print what was found and, with --report, write a page of it; 2 if it cannot be trained on."""
    report = options.report
    if report is not None and (os.path.lexists(report) or report.suffix != ".html"):
        raise OptionError(f"--report needs the name of a new file that ends in .html, not {report}")
    with Progress(stderr=True) as progress:
        splits = load_dataset(
            options.source,
            size=options.size,
            fit=options.fit,
            validation=options.validation,
            test=options.test,
            on_progress=progress.read,
        )
        found = audit(splits, progress.read)
    hashes = _hashes(splits.origin)
    if options.json:
        print(json.dumps(found.to_json() | ({"sha256": hashes} if hashes else {}), indent=2))
    else:
        _print_audit(found)
        if hashes:
            print("SHA-256 of the uncompressed files, all verified:")
        for name, digest in hashes.items():
            print(f"{digest}  {name}")
    if report is not None:
        write(report, render_audit(found, splits))
        if not options.json:
            print(f"report  {report}")
    return 2 if any(finding.severity == "error" for finding in found.findings) else 0


def _hashes(origin: Origin) -> dict[str, str]:
    """Return the SHA-256 of each file of a named set, all of which were verified; none for other images."""
    for named in NAMED_FILES.values():
        if named.name == origin.name and named.holds(Path(origin.place)):
            return {name: digest for name, (_, digest) in named.files.items()}
    return {}


def _print_audit(found: Audit) -> None:
    channels, height, width = found.shape
    images = ", ".join(f"{sum(counts):,} {part}" for part, counts in found.counts.items())
    print(f"{printable(found.name)}  {printable(found.place)}")
    print(f"images   {images}; {width}x{height} pixels in {_times(channels, 'channel')}")
    if sizes := found.sizes:
        widths, heights = zip(*sizes, strict=True)
        print(f"photos   {sum(sizes.values()):,} of {_times(len(sizes), 'size')}: {min(widths):,} to {max(widths):,} "
              f"pixels wide, {min(heights):,} to {max(heights):,} high")  # fmt: skip
    print(f"classes  {len(found.classes):,}; order: {printable(found.order)}")
    _print_classes(found)
    for finding in found.findings:
        print(f"{finding.severity}: {finding.text}")
    if not found.findings:
        print("No problems found.")


def _print_classes(found: Audit) -> None:
    """Print how many images each class has in each split; of many, those with the fewest to train on."""
    listed: Sequence[int] = range(len(found.classes))
    train = found.counts["train"]
    if len(listed) > MANY:
        listed = sorted(listed, key=lambda label: (train[label], label))[:FEWEST]
        print(f"A class has {min(train):,} to {max(train):,} training images, {median(train):,g} in the middle. The "
              f"{FEWEST} with the fewest; --report lists all:")  # fmt: skip
    table = Table("class", *found.counts)
    for column in table.columns[1:]:
        column.justify = "right"
    for label in listed:
        counts = (f"{numbers[label]:,}" for numbers in found.counts.values())
        table.add_row(*map(Text, (printable(found.classes[label]), *counts)))
    print_table(table)


def _times(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
