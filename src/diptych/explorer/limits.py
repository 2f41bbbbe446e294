"""The bounds of every request: who may ask, how much, and for how long.

A page on 127.0.0.1 can be reached by every web site that the person's browser visits, and by every
program of every user of the machine. Hence: a token that cannot be guessed in every address, only
this server's own name as Host (against DNS rebinding) and as Origin, no CORS, and a policy under
which the page itself loads nothing from elsewhere. Bodies are counted as they arrive, whatever
Content-Length says, and must arrive in time; requests that take too long are given up.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEADERS", "Guard", "ImpatientProtocol"]

BODY_BYTES = 2 << 20
BODY_SECONDS = 15.0
REQUEST_SECONDS = 90.0
MOST_AT_ONCE = 24
SILENT_SECONDS = 10.0

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer."""


class _Refused(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Guard:
    """Stands before the application and lets through what is within the bounds.

    Args:
        app: sees paths without the token, and bodies that have arrived whole.
        token: the first part of every path.
        port: where the server listens.
        upload_path: the one path whose bodies may be as large as `upload_bytes`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        port: int,
        upload_path: str,
        upload_bytes: int,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._token = token.encode()
        names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        if port == 80:
            names += ["127.0.0.1", "localhost"]
        self._hosts = frozenset(names)
        self._upload_path = upload_path
        self._upload_bytes = upload_bytes
        self._body_seconds = body_seconds
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message = {**message, "headers": [*message.get("headers", []), *_RAW_HEADERS]}
            await send(message)

        try:
            path = self._admitted(scope)
            if self._active >= MOST_AT_ONCE:
                raise _Refused(503, "Too many requests at once; try again in a moment.")
            self._active += 1
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    body = await self._body(path, scope, receive)
                    inner = {**scope, "path": path, "raw_path": path.encode()}
                    await self._app(inner, _replay(body, receive), send_guarded)
            finally:
                self._active -= 1
        except _Refused as refused:
            await _refuse(send_guarded, refused.status, refused.sentence)
        except TimeoutError:
            if not answered:
                await _refuse(send_guarded, 503, "It took too long and was given up.")

    def _admitted(self, scope: Scope) -> str:
        """The path behind the token."""
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            raise _Refused(403, "This server answers under 127.0.0.1 and localhost only.")
        token, slash, rest = scope["path"].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self._token) or not slash:
            raise _Refused(404, "Nothing is here.")
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            raise _Refused(403, "Only the explorer's own page may ask.")
        return f"/{rest}"

    async def _body(self, path: str, scope: Scope, receive: Receive) -> bytes:
        """The whole body of a POST, if it is small enough and arrives in time."""
        if scope["method"] != "POST":
            return b""
        most = self._upload_bytes if path == self._upload_path else BODY_BYTES
        sentence = f"The request is larger than {most / (1 << 20):.0f} MiB."
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            raise _Refused(413, sentence)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Refused(400, "The request broke off.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise _Refused(413, sentence)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise _Refused(408, "The request did not arrive in time.") from None
        return b"".join(parts)


_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that has arrived, then what else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, sentence: str) -> None:
    content = json.dumps({"error": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on connections which for some seconds ask nothing whole.

    uvicorn waits for the head of a request as long as the client likes, so that a few connections
    that send a letter a minute would use up all there may be.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._watch(None)

    def _watch(self, last: object) -> None:
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete
        if idle and last is not None and last == id(self.cycle):
            self.transport.close()
            return
        self.loop.call_later(SILENT_SECONDS, self._watch, id(self.cycle) if idle else None)
