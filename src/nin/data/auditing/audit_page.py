"""What does an audit look like to a reader? One HTML page with the images that are copies, which loads nothing."""

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import PIL.Image
from jaxtyping import UInt8
from torch import Tensor

from nin.choices import Part
from nin.data.auditing.audit import Audit
from nin.data.auditing.duplicates import Image
from nin.data.images import LabelledImages, Splits
from nin.page import load_template
from nin.text import printable

SHOWN = 200  # pairs and groups
MEMBERS = 6  # of a group that are shown
LISTED = 500  # lines of a list
LARGEST = 64  # pixels a side of what is embedded
WIDTH = 112  # pixels a side of what is seen, or a little less, so that a pixel is a whole number of them


class Shown(NamedTuple):
    """An image on the page: as a data URI, with its width and height there, and whether its pixels are to be seen."""

    source: str
    width: int
    height: int
    pixelated: bool
    image: Image


class Card(NamedTuple):
    """A group of equal images or a pair of nearly equal ones, with the first few of its members.

    `correlation` is None for equal images.
    """

    members: list[Shown]
    size: int
    correlation: float | None
    labels_differ: bool
    splits_differ: bool


def render_audit(audit: Audit, splits: Splits) -> str:
    """Return the page of an audit of these splits."""
    groups = sorted(_groups(audit), key=lambda group: (not group.labels_differ, not group.splits_differ))
    filters = {"number": "{:,}".format, "text": lambda value: printable(str(value))}
    return load_template("data/auditing", "audit_page.html.j2", filters).render(
        audit=audit,
        cards=[_card(group, splits.parts()) for group in groups[:SHOWN]],
        groups=len(groups),
        unreadable=list(audit.unreadable.items())[:LISTED],
        blank=audit.duplicates.blank[:LISTED],
        members=MEMBERS,
    )


class _Group(NamedTuple):
    images: tuple[Image, ...]
    correlation: float | None

    @property
    def labels_differ(self) -> bool:
        return len({image.label for image in self.images}) > 1

    @property
    def splits_differ(self) -> bool:
        return len({image.part for image in self.images}) > 1


def _groups(audit: Audit) -> Iterator[_Group]:
    """Yield all groups and pairs, the most alike first."""
    for group in audit.duplicates.equal:
        yield _Group(group, None)
    for pair in audit.duplicates.near:
        yield _Group((pair.first, pair.second), pair.correlation)


def _card(group: _Group, parts: dict[Part, LabelledImages]) -> Card:
    # One of each class and split first, so that what differs is seen.
    leaders = {(image.label, image.part): image for image in reversed(group.images)}.values()
    order = [*reversed(leaders), *(image for image in group.images if image not in leaders)]
    members = [_shown(parts[image.part].images[image.position].cpu(), image) for image in order[:MEMBERS]]
    return Card(members, len(group.images), group.correlation, group.labels_differ, group.splits_differ)


def _shown(pixels: UInt8[Tensor, "channels height width"], image: Image) -> Shown:
    array = pixels.permute(1, 2, 0).numpy()
    thumbnail = PIL.Image.fromarray(array[:, :, :3] if array.shape[2] > 2 else array[:, :, 0])
    longest = max(thumbnail.size)
    if longest > LARGEST:
        thumbnail.thumbnail((LARGEST, LARGEST), PIL.Image.Resampling.BOX)
    stream = BytesIO()
    thumbnail.save(stream, "PNG")
    scale = WIDTH // longest if longest <= LARGEST else WIDTH / LARGEST
    width, height = (round(side * scale) for side in thumbnail.size)
    source = f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"
    return Shown(source, width, height, longest <= LARGEST, image)
