"""Serving an application: connections that are limited in number and in time, a graceful stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lexiseg.errors import OptionError
from lexiseg.server.app import create_app
from lexiseg.server.options import ServerOptions

__all__ = ["run"]

_MAX_HEADERS = 32 << 10  # bytes


def run(options: ServerOptions, started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests that were accepted are answered first.

    started: called with the address once it can be used. Raises OptionError where the address is
    taken or is not this machine's.
    """
    _allow_many_files()
    config = uvicorn.Config(
        create_app(options),
        http=_protocol(options),
        host=options.host.strip("[]"),
        port=options.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=_MAX_HEADERS,
        backlog=min(options.limits.max_connections, 1024),
    )
    config.loaded_app = None
    try:
        sock = _bound(config)
    except OSError as error:
        raise OptionError(
            f"{options.host}:{options.port} cannot be listened at ({error.strerror or error}); "
            "give another --port, or 0 for a free one"
        ) from error
    server = _Server(config, started)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server.run(sockets=[sock])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._started_callback = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self._started_callback is not None and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._started_callback(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def _bound(config: uvicorn.Config) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((config.host, config.port))
    except OSError:
        sock.close()
        raise
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
