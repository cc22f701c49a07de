"""How a server is set: where it listens, what it computes with, and its limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lexiseg.errors import OptionError
from lexiseg.imaging import MAX_PIXELS
from lexiseg.protocols import LoadOptions

__all__ = ["Limits", "ServerOptions", "describe_limits", "is_loopback"]


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    max_bytes: of a request's body. max_pixels: of a picture. max_words: of a request.
    max_masks: of an answer; the best ones stay. max_queue: requests that wait for the model; others
    get 429. max_seconds: that a request may take, from its last byte to its answer.
    upload_seconds: that a client may take to send its head, and then its body.
    cache_bytes: of encoded pictures that are kept. max_connections: open at the same time.
    max_frames: of a video. track_seconds: that following things through a video may take.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = MAX_PIXELS
    max_words: int = 1000
    max_masks: int = 1000
    max_queue: int = 64
    max_seconds: float = 120.0
    upload_seconds: float = 30.0
    cache_bytes: int = 512 << 20
    max_connections: int = 512
    max_frames: int = 3000
    track_seconds: float = 1800.0

    def __post_init__(self) -> None:
        for one in fields(self):
            least = 0 if one.name == "cache_bytes" else 1
            value = getattr(self, one.name)
            if not value >= least:
                flag = one.name.replace("_", "-")
                raise OptionError(f"--{flag} is {value}; give at least {least}")


@dataclass(frozen=True)
class ServerOptions:
    """Everything that a server is told when it starts.

    host, port: where it listens; port 0 takes a free one. token: what clients must send as
    `Authorization: Bearer TOKEN`; needed wherever another machine can reach it.
    allowed_hosts: further names, beside those of this machine, by which it may be called.
    config: of the method for words; None: the default. load: where it computes.
    inpainter: what makes words into pixels: a checkpoint's name or folder; None: the usual one.
    page: whether the page is served too. log_prompts: whether the log tells words.
    """

    host: str = "127.0.0.1"
    port: int = 8008
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    config: Any = None
    load: LoadOptions = field(default_factory=LoadOptions)
    inpainter: str | None = None
    page: bool = False
    log_prompts: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise OptionError(f"--port is {self.port}; give 0 to 65535")
        if self.token is not None and (len(self.token) < 16 or not self.token.isascii()):
            raise OptionError(
                f"the token has {len(self.token)} characters; give at least 16, of ASCII, such as "
                "`openssl rand -hex 16` prints"
            )
        if self.token is None and not is_loopback(self.host):
            raise OptionError(
                f"--host {self.host!r} lets other machines in, so a token is needed: put one into "
                "a file and give --token-file FILE"
            )

    @property
    def names(self) -> frozenset[str]:
        """The names, in lower case and without port, by which a request may call this server.

        Empty where every name is right: then the token tells who may ask.
        """
        given = frozenset(name.casefold() for name in self.allowed_hosts)
        if given or is_loopback(self.host):
            return given | {"localhost", "127.0.0.1", "[::1]", _bracketed(self.host)}
        return frozenset()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at `host`."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    host = host.strip("[]").casefold()
    return f"[{host}]" if ":" in host else host


def describe_limits(limits: Limits) -> Mapping[str, float]:
    """Return the limits by their names."""
    return {one.name: getattr(limits, one.name) for one in fields(limits)}
