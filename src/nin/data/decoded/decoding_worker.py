"""What becomes of a chunk of photos? Their pixels go into a file or come back, and so does a record of each.

`nin.data.decoded.decoding_pool` runs this as a program of its own, once for each processor, since threads of Python
would wait for one another. It imports neither torch nor anything of the user's, and starts in a tenth of a second.
"""

import errno
import hashlib
import os
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from PIL import Image

from nin.choices import Invert
from nin.data.photos.photo import MAX_BYTES, read_photo
from nin.data.photos.plain_png import read_plain_png
from nin.data.photos.preparation import Preparation, has_colour, prepare
from nin.errors import PhotoError
from nin.text import printable

Message = TypeVar("Message")

READ, UNREADABLE, FAILED, CHANGED = range(4)  # a photo; one that FAILED, as for want of memory, may be read next time
GREY, NEARLY_GREY, COLOURED = range(3)  # images: red, green and blue are equal, or but for noise, or are not in all

RECORD: Final = np.dtype(
    [
        ("state", "u1"),
        ("width", "<u4"),  # of the photo, upright
        ("height", "<u4"),
        ("file", "u1", 32),  # SHA-256 of its bytes; zeros where they could not be read
        ("pixels", "u1", 16),  # BLAKE2b of the image
        ("inverted", "?"),  # whether light and dark were swapped to prepare it
    ]
)
_OPENING: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # waiting for no pipe
_PASSING: Final = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}
_RECORD: Final = struct.Struct("<BII32s16s?")


class Job(msgspec.Struct, frozen=True):
    """What is the same for all photos.

    Attributes:
        preparation, channels, side, invert: how they are prepared.
        path: the file that image after image lies in; None where their pixels are to come back with the answer.

    """

    preparation: Preparation
    channels: int
    side: int
    path: bytes | None = None
    invert: Invert = "auto"

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return self.channels * self.side**2


class Chunk(msgspec.Struct, frozen=True):
    """Photos to decode, from the one numbered `first` on: (True, path of a file) or (False, bytes of a file)."""

    first: int
    photos: list[tuple[bool, bytes]]


class Answer(msgspec.Struct, frozen=True):
    """What became of a chunk: RECORDs, why photos have no image, the images' colour, and the error in writing them.

    Without a file to write them into, also the pixels of the images, with zeros for photos that have none.
    """

    records: bytes
    reasons: dict[int, str]
    colour: int = GREY
    failure: tuple[int, str] | None = None
    pixels: bytes = b""


class _PassingError(PhotoError):
    """A photo that cannot be read, but may be another time."""


class _Decoded(NamedTuple):
    record: bytes
    pixels: bytes
    reason: str | None


