"""Which requests does the service refuse, or give up? Those of other hosts, too many, too large or too slow."""

import asyncio
import ipaddress
from collections.abc import Collection
from typing import Final

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nin.data.photos.photo import MAX_BYTES

MOST_BODY: Final = MAX_BYTES + 1_000_000  # bytes of a request
MOST_REQUESTS: Final = 256  # at once
MOST_BYTES: Final = 500_000_000  # of the bodies of these
SECONDS_FOR_BODY: Final = 60.0
SECONDS_TO_SEND: Final = 60.0  # a part of an answer, to who does not read it
COUNTED: Final = "/api/predict"  # the others cost nothing, and are answered while the service is busy

_POLICY: Final = (
    "default-src 'none'; img-src 'self' data: blob:; connect-src 'self'; script-src 'self'{inline}; "
    "style-src 'self'{inline}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}


class Guard:
    """ASGI middleware that lets through only what the service can bear.

    The Host header must be an IP address or one of the `hosts`: a page of another site, whose name an attacker lets
    point at this machine (DNS rebinding), is refused. So is what a page of another origin sends, unless the host of
    that is one of the `proxies`. What a client asks that has left is not computed.

    Args:
        app: what it guards.
        hosts: names, in lower case, by which the service may be called.
        proxies: names by which browsers reach it through something else.

    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], proxies: Collection[str] = ()) -> None:
        self.app, self.hosts, self.proxies = app, {*hosts, *proxies}, proxies
        self.requests = self.bytes = 0  # under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counted = scope["path"] == COUNTED
        headed = _Headed(send, scope["path"])
        refused = self._refusal(Headers(scope=scope), counted=counted)
        if refused is not None:
            await headed.respond(refused, scope, receive)
            return
        body = _Body(self, receive)
        self.requests += counted
        answering = asyncio.create_task(self.app(scope, body.receive, headed.send))  # pyright: ignore[reportArgumentType]
        leaving = asyncio.create_task(body.left.wait())
        watching = asyncio.create_task(body.watch())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answering.done() or headed.complete:  # after the answer it closes the photos' files
                await answering
        finally:
            for task in (answering, leaving, watching):
                task.cancel()
            await asyncio.gather(answering, leaving, watching, return_exceptions=True)
            self.requests -= counted
            self.bytes -= body.bytes

    def _refusal(self, headers: Headers, *, counted: bool) -> HTTPException | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _without_port(host)
        if name not in self.hosts and not _is_address(name.strip("[]")):
            return HTTPException(400, "the Host header names another service; start this one with --allow-host NAME")
        theirs = host if origin is None else origin.partition("://")[2]
        if theirs != host and _without_port(theirs) not in self.proxies:
            return HTTPException(403, "the request comes from a page of another site; is it yours? --allow-host NAME")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MOST_BODY:
            return _too_large()
        if counted and self.requests >= MOST_REQUESTS:
            return _busy(f"{MOST_REQUESTS} requests are under way already")
        return None


class _Body:
    """The body of a request as it comes, in time and within what all of them may have."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self.guard, self._receive = guard, receive
        self.bytes = 0
        self.deadline = asyncio.get_running_loop().time() + SECONDS_FOR_BODY
        self.complete, self.left = asyncio.Event(), asyncio.Event()

    async def watch(self) -> None:
        """Notice when the client leaves, once its request is complete; the server says so after the answer, too."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            HTTPException: it takes too long, is too large, or there is no room for it.

        """
        if self.complete.is_set():  # what follows is that the client leaves, at any time
            await self.left.wait()
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request was not complete after {SECONDS_FOR_BODY:.0f} seconds") from None
        size = len(message.get("body", b""))
        self.bytes += size
        self.guard.bytes += size
        if not message.get("more_body", False):
            self.complete.set()
        if self.bytes > MOST_BODY:
            raise _too_large()
        if self.guard.bytes > MOST_BYTES:
            raise _busy("too many photos are under way already")
        return message


class _Headed:
    """Adds to a response what tells browsers how far to trust it."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self.complete = False  # whether all of it was sent, or is being sent
        inline = " 'unsafe-inline'" if path == "/docs" else ""  # Swagger UI is started by a script in its page
        self.headers = _HEADERS | {"content-security-policy": _POLICY.format(inline=inline)}

    async def send(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            added = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            message["headers"] = [*message.get("headers", []), *added]
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        async with asyncio.timeout(SECONDS_TO_SEND):
            await self._send(message)

    async def respond(self, refused: HTTPException, scope: Scope, receive: Receive) -> None:
        """Send the response to a request that is refused."""
        response = JSONResponse({"detail": refused.detail}, refused.status_code, refused.headers)
        await response(scope, receive, self.send)


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).lower()


def _busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again in a moment", {"retry-after": "1"})


def _too_large() -> HTTPException:
    """Return the error for a body that has too many bytes."""
    return HTTPException(413, f"more than {MOST_BODY // 10**6} MB in a request; send fewer photos at a time")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
