"""How does a data set get into the cache, whole or not at all? What the named sets share: find, fetch, verify, read."""

import contextlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

import pooch
from jaxtyping import UInt8
from torch import Tensor

from nin.data.images import LabelledImages, Origin, Splits
from nin.data.photos.preparation import Kind, Preparation
from nin.data.progress import Progress, no_progress
from nin.errors import DataError
from nin.text import printable

Source = Callable[[Path, Progress], Path]
LARGEST_DOWNLOAD = 256 << 20  # bytes; CIFAR-10's archive has 170 million
_ABANDONED = 24 * 3600  # seconds without a change after which a folder `fetching-*` is that of a killed process
_REPLACE = "delete or replace it and run again, or give another folder as the source"


@dataclass(frozen=True)
class NamedSet:
    """A data set whose files are known by their hashes.

    Attributes:
        name: what reports call it.
        cache: the name of its folder in our cache.
        files: the shape of the values in each file, and the SHA-256 of the file, uncompressed.
        read_file: reads a file that must have this shape and hash; DataError, without its name, if it differs.
        mirrors: addresses below which each file is found as NAME.gz, tried one after the other.
        sources: other ways to fetch it, by what messages call them, tried after those. Each fills an empty folder and
            returns the folder within it that holds the files; DataError, with nothing but the reason, if it cannot.
        places: folders outside our cache where it may lie.
        inner: a folder within a folder that may hold the files in its place.
        flip: whether an image mirrored left to right is still of its class.

    """

    name: str
    cache: str
    files: Mapping[str, tuple[tuple[int, ...], str]]
    read_file: Callable[[Path, tuple[int, ...], str], UInt8[Tensor, "..."]]
    mirrors: tuple[str, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    places: tuple[Path, ...] = ()
    inner: str = ""
    flip: bool = True

    @property
    def _bring(self) -> str:
        return f"put the {len(self.files)} files of {self.name} in a folder and give that as the source"

    def find(self, folder: Path | None = None, on_progress: Progress = no_progress) -> Path:
        """Return the folder that holds the files, each as NAME.gz or NAME; `read` verifies their content.

        Looks in `folder` alone if that is given; else in our cache folder (under XDG_CACHE_HOME where that is set),
        then in `places`; else fetches them into our cache folder, verified.

        Raises:
            DataError: a file is missing in `folder`, or there are none on this machine and they cannot be fetched.

        """
        if folder is not None:
            return next(iter(self._paths(folder).values())).parent
        cache = pooch.os_cache("nin").absolute() / self.cache
        for place in (cache, *self.places):
            with contextlib.suppress(DataError):
                self._paths(place)
                return place
        try:
            self._fetch(cache, on_progress)
        except OSError as error:
            raise DataError(f"{_shown(cache)}: it cannot be written ({_reason(error)}); {self._bring}") from None
        return cache

    def holds(self, folder: Path) -> bool:
        """Tell whether a folder holds these files, and not another data set under their names: reads the small ones."""
        try:
            paths = self._paths(folder)
        except DataError:
            return False
        for name in sorted(self.files, key=lambda name: math.prod(self.files[name][0]))[:2]:
            with contextlib.suppress(DataError):
                self.read_file(paths[name], *self.files[name])
                return True
        return False

    def splits(
        self, place: Path, train: LabelledImages, validation: LabelledImages, test: LabelledImages, kind: Kind = "photo"
    ) -> Splits:
        """Return the splits of the set as read from `place`, of which validation was cut from its training images."""
        share = len(validation) / (len(train) + len(validation))
        preparation = Preparation(kind)
        origin = Origin(
            self.name, str(place), preparation=preparation, order="of the data set", cut={"validation": share},
            flip=self.flip,
        )  # fmt: skip
        return Splits(train, validation, test, origin)

    def read(
        self, folder: Path, shown: str = "", way_out: str = _REPLACE
    ) -> Iterator[tuple[str, UInt8[Tensor, "..."]]]:
        """Yield name and values of each file, verified; errors name `shown` where the folder is a temporary one.

        Raises:
            DataError: a file is missing, or differs by a byte.

        """
        for name, path in self._paths(folder).items():
            try:
                yield name, self.read_file(path, *self.files[name])
            except DataError as defect:
                raise DataError(f"{shown or _shown(folder)}/{path.name}: {defect}; {way_out}") from None

    def _paths(self, folder: Path) -> dict[str, Path]:
        """Map the names to their files in `folder`: the plain one, else the .gz; DataError if one is missing."""
        try:
            if self.inner and (folder / self.inner).is_dir() and not (folder / next(iter(self.files))).is_file():
                folder = folder / self.inner
            found = sorted(folder.iterdir(), reverse=True)  # so that NAME comes after NAME.gz, and takes its place
        except OSError as error:
            raise DataError(f"{_shown(folder)}: it cannot be read ({_reason(error)}); {self._bring}") from None
        there = {path.name.removesuffix(".gz"): path for path in found}
        for name in self.files:
            if name not in there:
                raise DataError(f"{_shown(folder)}: it has neither {name}.gz nor {name}; {self._bring}")
        return {name: there[name] for name in self.files}

    def _fetch(self, cache: Path, on_progress: Progress) -> None:
        """Fill `cache`. A file gets its name there only once all are verified: whoever sees all sees good ones."""
        cache.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(cache.parent)
        failures: list[str] = []
        for source, fill in {**{url: self._from_mirror(url) for url in self.mirrors}, **self.sources}.items():
            with tempfile.TemporaryDirectory(
                dir=cache.parent, prefix="fetching-", ignore_cleanup_errors=True
            ) as temporary:
                try:
                    fetched = fill(Path(temporary), on_progress)
                    for _ in self.read(fetched, source, "nothing was kept"):
                        pass
                except DataError as failure:
                    failures.append(f"{source} ({failure})")
                    continue
                cache.mkdir(exist_ok=True)
                for path in self._paths(fetched).values():
                    _move(path, cache / path.name)
                return
        raise DataError(f"{self.name} is not here and could not be fetched from {' or '.join(failures)}; {self._bring}")

    def _from_mirror(self, url: str) -> Source:
        def fill(folder: Path, on_progress: Progress) -> Path:
            for name in self.files:
                download(f"{url}/{name}.gz", folder / f"{name}.gz", on_progress)
            return folder

        return fill


def download(url: str, path: Path, on_progress: Progress) -> None:
    """Download a file of at most `LARGEST_DOWNLOAD` bytes.

    `on_progress` gets the bytes that have come and all that there are: 0 as long as the server does not say how many.

    Raises:
        DataError: it could not be downloaded; the message gives nothing but the reason.
        OSError: `path` cannot be written.

    """
    with path.open("wb") as file:
        target = _Download(f"downloading {path.name}", file, on_progress)
        fetch = pooch.HTTPDownloader(
            progressbar=target,  # pyright: ignore[reportArgumentType] - pooch takes what has the methods of a bar
            chunk_size=1 << 16,
            timeout=(5, 20),  # seconds to connect to an address, and between two bytes
            headers={"Accept-Encoding": "identity"},  # or a .gz may arrive unpacked
        )
        try:
            fetch(url, target, None)
        except DataError:
            raise
        except (OSError, ValueError) as error:  # what requests raises is one, too
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's
            raise DataError(type(error).__name__) from error
        on_progress(target.what, target.done, target.done)


class _Download:
    """A file and the progress of its download, in the forms in which pooch takes both."""

    def __init__(self, what: str, file: BufferedIOBase, on_progress: Progress) -> None:
        self.what, self.file, self.on_progress = what, file, on_progress
        self.done = self.total = 0

    def write(self, piece: bytes) -> None:
        self.done += len(piece)
        if self.done > LARGEST_DOWNLOAD:
            raise DataError(f"it sent more than the {LARGEST_DOWNLOAD:,} bytes that are taken")
        self.file.write(piece)
        self.on_progress(self.what, self.done, self.total if self.total >= self.done else 0)

    def flush(self) -> None:
        """Do nothing: closing does it, and pooch asks for it after every piece."""

    def update(self, count: int) -> None:
        """Do nothing: `write` counts, and pooch counts pieces that are not full as full."""

    def reset(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _move(path: Path, target: Path) -> None:
    """Give a file its name in the cache, once all of it is on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    try:
        path.replace(target)
    except PermissionError:  # Windows's, where another process has fetched it meanwhile and is reading it
        if not target.is_file():
            raise


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of processes that were killed while they fetched."""
    for left in folder.glob("fetching-*"):
        with contextlib.suppress(OSError):
            newest = max(path.lstat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - newest > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _shown(folder: Path) -> str:
    return printable(str(folder))
