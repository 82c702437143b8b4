"""How do tests start the service, and talk to it? As programs do: over HTTP."""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import uvicorn
from app.program import ENVIRONMENT, PROGRAM

from nin.app.serving.guard import Guard
from nin.app.serving.service import make_service
from nin.inference.load import load

FAST = "fashion-mnist-fast"


class Server:
    """A service that listens somewhere."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.address = f"http://{host}:{port}"

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        """Return a connection, for a `with` statement."""
        return contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=30))

    def wait(self) -> None:
        """Wait until it answers."""
        for _ in range(300):
            with contextlib.suppress(OSError):
                self.get("/health")
                return
            time.sleep(0.1)
        raise AssertionError("the service does not answer")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Return the status of a GET, and its JSON."""
        with self.connect() as connection:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def predict(self, *files: tuple[str, bytes], query: str = "") -> tuple[int, Any]:
        """Return the status and the JSON of a prediction of files, each a name and its bytes."""
        body, kind = multipart(files)
        with self.connect() as connection:
            connection.request("POST", f"/api/predict{query}", body, {"Content-Type": kind})
            response = connection.getresponse()
            return response.status, json.loads(response.read())


def multipart(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return a body of multipart/form-data, and its content type."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        % (name.replace("\n", "%0A").encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


@contextlib.contextmanager
def serving(*models: str, in_this_process: bool = False, options: Sequence[str] = ()) -> Iterator[Server]:
    """Serve models by the command with options, in a process of its own, or in a thread of this one."""
    if in_this_process:
        service = Guard(make_service({name: load(name) for name in models}, {}), {"localhost"})
        listening = socket.create_server(("127.0.0.1", 0))
        run = uvicorn.Server(uvicorn.Config(service, log_level="critical"))
        thread = threading.Thread(target=run.run, kwargs={"sockets": [listening]})
        thread.start()
        server = Server("127.0.0.1", listening.getsockname()[1])
        try:
            server.wait()
            yield server
        finally:
            run.should_exit = True
            thread.join()
            listening.close()
        return
    command = [*PROGRAM, "serve", *models, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().split()[0].rpartition(":")[2]
            server = Server("127.0.0.1", int(port))
            server.wait()
            yield server
        finally:
            process.kill()
