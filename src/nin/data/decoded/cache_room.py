"""Where is there room for more decoded images? In the cache, which is bounded, or else in a temporary folder."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from nin.data.decoded.cache_folder import cache_folder, cache_limit, entry_folders, entry_size, last_use
from nin.errors import DataError
from nin.text import printable

_MAKING: Final = ".making"  # holds a folder for each entry that is being made, and its lock
_LOCKS: Final = 256  # at most, since they stay; so many that sources rarely wait for one another
_WAY_OUT: Final = "name a folder on another disk in XDG_CACHE_HOME"


def is_cached(place: Path) -> bool:
    """Tell whether a folder is within the cache, and not a temporary one."""
    return cache_folder() in place.parents


@contextlib.contextmanager
def workplace(stamp: str, on_wait: Callable[[], None]) -> Iterator[Path]:
    """Yield an empty folder to make an entry in: within the cache, or a temporary one where that cannot be written.

    One process at a time makes an entry of a stamp; another calls `on_wait`, and waits. The folder is removed in the
    end, and so are those of processes that were killed.

    Raises:
        DataError: no folder can be written.

    """
    making = cache_folder() / _MAKING
    place = making / f"{int(stamp[:8], 16) % _LOCKS:02x}"
    with contextlib.ExitStack() as stack:
        try:
            making.mkdir(parents=True, exist_ok=True)
            lock = FileLock(place.with_suffix(".lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait()
                lock.acquire()
            stack.callback(lock.release)
            _remove_left(making, place)
            place.mkdir()
        except (OSError, NotImplementedError):  # it can only be read, or its file system has no locks
            try:
                place = Path(tempfile.mkdtemp(prefix="nin-images-"))
            except OSError as error:
                raise DataError(
                    f"{printable(str(cache_folder()))}: decoded images cannot be written there, nor into a temporary "
                    f"folder ({error.strerror}); {_WAY_OUT}"
                ) from error
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        yield place


def _remove_left(making: Path, own: Path) -> None:
    """Remove what processes have left that were killed: nobody holds the locks."""
    shutil.rmtree(own, ignore_errors=True)
    for left in making.iterdir():
        if left.suffix != ".lock":
            with contextlib.suppress(OSError), FileLock(left.with_suffix(".lock"), timeout=0):  # Timeout is an OSError
                shutil.rmtree(left, ignore_errors=True)


def make_room(place: Path, disk: int, kept: int = 0, spare: Path | None = None) -> None:
    """Remove entries, those unused for longest first, until there is room.

    Args:
        place: a folder on the disk that must have room.
        disk: bytes that must be free on it.
        kept: bytes that are about to be kept in the cache, which is bounded.
        spare: an entry that stays.

    Raises:
        DataError: the disk has too little room even so.

    """
    sizes = {folder: entry_size(folder) for folder in entry_folders()}
    total = sum(sizes.values()) + kept
    leaving = sorted((folder for folder in sizes if folder != spare), key=last_use) if is_cached(place) else []
    while leaving and (total > cache_limit() or shutil.disk_usage(place).free < disk):
        folder = leaving.pop(0)
        shutil.rmtree(folder, ignore_errors=True)  # its users have it mapped, and keep it; on Windows it stays
        total -= sizes[folder]
    if shutil.disk_usage(place).free < disk:
        raise _no_room(place, disk)


def not_written(place: Path, error: OSError, disk: int) -> DataError:
    """Return the error for images that cannot be written into a folder, where they need `disk` bytes."""
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
        return _no_room(place, disk)
    return DataError(f"{_shown(place)}: decoded images cannot be written there ({error.strerror}); {_WAY_OUT}")


def _no_room(place: Path, disk: int) -> DataError:
    free = shutil.disk_usage(place.parent).free
    return DataError(
        f"{_shown(place)}: decoded images need {_in_bytes(disk)} there, and {_in_bytes(free)} are free; "
        f"make room, or {_WAY_OUT}"
    )


def _shown(place: Path) -> str:
    return printable(str(cache_folder() if is_cached(place) else place.parent))


def _in_bytes(count: int) -> str:
    unit, size = next(((unit, size) for unit, size in (("GB", 1e9), ("MB", 1e6)) if count >= size), ("kB", 1e3))
    return f"{count / size:.1f} {unit}"
