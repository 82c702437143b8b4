"""How are photos decoded that several threads hand in at any time? By worker programs, whatever is in them."""

import threading
import time
from concurrent.futures import Future

from nin.data.decoded.decoding import count_workers
from nin.data.decoded.decoding_pool import Workers
from nin.data.decoded.decoding_source import Feed
from nin.data.decoded.decoding_stream import StreamedPhoto, photos_of
from nin.data.decoded.decoding_worker import Answer, Job, decode_chunk
from nin.errors import DataError

PATIENCE = 20.0  # seconds for a photo
_SECONDS_TO_RECOVER = 0.2
_SECONDS_ALONE = 30.0


class DecodingService:
    """Decodes photos; a photo on which a decoder crashes is unreadable, and the others never notice.

    Args:
        job: how they are prepared; without a path.
        workers: by default as `count_workers` says.

    """

    def __init__(self, job: Job, workers: int | None = None) -> None:
        self._job, self._workers = job, workers or count_workers()
        self._lock = threading.Lock()
        self._futures: dict[int, Future[StreamedPhoto]] = {}
        self._feed = Feed(self._workers)
        self._pool: Workers | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def decode(self, photo: bytes) -> Future[StreamedPhoto]:
        """Return what becomes of the bytes of a photo's file, as a future; one that is cancelled takes no time."""
        future: Future[StreamedPhoto] = Future()
        with self._lock:  # the answer must not come before it is known whose it is
            feed = self._feed
            number = feed.put(photo)
            self._futures[number] = future
        future.add_done_callback(lambda done: feed.drop(number) if done.cancelled() else None)
        return future

    def close(self) -> None:
        """End the workers; photos that are not decoded by then never are."""
        with self._lock:
            self._closed = True
            self._feed.close()
            pool = self._pool
        if pool is not None:
            pool.close()
        self._thread.join()
        for future in list(self._futures.values()):
            future.cancel()

    def _serve(self) -> None:
        """Hand on what the workers answer; runs in a thread."""
        while True:
            with self._lock:
                if self._closed:
                    return
                feed = self._feed
            try:
                self._decode(feed)
            except Exception as error:  # too many crashes, no new worker or thread: who waits is told, and it goes on
                self._fail(error)
                time.sleep(_SECONDS_TO_RECOVER)

    def _decode(self, feed: Feed) -> None:
        """Decode what comes, until no more does. Raises what workers and threads raise that cannot be started."""
        pool = None
        try:
            while not feed.ended:
                pool = self._pool = Workers(feed.take, self._job, self._workers, PATIENCE)
                for first, answer in pool.answers():
                    self._resolve(first, answer)
                began = time.monotonic()  # where no worker can be started, this process decodes for a while
                while chunk := feed.take(1):
                    self._resolve(chunk[0], decode_chunk(self._job, *chunk))
                    if time.monotonic() - began > _SECONDS_ALONE:
                        break
        finally:
            feed.close()  # the pool's threads may be waiting for photos
            if pool is not None:
                pool.close()

    def _resolve(self, first: int, answer: Answer) -> None:
        for number, photo in enumerate(photos_of(answer, self._job), first):
            with self._lock:
                future = self._futures.pop(number)
            if future.set_running_or_notify_cancel():
                future.set_result(photo)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            if self._closed:
                return
            failed, self._futures = self._futures, {}
            self._feed = Feed(self._workers)
        shown = error if isinstance(error, DataError) else DataError(f"photos cannot be decoded just now ({error})")
        for future in failed.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(shown)
