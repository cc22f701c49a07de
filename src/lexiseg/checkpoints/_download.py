"""One file over HTTP: resumed where it broke, verified, and only then given its name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from io import FileIO
from pathlib import Path
from typing import IO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lexiseg._version import __version__
from lexiseg.checkpoints._verify import note_verified, verify
from lexiseg.checkpoints.records import WeightFile
from lexiseg.errors import CheckpointError, OutputError, WeightsMissing

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
_WAITS_S = (1.0, 2.0, 4.0)  # before each further try that follows one without any progress
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may be gone next time


class Refused(Exception):
    """The server answered with a status that trying again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


@dataclass(frozen=True)
class Source:
    """An address, and the token that its own host (no other) may see."""

    url: str
    token: str | None = None


def download(
    source: Source, folder: Path, file: WeightFile, *, report: Callable[[int], None]
) -> Path:
    """Fetch `file` into `folder`, going on from a .part file, and return its path.

    report: called with the number of bytes that have arrived in all.

    Raises Refused; WeightsMissing where the connection keeps breaking (what arrived is kept);
    CheckpointError where the bytes are not those of the record (nothing is kept); OutputError
    where the disk is full or cannot be written.
    """
    part = folder / f"{file.name}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, furthest = 0, _size(part)
    while True:
        try:
            _go_on(source, part, file, report)
            break
        except HTTPError as error:
            if error.code not in _PASSING:
                error.close()
                raise Refused(error.code) from error
            reason = f"HTTP status {error.code}"
            error.close()
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        arrived = _size(part)
        failures = 1 if arrived > furthest else failures + 1
        furthest = max(arrived, furthest)
        if failures > len(_WAITS_S):
            raise WeightsMissing(
                f"{source.url} broke off ({reason}) with {arrived:,} of {_count(file)} bytes here; "
                f"run the command again to go on from there"
            )
        time.sleep(_WAITS_S[failures - 1])
    try:
        verify(part, file, remedy="nothing was kept; try again, or check HF_ENDPOINT and proxies")
    except CheckpointError:
        part.unlink()
        raise
    target = folder / file.name
    os.replace(part, target)
    note_verified(target, file)
    return target


def _go_on(source: Source, part: Path, file: WeightFile, report: Callable[[int], None]) -> None:
    """Fetch what `part` lacks; raises the errors of urllib where the connection breaks."""
    have = _size(part)
    if file.bytes and have == file.bytes:
        return
    if have > file.bytes:
        have = 0  # as well where the size is not known: nothing tells what is there already
    try:
        response = _open(source, have)
    except HTTPError as error:
        if error.code != 416:  # the server holds fewer bytes than `have`
            raise
        error.close()
        have = 0
        response = _open(source, have)
    with response:
        if response.status != 206:
            have = 0  # a server without ranges starts from the beginning
        total = _check_length(source, response, file, have)
        try:
            # Unbuffered: what a full disk refuses is refused here, not when the file is closed.
            output = part.open("r+b" if have else "wb", buffering=0)
        except OSError as error:
            raise _unwritable(part, error) from error
        with output:
            output.seek(have)
            while chunk := response.read1(_CHUNK):
                have += len(chunk)
                if total is not None and have > total:
                    break
                _write(output, chunk, part)
                report(have)
    if total is not None and have > total:
        part.unlink()
        raise CheckpointError(_wrong_length(source, f"more than {file.bytes:,} bytes", file))
    if total is not None and have < total:
        raise ConnectionError("the connection was cut")


def _check_length(
    source: Source, response: HTTPResponse, file: WeightFile, have: int
) -> int | None:
    """Refuse another file before it is fetched: a proxy's login page, an error page, a mirror.

    Returns the size of the whole file; None where neither record nor server knows it.
    """
    placed = response.headers.get("Content-Range", "")
    if response.status == 206 and not placed.startswith(f"bytes {have}-"):
        raise CheckpointError(_wrong_length(source, f"the range {placed!r}", file))
    coming = response.headers.get("Content-Length")
    # What is sent in chunks, without a length, is counted as it comes.
    if not file.bytes:
        return None if coming is None else have + int(coming)
    if coming is not None and have + int(coming) != file.bytes:
        raise CheckpointError(_wrong_length(source, f"{have + int(coming):,} bytes", file))
    return file.bytes


def _wrong_length(source: Source, got: str, file: WeightFile) -> str:
    return (
        f"{source.url} sends {got} where the record of {file.name} says {file.bytes:,} bytes; "
        f"nothing of it was kept; try again, or check HF_ENDPOINT and proxies"
    )


@dataclass(frozen=True)
class Said:
    """What a server says of a file before it sends it; empty or 0 where it does not."""

    sha256: str
    bytes: int
    commit: str


def ask(source: Source) -> Said:
    """Ask the server about a file without fetching it.

    The hub names the digest and size of large files and its repository's commit in headers of its
    own; they stand on its first answer, before it leads on to its storage.
    Raises Refused, and WeightsMissing where it cannot be reached.
    """
    said: dict[str, str] = {}

    class Noting(_CarefulRedirects):
        def redirect_request(
            self,
            req: Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: HTTPMessage,
            newurl: str,
        ) -> Request | None:
            said.update(_noted(headers))
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    request = _request(source)
    request.method = "HEAD"
    try:
        with build_opener(Noting).open(request, timeout=_TIMEOUT_S) as response:
            said = {**_noted(response.headers), **said}
            length = response.headers.get("Content-Length", "")
    except HTTPError as error:
        error.close()
        raise Refused(error.code) from error
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise WeightsMissing(
            f"{source.url} cannot be reached ({reason}); check the connection, HF_ENDPOINT and "
            f"proxies, then run the command again"
        ) from error
    digest = said.get("x-linked-etag", "").removeprefix("W/").strip('"')
    size = said.get("x-linked-size") or length
    commit = said.get("x-repo-commit", "")
    return Said(
        digest if re.fullmatch(r"[0-9a-f]{64}", digest) else "",
        int(size) if size.isdecimal() else 0,
        commit if re.fullmatch(r"[0-9a-f]{40}", commit) else "",
    )


def _noted(headers: HTTPMessage) -> dict[str, str]:
    names = ("x-linked-etag", "x-linked-size", "x-repo-commit")
    return {name: headers[name] for name in names if headers[name]}


def _open(source: Source, have: int) -> HTTPResponse:
    request = _request(source)
    if have:
        request.add_header("Range", f"bytes={have}-")
    # The default handlers take proxies from the environment.
    opener = build_opener(_CarefulRedirects)
    return cast(HTTPResponse, opener.open(request, timeout=_TIMEOUT_S))


def _request(source: Source) -> Request:
    # Compressed bytes could not be counted or resumed.
    headers = {"User-Agent": f"lexiseg/{__version__}", "Accept-Encoding": "identity"}
    if source.token:
        headers["Authorization"] = f"Bearer {source.token}"
    return Request(source.url, headers=headers)


class _CarefulRedirects(HTTPRedirectHandler):
    """Follow to the storage behind the hub, but let no other host see the token."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
            raise WeightsMissing(
                f"{req.full_url} leads on to {new.scheme}://{new.netloc}, which is not safe; "
                f"check HF_ENDPOINT and proxies"
            )
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            following.remove_header("Authorization")
        return following


def _write(output: FileIO, chunk: bytes, part: Path) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[output.write(left) :]
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(part: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{part} cannot be written ({error.strerror or error}); free some space there, or set "
        f"LEXISEG_CACHE to another folder"
    )


def _count(file: WeightFile) -> str:
    return f"{file.bytes:,}" if file.bytes else "an unknown number of"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
