"""What every request passes before it reaches a route: who calls, from where, how much, how slowly.

A page of another site must not be able to use a server on the user's machine: its `Origin` differs,
and a name that was made to point here (DNS rebinding) is not among the server's own.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException

from lexiseg.server.options import ServerOptions

__all__ = ["COOKIE", "Guard", "error_document"]

COOKIE = "lexiseg-token"
_MAX_HEADERS = 32 << 10  # bytes
_OPEN = ("/healthz", "/readyz")  # for whoever watches over the process
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Refused(HTTPException):
    """Raised while a body is read, the application answers it, as others of its own."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, message)
        self.kind = kind


class Guard:
    """ASGI middleware; refuses in one line of JSON, and sets the headers of every answer.

    answered: called with the scope and the status of each answer.
    """

    def __init__(
        self, app: App, options: ServerOptions, answered: Callable[[Scope, int], None]
    ) -> None:
        self._app, self._options, self._answered = app, options, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", ()), *_HEADERS]
                if scope["path"].startswith("/v1/"):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
                self._answered(scope, message["status"])
            await send(message)

        try:
            headers = _single_headers(scope)
            self._check_caller(scope, headers)
            await self._app(scope, self._limited(headers, receive), guarded_send)
        except _Refused as refusal:
            if not started:
                await _refuse(guarded_send, refusal)

    def _check_caller(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        names = self._options.names
        if names and _without_port(host) not in names:
            raise _Refused(
                421, "HostRefused", f"this server is not {host!r}; allow it with --allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.casefold() != host.casefold():
            raise _Refused(403, "OriginRefused", f"a page of {origin!r} may not use this server")
        token = self._options.token
        if token is None or scope["path"] in _OPEN:
            return
        given = _token_of(scope, headers)
        if given is None or not hmac.compare_digest(given.encode(), token.encode()):
            raise _Refused(
                401,
                "TokenRefused",
                "send the server's token as `Authorization: Bearer TOKEN`; in a browser, open "
                "/login?token=TOKEN once",
            )

    def _limited(self, headers: dict[str, str], receive: Receive) -> Receive:
        """Return `receive` that counts bytes and time of the body."""
        limits = self._options.limits
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limits.max_bytes:
            raise _too_large(limits.max_bytes)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.upload_seconds
        count, complete = 0, False

        async def counted() -> Message:
            nonlocal count, complete
            if complete:  # what comes now is that the client leaves
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise _Refused(
                    408, "TooSlow", f"the request was not there after {limits.upload_seconds:g} s"
                ) from None
            count += len(message.get("body", b""))
            if count > limits.max_bytes:
                raise _too_large(limits.max_bytes)
            complete = not message.get("more_body", False)
            return message

        return counted


def error_document(kind: str, message: str) -> dict[str, Any]:
    """Return the body of every answer that is an error."""
    return {"error": {"type": kind, "message": " ".join(message.split())}}


def _too_large(limit: int) -> _Refused:
    return _Refused(413, "RequestTooLarge", f"a request may have {limit:,} bytes (--max-bytes)")


def _single_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by name; of what may stand once, two are refused."""
    out: dict[str, str] = {}
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADERS:
        raise _Refused(431, "HeadersTooLarge", f"headers may have {_MAX_HEADERS:,} bytes")
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in out and name in ("host", "origin", "authorization", "content-length"):
            raise _Refused(400, "BadRequest", f"the header {name!r} stands twice")
        out[name] = value
    return out


def _without_port(host: str) -> str:
    host = host.casefold()
    head, colon, port = host.rpartition(":")
    return head if colon and (port.isdecimal() or not port) and not host.endswith("]") else host


def _token_of(scope: Scope, headers: dict[str, str]) -> str | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.casefold() == "bearer":
        return value.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    if cookie is not None:
        return cookie.value
    # The address that a browser is opened with holds it once; it answers with the cookie.
    if scope["path"] == "/login" and scope["method"] == "GET":
        return next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("token", ())), None)
    return None


async def _refuse(send: Send, refusal: _Refused) -> None:
    body = json.dumps(error_document(refusal.kind, refusal.detail)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"connection", b"close"))  # whatever is left of the body is not read
    if refusal.status_code == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
