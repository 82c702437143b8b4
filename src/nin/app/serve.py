"""How is `nin serve` carried out? Loads models, and answers requests until Ctrl-C."""

import contextlib
import socket

from nin.app.options import Serve
from nin.choices import MODELS
from nin.errors import OptionError
from nin.extras import require
from nin.inference.find_model import find_model
from nin.inference.load import load

SECONDS_TO_END = 30  # for requests that are under way at Ctrl-C
CONNECTIONS = 1000  # at once, where the system lets a process have twice as many files open


def main(options: Serve) -> int:
    """Serve the models until Ctrl-C, which lets the requests that are under way be answered."""
    require("serve", "nin serve", "fastapi", "fastapi_offline", "uvicorn", "python_multipart")
    import uvicorn

    from nin.app.serving.guard import Guard
    from nin.app.serving.service import make_service

    names = options.models or tuple(MODELS)
    if len(set(names)) < len(names):
        raise OptionError("a model is named twice: name each once")
    for name in options.allow_host:
        if ":" in name or "/" in name:
            raise OptionError(f"--allow-host takes a name alone, such as photos.example, not {name}")
    with _listen(options.host, options.port) as listening:
        classifiers = {name: load(name, device=options.device) for name in names}
        service = make_service(classifiers, {name: _card(name) for name in names})
        guarded = Guard(service, {"localhost", options.host.lower()}, [name.lower() for name in options.allow_host])
        config = uvicorn.Config(
            guarded,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_connections(),
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        print(f"{_address(options.host, listening)}  {', '.join(names)}; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    return 0


def _card(name: str) -> str:
    """Return the model card of a model, empty where it has none."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (find_model(name) / "README.md").read_text("utf-8")
    return ""


def _connections() -> int:
    """Return how many connections there may be at once."""
    try:
        import resource
    except ImportError:  # Windows
        return CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, files // 2))


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OptionError."""
    if not 0 <= port < 2**16:
        raise OptionError(f"port must be from 0 to 65535, not {port}")
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.create_server(address[:2], family=family, backlog=2048)
        # Of connections, too: asyncio sets it only where a socket says that its protocol is TCP, which this does not.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OptionError(
            f"cannot listen on {host}, port {port}: {reason}; choose others by --host and --port"
        ) from error


def _address(host: str, listening: socket.socket) -> str:
    """Return the address of the page; 127.0.0.1 where the service listens on all of the machine's."""
    port = listening.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"
