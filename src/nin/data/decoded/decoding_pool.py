"""How do worker programs share photos? A thread of this process serves each, and replaces it if a photo crashes it."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from nin.data.decoded import decoding_worker
from nin.data.decoded.decoding_source import Photos, Take
from nin.data.decoded.decoding_worker import FAILED, Answer, Chunk, Job, receive, record_without_image, send
from nin.errors import DataError

_CHUNK_SECONDS: Final = 0.2
_MOST_PHOTOS: Final = 512  # of a chunk
_MOST_CRASHES: Final = 100  # after which it is not the photos
_START_SECONDS: Final = 60  # after which a worker that says nothing is taken for another program
_START: Final = f"import sys; sys.path[:] = sys.argv[1:]; from {decoding_worker.__name__} import main; main()"


def next_size(size: int, seconds: float) -> int:
    """Return how many photos to take next, after `size` took so many seconds: what takes about _CHUNK_SECONDS."""
    return max(1, min(_MOST_PHOTOS, 4 * size, round(size * _CHUNK_SECONDS / max(seconds, 1e-6))))


class Workers:
    """Programs that decode chunks, each served by a thread of this process, which only waits for it.

    Args:
        take: gives the photos.
        job: how they are prepared.
        count: how many workers.
        patience: seconds after which a photo is given up; by default it takes as long as it takes.

    Raises:
        DataError: by `answers`, after more than 100 crashes in a row, or where a worker that ended cannot be replaced.

    """

    def __init__(self, take: Take, job: Job, count: int, patience: float | None = None) -> None:
        self._take, self._job, self._patience = take, job, patience
        self._events: queue.SimpleQueue[tuple[int, Answer] | BaseException | None] = queue.SimpleQueue()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._crashes = 0  # in a row
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def answers(self) -> Iterator[tuple[int, Answer]]:
        """Yield what workers answer, until all have ended."""
        running = len(self._threads)
        while running:
            try:
                event = self._events.get(timeout=0.5)  # on Windows Ctrl-C is met only between two waits
            except queue.Empty:
                continue
            if isinstance(event, BaseException):
                raise event
            if event is None:
                running -= 1
            else:
                yield event

    @property
    def has_more(self) -> bool:
        """Whether the next answer is there already, or the end."""
        return not self._events.empty()

    def close(self) -> None:
        """End every worker and thread."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """Let a worker decode chunk after chunk; runs in a thread."""
        try:
            with contextlib.suppress(_StartError):  # others do its work, or this process
                self._decode()
            self._events.put(None)
        except BaseException as error:
            self._events.put(error)

    def _decode(self) -> None:
        worker, size = self._start(), 1
        alone: deque[tuple[int, Photos]] = deque()  # photos of a chunk on which a worker ended
        try:
            while chunk := alone.popleft() if alone else self._take(size):
                first, photos = chunk
                began = time.monotonic()
                given_up = self._give_up(worker)
                try:
                    send(cast(BinaryIO, worker.stdin), Chunk(first, [_encoded(photo) for photo in photos]))
                    answer = receive(cast(BinaryIO, worker.stdout), Answer)
                    size = next_size(len(photos), time.monotonic() - began)
                    self._crashes = 0
                except (OSError, EOFError, msgspec.DecodeError):
                    self._end(worker)
                    if len(photos) > 1:
                        alone.extend((first + i, [photo]) for i, photo in enumerate(photos))
                        answer = None
                    else:
                        late = given_up is not None and given_up.finished.is_set()
                        reason = f"it takes over {self._patience:g} s to decode" if late else ""
                        reason = reason and f"{reason}; save it again as PNG"
                        reason = reason or self._crash(worker.returncode)
                        answer = Answer(record_without_image(FAILED), {first: reason})
                    worker = self._restart()
                finally:
                    if given_up is not None:
                        given_up.cancel()
                if answer is not None:
                    self._events.put((first, answer))
        finally:
            self._end(worker)

    def _give_up(self, worker: subprocess.Popen[bytes]) -> threading.Timer | None:
        """Return a timer that ends a worker which takes too long for a chunk, whose photos are then tried alone."""
        if self._patience is None:
            return None
        timer = threading.Timer(self._patience, worker.kill)
        timer.daemon = True
        timer.start()
        return timer

    def _crash(self, code: int) -> str:
        """Say why a photo has no image, on which a worker ended with an exit code; DataError after too many."""
        with self._lock:
            self._crashes += 1
        killed = code == -9
        if self._crashes > _MOST_CRASHES:
            way_out = "free some memory" if killed else "reinstall Pillow"
            raise DataError(f"decoders have crashed on {self._crashes} photos; {way_out}, and start again")
        if killed:
            return "its decoder was killed, as happens when memory runs out; free some memory, or shrink it"
        return "the decoder crashed on it; save it again as PNG"

    def _restart(self) -> subprocess.Popen[bytes]:
        try:
            return self._start()
        except _StartError as error:
            raise DataError(
                f"photos are decoded by programs, of which one ended, and no other can be started ({error}); "
                "free some memory and start again"
            ) from error

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it has said that it is one. Raises _StartError."""
        if not sys.executable or getattr(sys, "frozen", False):
            raise _StartError("there is no Python program")
        home = str(Path(decoding_worker.__file__).parents[decoding_worker.__name__.count(".")])  # that has `nin`
        paths = [*sys.path, *([] if home in sys.path else [home])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        try:
            with self._lock:
                if self._closed:
                    raise _StartError("they were ended")
                process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, *paths],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | threads,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
                self._processes.add(process)
        except (OSError, ValueError) as error:
            raise _StartError(error) from error
        patience = threading.Timer(_START_SECONDS, process.kill)
        patience.daemon = True
        patience.start()
        try:
            if receive(cast(BinaryIO, process.stdout), str) != decoding_worker.__file__:
                raise _StartError("it is of another installation")
            send(cast(BinaryIO, process.stdin), self._job)
        except (OSError, EOFError, msgspec.DecodeError, _StartError) as error:
            self._end(process)
            raise _StartError(error) from error
        finally:
            patience.cancel()
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End a worker, and wait until it is gone."""
        process.kill()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()
        process.wait()
        with self._lock:
            self._processes.discard(process)


class _StartError(Exception):
    """A worker could not be started."""


def _encoded(photo: Path | str | bytes) -> tuple[bool, bytes]:
    return (False, photo) if isinstance(photo, bytes) else (True, os.fsencode(photo))
