"""A stand-in for the hub on this machine, and records of what it holds."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lexiseg.checkpoints import Preprocessing, Record, WeightFile, download, registry

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds and how it behaves; it notes every request."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)  # given first, one a request
    cuts: list[int] = field(default_factory=list)  # bytes after which a reply breaks off
    ranges: bool = True
    chunked: bool = False
    token: str | None = None  # what it wants to see
    redirect: str | None = None  # another server that has the bytes
    moved: dict[str, str] = field(default_factory=dict)  # old path to new
    notes: dict[str, dict[str, str]] = field(default_factory=dict)  # headers of its own, by path
    tunnels: list[str] = field(default_factory=list)  # where a proxy was to lead to
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def serve(hub: Hub) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            given = {"Content-Length": str(len(body))} | headers | hub.notes.get(self.path, {})
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:
            hub.tunnels.append(self.path)
            self.answer(502, {})

        def do_GET(self) -> None:
            wanted, token = self.headers.get("Range"), self.headers.get("Authorization")
            hub.requests.append((self.path, wanted, token))
            if hub.statuses:
                return self.answer(hub.statuses.pop(0), {}, b"no")
            if hub.token and token != f"Bearer {hub.token}":
                return self.answer(401, {}, b"who are you")
            if hub.redirect:
                return self.answer(302, {"Location": hub.redirect + self.path})
            if self.path in hub.moved:
                return self.answer(307, {"Location": hub.moved[self.path]})
            if self.path not in hub.files:
                return self.answer(404, {}, b"nothing here")
            content = hub.files[self.path]
            status, headers, start = 200, {}, 0
            if wanted and hub.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    return self.answer(416, {})
                status = 206
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            body = content[start:]
            headers["Content-Length"] = str(len(body))
            if hub.cuts:
                body = body[: hub.cuts.pop(0)]
            if not hub.chunked:
                return self.answer(status, headers, body)
            self.send_response(status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_address[1]
    # The default poll would make every test wait half a second for the end.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture
def start_hub() -> Iterator[Callable[[], Hub]]:
    servers: list[ThreadingHTTPServer] = []

    def start() -> Hub:
        hub = Hub()
        servers.append(serve(hub))
        return hub

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(start_hub: Callable[[], Hub], monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A running hub that HF_ENDPOINT points to."""
    hub = start_hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return hub


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No switches of the user's, no waiting, a table of our own; return the cache folder."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "LEXISEG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_WAITS_S", (0.0, 0.0, 0.0))
    # What this user has given to the hub, and has from it.
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(registry, "REMOTE", {})
    monkeypatch.setattr(registry, "BUNDLED", {})
    return tmp_path / "cache" / "checkpoints"


def weight_file(name: str, content: bytes, path: str = "") -> WeightFile:
    return WeightFile(name, hashlib.sha256(content).hexdigest(), len(content), path=path)


def make_record(name: str = "clip-toy.test", *files: WeightFile, gated: bool = False) -> Record:
    return Record(
        name=name,
        family="clip",
        files=files or (weight_file("model.safetensors", b"weights"),),
        licence="MIT",
        licence_url="https://example.org/licence",
        preprocessing=Preprocessing(224, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "bicubic"),
        activation="quick-gelu",
        embed_dim=512,
        stride=16,
        repo="someone/clip-toy",
        revision=REVISION,
        gated=gated,
    )


def address(name: str) -> str:
    return f"/someone/clip-toy/resolve/{REVISION}/{name}"
