"""From what do those who decode photos take them? From a sequence of which nobody has taken, or as they come."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from nin.data.decoded.decoding_worker import Job

_CHUNK_BYTES: Final = 8_000_000  # of images, and of photos that are given as bytes
_MOST_TAKEN: Final = 128  # photos of a feed at a time: a good batch for a network, and not long to wait for

Photos = list[Path | str | bytes]


Take = Callable[[int], tuple[int, Photos] | None]
"""Called with a number, from several threads; returns the number of the first, and up to so many photos, or None."""


class Chunks:
    """Photos of a sequence that nobody has taken yet."""

    def __init__(self, photos: Sequence[Path | str | bytes], job: Job, takers: int) -> None:
        self._photos, self._takers = photos, takers
        self._most = max(1, _CHUNK_BYTES // job.image_bytes)
        self._next = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> tuple[int, Photos] | None:
        """Return the number of the first, and up to `size` photos; fewer near the end, so that all takers end then."""
        with self._lock:
            first, left = self._next, len(self._photos) - self._next
            most = min(size, self._most, -(-left // (2 * self._takers)))
            taken = _fill(iter(self._photos[number] for number in range(first, first + most)))
            self._next += len(taken)
        return (first, taken) if taken else None


class Feed:
    """Photos that come one after another, at any time, and that nobody has taken yet."""

    def __init__(self, takers: int) -> None:
        self._takers = takers
        self._waiting: deque[Path | str | bytes] = deque()
        self._next = self._count = 0  # number of the next photo to take, and to put
        self._changed = threading.Condition()
        self.ended = False

    @property
    def exhausted(self) -> bool:
        """Whether all photos were taken, and no more will come."""
        return self.ended and not self._waiting

    def put(self, photo: Path | str | bytes) -> int:
        """Add a photo, and return its number."""
        with self._changed:
            self._waiting.append(photo)
            self._count += 1
            self._changed.notify()
            return self._count - 1

    def drop(self, number: int) -> None:
        """Let a photo that nobody has taken yet be an empty one, which takes no time: nobody wants it any more."""
        with self._changed:
            if 0 <= number - self._next < len(self._waiting):
                self._waiting[number - self._next] = b""

    def end(self) -> None:
        """Let no more come."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let no more come, and forget those that wait."""
        with self._changed:
            self._waiting.clear()
        self.end()

    def take(self, size: int) -> tuple[int, Photos] | None:
        """Return the number of the first, and up to `size` photos of those that wait; wait for one if there is none."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._waiting or self.ended, timeout=0.5):
                pass  # on Windows Ctrl-C is met only between two waits
            if not self._waiting:
                return None
            share = -(-len(self._waiting) // self._takers)  # the others take, too
            taken = _fill(self._waiting.popleft() for _ in range(min(size, share, _MOST_TAKEN)))
            first = self._next
            self._next += len(taken)
        return first, taken


def _fill(photos: Iterator[Path | str | bytes]) -> Photos:
    """Return photos, but no more bytes than a chunk has."""
    taken: Photos = []
    room = _CHUNK_BYTES
    for photo in photos:
        taken.append(photo)
        room -= len(photo) if isinstance(photo, bytes) else 0
        if room <= 0:
            break
    return taken
