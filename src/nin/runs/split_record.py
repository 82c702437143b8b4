"""How were a run's images read and split? What `split.json` keeps, so that the run can be done again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nin.choices import Part
from nin.data.images import LabelledImages, Splits
from nin.data.load import NAMED, load_dataset
from nin.data.photos.preparation import Preparation
from nin.data.progress import Progress, no_progress
from nin.errors import RunError
from nin.files import read_json, write_json

MOST_BYTES = 256 * 10**6  # of a split's pixels, to hash


class SplitRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the images of a run were read and split.

    Attributes:
        source: what was given to `nin train`; None for images in memory, and for a path that is no valid text.
        names: the names of the classes.
        preparation: how photos became images.
        image_size: side in pixels of the images; of the longer side, where they are not square.
        channels: what photos were asked to become; None where their colour decided.
        images: how many are in each split.
        cut: the splits that were cut from the training images, and their shares.
        seed: of that.
        held_out: what the images of these splits are called in the source: paths within the folder, or positions.
        fingerprint: a hash of the keys and labels of all images, and of pixels: of all, or of 256 MB at even steps.

    """

    source: str | None
    names: tuple[str, ...]
    preparation: Preparation
    image_size: int
    channels: int | None
    images: dict[Part, int]
    cut: dict[Part, float]
    seed: int
    held_out: dict[Part, list[str | int]]
    fingerprint: str

    @classmethod
    def of(cls, splits: Splits) -> "SplitRecord":
        """Return the record of splits that are there."""
        parts, origin = splits.parts(), splits.origin
        return cls(
            source=origin.source if _is_text(origin.source) else None,
            names=splits.train.names,
            preparation=origin.preparation,
            image_size=max(splits.train.images.shape[2:]),
            channels=origin.channels,
            images={name: len(part) for name, part in parts.items()},
            cut=dict(origin.cut),
            seed=origin.seed,
            held_out={name: parts[name].keys.tolist() for name in origin.cut},
            fingerprint=fingerprint(splits.parts()),
        )


def write_record(folder: Path, splits: Splits) -> None:
    """Write `split.json` into a run folder. Raises what `nin.files.write_json` does."""
    write_json(folder / "split.json", SplitRecord.of(splits))


def read_record(folder: Path) -> SplitRecord | None:
    """Read the `split.json` of a run folder; None where it has none. Raises FileError for one that is damaged."""
    path = folder / "split.json"
    return read_json(path, SplitRecord) if path.exists() else None


def load_again(record: SplitRecord, source: Any = None, on_progress: Progress = no_progress) -> Splits:
    """Read the images of a run again, split as they were.

    Args:
        record: of the run.
        source: in place of the record's, if that has moved or was in memory.
        on_progress: see `load_dataset`.

    Raises:
        RunError: they were in memory and are not given; or are no longer the same images.
        DataError: they cannot be read.

    """
    source = record.source if source is None else source
    if source is None:
        raise RunError("the run's images were in memory, or their path was not recorded: give them as the source again")
    splits = load_like(record, source, on_progress)
    if fingerprint(splits.parts()) != record.fingerprint:
        before = {(name, key) for name, keys in record.held_out.items() for key in keys}
        now = {(name, key) for name in splits.origin.cut for key in splits.parts()[name].keys.tolist()}
        counts: dict[Part, int] = {name: len(part) for name, part in splits.parts().items()}
        same = "; some have other pixels or labels" if counts == record.images else ""
        held = f", and {len(before ^ now)} of those held out differ" if before != now else same
        raise RunError(
            f"the images of {splits.origin.place} are no longer those of the run ({_counts(record.images)} then, "
            f"{_counts(counts)} now{held}): restore them, or start a new run"
        )
    return splits


def load_like(record: SplitRecord, source: Any, on_progress: Progress = no_progress) -> Splits:
    """Read a source as a run's images were read and split, whatever is in it. Raises what `load_dataset` does."""
    if isinstance(source, Splits) or (isinstance(source, str) and source in NAMED):
        return load_dataset(source, on_progress=on_progress)
    no_test = 0.0 if "test" not in record.images else None
    return load_dataset(
        source,
        size=record.image_size,
        preparation=record.preparation,
        channels=record.channels,
        validation=record.cut.get("validation"),
        test=record.cut.get("test", no_test),
        seed=record.seed,
        on_progress=on_progress,
    )


def fingerprint(parts: Mapping[Any, LabelledImages]) -> str:
    """Return a hash of the keys and labels of all images, and of the pixels of as many as take a moment to hash."""
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {part.names} {tuple(part.images.shape)}".encode(errors="surrogateescape"))
        digest.update("\0".join(map(str, part.keys.tolist())).encode(errors="surrogateescape"))
        digest.update(part.labels.numpy(force=True).tobytes())
        for image in part.images[:: max(1, -(-part.images.nbytes // MOST_BYTES))]:
            digest.update(image.contiguous().numpy(force=True).data)
    return digest.hexdigest()


def _is_text(source: str | None) -> bool:
    return source is not None and source == source.encode(errors="replace").decode()


def _counts(images: Mapping[Part, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in images.items())