def decode_chunk(job: Job, first: int, photos: Sequence[Path | str | bytes]) -> Answer:
    """Decode photos, the first of which is number `first` of all, and write their images at their places in the file.

    A photo that cannot be read leaves zeros there. Without a file, the images are in the answer.
    """
    decoded = [_decode(job, photo) for photo in photos]
    pixels = b"".join([one.pixels for one in decoded])
    reasons = {first + i: one.reason for i, one in enumerate(decoded) if one.reason is not None}
    records, colour = b"".join([one.record for one in decoded]), _colour(job, pixels)
    if job.path is None:
        return Answer(records, reasons, colour, pixels=pixels)
    failure = None
    try:
        # Written, not mapped: where the disk is full that raises an error, and a map would end the process.
        file = os.open(job.path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        with os.fdopen(file, "wb", buffering=0) as images:
            images.seek(first * job.image_bytes)
            _write_all(images, pixels)
    except OSError as error:
        failure = (error.errno or 0, error.strerror or str(error))
    return Answer(records, reasons, colour, failure)


def _write_all(file: BinaryIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _decode(job: Job, photo: Path | str | bytes) -> _Decoded:
    """Decode one photo."""
    digest = bytes(32)
    try:
        data = photo if isinstance(photo, bytes) else _read(photo)
        if data is None:
            return _Decoded(record_without_image(CHANGED), bytes(job.image_bytes), "it changed while it was read")
        digest = hashlib.sha256(data).digest()
        image = read_plain_png(data) or read_photo(data)
        pixels, inverted = _pixels(job, image)
    except (PhotoError, MemoryError) as error:
        passing = isinstance(error, (MemoryError, _PassingError)) or isinstance(error.__cause__, MemoryError)
        record = record_without_image(FAILED if passing else UNREADABLE, digest)
        shown = printable(str(photo)) if digest == bytes(32) else "the photo"
        reason = str(error).removeprefix(f"{shown}: ") or "too little memory for its image; free some memory"
        return _Decoded(record, bytes(job.image_bytes), reason)
    checksum = hashlib.blake2b(pixels, digest_size=16).digest()
    return _Decoded(_RECORD.pack(READ, *image.size, digest, checksum, inverted), pixels, None)


def record_without_image(state: int, digest: bytes = bytes(32)) -> bytes:
    """Return the RECORD of a photo that has no image."""
    return _RECORD.pack(state, 0, 0, digest, bytes(16), False)


def _pixels(job: Job, photo: Image.Image) -> tuple[bytes, bool]:
    """Return the pixels of the image that a photo becomes, one channel after the other, and whether it was inverted."""
    side, channels = job.side, job.channels
    if job.preparation.kind == "photo" and photo.size == (side, side) and job.invert != "yes":
        if photo.mode == "L":  # `prepare` would come to the same
            return photo.tobytes() * channels, False
        if photo.mode == "RGB" and channels == 3:
            return np.frombuffer(photo.tobytes(), np.uint8).reshape(side, side, 3).transpose(2, 0, 1).tobytes(), False
    prepared = prepare(photo, job.preparation, channels, side, job.invert)
    return prepared.image.tobytes(), prepared.inverted


def _colour(job: Job, pixels: bytes) -> int:
    """Return how much colour there is in the pixels of images."""
    images = np.frombuffer(pixels, np.uint8).reshape(-1, job.channels, job.side**2).swapaxes(0, 1)
    if (images == images[:1]).all():
        return GREY
    return COLOURED if has_colour(images) else NEARLY_GREY


def _read(path: Path | str) -> bytes | None:
    """Return the bytes of a file, or None if it changed meanwhile; PhotoError in the words of `read_photo`."""
    try:
        file = os.open(path, _OPENING)  # five times as fast as with Path
        try:
            before = os.fstat(file)
            if stat.S_ISREG(before.st_mode) and 0 < before.st_size <= MAX_BYTES:
                data = os.read(file, before.st_size + 1)
                while len(data) < before.st_size and (more := os.read(file, before.st_size + 1 - len(data))):
                    data += more  # from a file system that gives less than it is asked for
                after = os.fstat(file)
                same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
                return data if same and len(data) == before.st_size else None
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _PASSING:
            raise _PassingError(f"it cannot be read ({error.strerror}); start again when it can") from None
    read_photo(Path(path))  # says what is wrong
    return None


# --- The program, and how it is talked to: messages of MessagePack, each after its length ---

_LONGEST: Final = 2**31  # bytes of a message; what is longer was written by another program


def send(pipe: BinaryIO, message: object) -> None:
    """Write a message to a pipe. Raises OSError where nobody reads it any more."""
    content = msgspec.msgpack.encode(message)
    pipe.write(len(content).to_bytes(8, "little"))
    pipe.write(content)
    pipe.flush()


def receive(pipe: BinaryIO, kind: type[Message]) -> Message:
    """Read a message from a pipe. Raises EOFError where nobody writes one any more, and msgspec.DecodeError."""
    length = int.from_bytes(header := pipe.read(8), "little")
    if len(header) < 8 or length > _LONGEST or len(content := pipe.read(length)) < length:
        raise EOFError
    return msgspec.msgpack.decode(content, type=kind)


def main() -> None:
    """Answer chunk after chunk, until nobody sends any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; who started this one ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a decoder prints is no answer
    requests = sys.stdin.buffer
    try:
        send(answers, __file__)
        job = receive(requests, Job)
        while True:
            chunk = receive(requests, Chunk)
            photos = [os.fsdecode(content) if is_path else content for is_path, content in chunk.photos]
            send(answers, decode_chunk(job, chunk.first, photos))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # at once: what is left to flush has no reader
