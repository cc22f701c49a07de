"""Serving an application: connections that are limited in number and in time, a graceful stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lexiseg.errors import OptionError
from lexiseg.server.app import create_app
from lexiseg.server.options import ServerOptions

__all__ = ["address_of", "bound", "log_to_stderr", "run", "serve"]

_MAX_HEADERS = 32 << 10  # bytes


def run(options: ServerOptions, started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests that were accepted are answered first.

    started: called with the address once it can be used. Raises OptionError where the address is
    taken or is not this machine's.
    """
    with bound(options) as sock:
        serve(options, sock, started)


def serve(
    options: ServerOptions,
    sock: socket.socket,
    started: Callable[[str], None] | None = None,
    shared: tuple[Path, int] | None = None,
) -> None:
    """Serve at a socket as `run` does. shared: see `Metrics`."""
    _allow_many_files()
    config = uvicorn.Config(
        create_app(options, shared),
        http=_protocol(options),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=_MAX_HEADERS,
        backlog=min(options.limits.max_connections, 1024),
    )
    config.loaded_app = None
    server = _Server(config, started)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server.run(sockets=[sock])


def log_to_stderr(*, quiet: bool) -> logging.Handler:
    """Let the server's log go to stderr, errors alone where it is to be quiet."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s lexiseg %(message)s"))
    log = logging.getLogger("lexiseg.server")
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    return handler


def address_of(sock: socket.socket) -> str:
    """Return the address at which a socket listens, as a browser takes it."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._started_callback = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self._started_callback is not None and sockets:
            self._started_callback(address_of(sockets[0]))


def bound(options: ServerOptions) -> socket.socket:
    """Return a socket at the address. Raises OptionError where it is taken, or is no own one."""
    host = options.host.strip("[]")
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, options.port))
    except OSError as error:
        sock.close()
        raise OptionError(
            f"{options.host}:{options.port} cannot be listened at ({error.strerror or error}); "
            "give another --port, or 0 for a free one"
        ) from error
    return sock


def _protocol(options: ServerOptions) -> type[H11Protocol]:
    """Return uvicorn's HTTP over a connection, with limits."""
    limits = options.limits

    class LimitedProtocol(H11Protocol):
        """Refuses connections beyond a number, and closes those that send no whole head in time."""

        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.write(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n"
                                b"content-length: 0\r\nconnection: close\r\n\r\n")  # fmt: skip
                transport.close()
                return
            self._head = self.loop.call_later(limits.upload_seconds, self._too_slow)

        def handle_events(self) -> None:
            super().handle_events()
            if self.cycle is not None and self._head is not None:
                self._head.cancel()
                self._head = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._head is not None:
                self._head.cancel()
            super().connection_lost(exc)

        def _too_slow(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n"
                                     b"connection: close\r\n\r\n")  # fmt: skip
                self.transport.close()

    return LimitedProtocol


def _allow_many_files() -> None:
    """Let the process have as many connections as the system lets it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
