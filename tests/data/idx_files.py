"""How is a small data set made that has the file names of the real one, and served as its authors do?"""

import contextlib
import functools
import gzip
import hashlib
import math
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np


def idx(shape: tuple[int, ...], fill: int) -> bytes:
    """Return the content of an IDX file with digits in this shape; another `fill` makes other digits."""
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    return header + bytes((i * i + fill) % 10 for i in range(math.prod(shape)))


SHAPES = {
    "train-images-idx3-ubyte": (30, 4, 3),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (20, 4, 3),
    "t10k-labels-idx1-ubyte": (20,),
}
SMALL = {name: idx(shape, fill) for fill, (name, shape) in enumerate(SHAPES.items(), start=1)}
FILES = {name: (SHAPES[name], hashlib.sha256(content).hexdigest()) for name, content in SMALL.items()}
LABELS = "t10k-labels-idx1-ubyte"
GOOD = SMALL[LABELS]
PACKED = gzip.compress(GOOD, mtime=0)
OTHER = idx((20,), 5)  # the same header and length, other labels


def write_files(folder: Path, contents: dict[str, bytes] = SMALL, suffix: str = ".gz") -> Path:
    """Write the files into `folder`, gzipped or plain, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content, 1) if suffix else content)
    return folder


def flip_a_bit(content: bytes, position: int) -> bytes:
    """Return the content with one bit of the byte at `position` flipped."""
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


def any_idx(values: np.ndarray, kind: int = 0x08) -> bytes:
    """Return the content of an IDX file with these values, of the type that has this number."""
    header = struct.pack(f">{1 + values.ndim}I", kind << 8 | values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


@dataclass
class Upstream:
    """A web server on this machine: what it answers under a path, and which paths it was asked for."""

    answers: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)  # paths whose answers announce more bytes than come
    silent: set[str] = field(default_factory=set)  # paths whose answers do not say how many bytes come
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serve(answers: dict[str, bytes]) -> Iterator[Upstream]:
    """Answer from another thread as the `Upstream` says, until the block ends."""
    state = Upstream(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            body = state.answers.get(self.path)
            self.send_response(404 if body is None else 200)
            if self.path not in state.silent:
                self.send_header("Content-Length", str(len(body or b"") + 100 * (self.path in state.cut)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # whoever asked has heard enough
                self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
