"""How are many photos decoded at once? By worker programs, a chunk at a time, into one file, whatever is in a photo."""

import contextlib
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from nin.data.decoded.decoding_pool import Workers, next_size
from nin.data.decoded.decoding_source import Chunks
from nin.data.decoded.decoding_worker import GREY, RECORD, Answer, Job, decode_chunk
from nin.data.progress import Progress
from nin.device import usable_threads

_WORKER_BYTES: Final = 10**9  # that decoding the largest photo takes, about
FEW: Final = 64  # photos that this process has decoded before workers have started


class Decoded(NamedTuple):
    """What became of photos: an array of `decoding_worker.RECORD`; by number why photos have no image; the colour."""

    records: np.ndarray
    reasons: dict[int, str]
    colour: int


def count_workers() -> int:
    """Return how many workers decode: one for each processor, and less where memory is short for the largest photos."""
    count = usable_threads()
    if hasattr(os, "sysconf"):
        count = min(count, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _WORKER_BYTES)
    return max(1, count)


def decode(
    photos: Sequence[Path | str | bytes], job: Job, on_progress: Progress, workers: int | None = None
) -> Decoded:
    """Decode photos and write their images into the file of `job`, in the order of the photos, zeros where none is.

    The same whatever the workers: by default as `count_workers` says, and none for few photos, which this
    process decodes itself, as it does where no worker can be started. A photo on which a worker crashes is unreadable.

    Raises:
        OSError: the file cannot be written, as on a full disk.
        DataError: workers end, and no other can be started.

    """
    assert job.path is not None
    records = np.zeros(len(photos), RECORD)
    reasons: dict[int, str] = {}
    workers = (count_workers() if len(photos) >= FEW else 0) if workers is None else workers
    done, colour = 0, GREY
    on_progress("reading photos", done, len(photos))
    with contextlib.closing(_answers(photos, job, workers)) as answers:
        for first, answer in answers:
            if answer.failure is not None:
                raise OSError(*answer.failure)
            chunk = np.frombuffer(answer.records, RECORD)
            records[first : first + len(chunk)] = chunk
            reasons |= answer.reasons
            colour = max(colour, answer.colour)
            done += len(chunk)
            on_progress("reading photos", done, len(photos))
    os.truncate(job.path, len(photos) * job.image_bytes)  # a worker that crashed has written nothing
    return Decoded(records, dict(sorted(reasons.items())), colour)


def _answers(photos: Sequence[Path | str | bytes], job: Job, workers: int) -> Generator[tuple[int, Answer], None, None]:
    """Yield the number of a chunk's first photo, and what became of the chunk; in any order."""
    chunks = Chunks(photos, job, max(1, workers))
    if workers:
        with contextlib.closing(Workers(chunks.take, job, workers)) as pool:
            yield from pool.answers()
    size = 1
    while chunk := chunks.take(size):  # what no worker took
        began = time.monotonic()
        yield chunk[0], decode_chunk(job, *chunk)
        size = next_size(size, time.monotonic() - began)
