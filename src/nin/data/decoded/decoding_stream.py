"""How are photos decoded that come one after another? By worker programs, ahead of whoever uses them, in order."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from nin.data.decoded.decoding import count_workers
from nin.data.decoded.decoding_pool import Workers, next_size
from nin.data.decoded.decoding_source import Feed
from nin.data.decoded.decoding_worker import READ, RECORD, Answer, Job, decode_chunk

_SECONDS_ALONE: Final = 0.5  # of decoding, until workers are worth their start
_AHEAD: Final = 2048  # photos that are decoded before they are used, at most
_AHEAD_BYTES: Final = 64_000_000  # of their images
_TOGETHER: Final = 256  # photos that are yielded at a time, about


class StreamedPhoto(NamedTuple):
    """What became of a photo.

    Attributes:
        image: uint8, (channels, side, side); None for a photo that cannot be read.
        inverted: whether light and dark were swapped to prepare it.
        reason: why there is no image.

    """

    image: np.ndarray | None
    inverted: bool = False
    reason: str = ""


def decode_stream(
    photos: Iterable[Path], job: Job, workers: int | None = None
) -> Generator[list[tuple[Path, StreamedPhoto]], None, None]:
    """Yield photos with what became of them, in order, as many at a time as are ready.

    A thread reads `photos`; how many of them are on their way has a bound, so memory does not grow with their number.
    This process decodes the first itself, and the others where no worker can be started.

    Args:
        photos: paths of files.
        job: how they are prepared; without a path.
        workers: by default as `count_workers` says.

    Raises:
        DataError: workers end, and no other can be started.
        Exception: what reading `photos` raises, after all that came before it.

    """
    feed = Feed(workers := workers or count_workers())
    underway: deque[Path] = deque()
    room = threading.Semaphore(max(1, min(_AHEAD, _AHEAD_BYTES // job.image_bytes)))
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for photo in photos:
                room.acquire()
                if feed.ended:
                    return
                underway.append(photo)
                feed.put(photo)
        except BaseException as error:
            failures.append(error)
        feed.end()

    threading.Thread(target=read, daemon=True).start()  # not waited for: it may be waiting for somebody to type a name
    try:
        with contextlib.closing(_answers(feed, job, workers)) as answers:
            for ready in _in_order(answers, job):
                yield [(underway.popleft(), photo) for photo in ready]
                room.release(len(ready))
        if failures:
            raise failures[0]
    finally:
        feed.close()
        room.release()


def photos_of(answer: Answer, job: Job) -> list[StreamedPhoto]:
    """Return the photos of an answer, whose reasons are by their numbers."""
    records = np.frombuffer(answer.records, RECORD)
    reasons = iter(answer.reasons.values())  # in order, as the photos without an image are
    found: list[StreamedPhoto] = []
    for number, record in enumerate(records):
        if record["state"] != READ:
            found.append(StreamedPhoto(None, reason=next(reasons)))
            continue
        pixels = np.frombuffer(answer.pixels, np.uint8, job.image_bytes, number * job.image_bytes)
        image = pixels.reshape(job.channels, job.side, job.side).copy()  # may be written to
        found.append(StreamedPhoto(image, bool(record["inverted"])))
    return found


def _answers(feed: Feed, job: Job, workers: int) -> Generator[tuple[int, Answer, bool], None, None]:
    """Yield the number of a chunk's first photo, what became of the chunk, and whether the next is there already.

    In any order.
    """
    yield from _decode_here(feed, job, _SECONDS_ALONE)
    if feed.exhausted:
        return
    with contextlib.closing(Workers(feed.take, job, workers)) as pool:
        try:
            for first, answer in pool.answers():
                yield first, answer, pool.has_more
        except BaseException:
            feed.close()  # the pool's threads may be waiting for photos
            raise
    yield from _decode_here(feed, job)


def _decode_here(feed: Feed, job: Job, seconds: float = float("inf")) -> Iterator[tuple[int, Answer, bool]]:
    """Decode chunks in this process, for so many seconds."""
    size, spent = 1, 0.0
    while spent < seconds and (chunk := feed.take(size)):
        began = time.monotonic()
        answer = decode_chunk(job, *chunk)
        took = time.monotonic() - began
        size, spent = next_size(size, took), spent + took
        yield chunk[0], answer, False


def _in_order(answers: Iterable[tuple[int, Answer, bool]], job: Job) -> Iterator[list[StreamedPhoto]]:
    """Yield the photos in order, as soon as all before them are there; those that are there already together.

    Whoever uses them slowly would otherwise make room for few at a time, of which few are decoded at a time.
    """
    early: dict[int, list[StreamedPhoto]] = {}
    following = 0
    ready: list[StreamedPhoto] = []
    for first, answer, more in answers:
        early[first] = photos_of(answer, job)
        while following in early:
            part = early.pop(following)
            following += len(part)
            ready += part
        if ready and (len(ready) >= _TOGETHER or not more):
            yield ready
            ready = []
    if ready:
        yield ready
