"""A checkpoint's files from the hub or another server: resumed where they broke off, bounded,
verified, and only then given their names.

The hub's addresses, its users' token and its own cache are huggingface_hub's. The bytes come
through here all the same: `hf_hub_download` forgets what has arrived when a run ends, writes a
stream of any length, and reports to the hub what is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from lexiseg._version import __version__
from lexiseg.checkpoints.cache import keep_digest, sha256_of, verify
from lexiseg.checkpoints.records import Record, WeightFile, is_secure
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

if TYPE_CHECKING:
    import httpx2

__all__ = ["fetch"]

_HUB = "https://huggingface.co"
_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
_WAITS_S = (1.0, 2.0, 4.0)  # before each further try that follows one without any progress
_PASSING = frozenset({408, 416, 425, 429, 500, 502, 503, 504})  # may be gone next time
_UNANNOUNCED = 64 << 20  # bytes that are taken where neither record nor server says how many come


def fetch(record: Record, file: WeightFile, folder: Path) -> tuple[WeightFile, str]:
    """Fetch one file of a record into `folder`, going on from a .part file.

    Return it with its size and digest, and the commit that the hub says it is of ("": none). Raises
    WeightsMissing where the server refuses or the connection keeps breaking (what arrived is
    kept), CheckpointError where the bytes are not those of the record (nothing is kept),
    OutputError where the disk is full or cannot be written, OptionError for a bad HF_ENDPOINT.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    url, token = _address(record, file), None if file.url else _token()
    if file.sha256 and not file.url and _copy_from_hub_cache(record, file, part):
        expected, commit = file, ""
    else:
        with _progress(f"{record.name} {file.name}", file.bytes) as report:
            expected, commit = _download(record, file, url, token, part, report)
    try:
        verify(
            part, expected, fresh=True,
            remedy="nothing was kept; try again, or check HF_ENDPOINT and proxies",
        )  # fmt: skip
    except CheckpointError:
        part.unlink()
        raise
    digest = expected.sha256 or sha256_of(part, fresh=True)
    os.replace(part, target)
    keep_digest(target, digest)
    return replace(file, sha256=digest, bytes=target.stat().st_size), commit


# Addresses


def _address(record: Record, file: WeightFile) -> str:
    if file.url:
        return file.url
    from huggingface_hub import hf_hub_url

    return hf_hub_url(
        record.repo,
        file.path or file.name,
        revision=record.revision or None,
        endpoint=_endpoint(),
    )


def _endpoint() -> str:
    """Return the hub's address, or that of the mirror in HF_ENDPOINT."""
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _HUB
    if not is_secure(endpoint):
        raise OptionError(
            f"HF_ENDPOINT is {endpoint!r}; it must start with https:// (http:// is for a server on "
            "this machine)"
        )
    return endpoint


def _token() -> str | None:
    """Return what `hf auth login` or HF_TOKEN has given; the hub's own way to look for it."""
    from huggingface_hub import get_token

    try:
        return get_token()
    except OSError as error:
        raise WeightsMissing(
            f"the token of the hub cannot be had ({error}); set HF_TOKEN"
        ) from error


def _copy_from_hub_cache(record: Record, file: WeightFile, part: Path) -> bool:
    """Whether another program has fetched the very file already: it becomes the part."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        record.repo, file.path or file.name, revision=record.revision or None
    )
    if not isinstance(found, str) or sha256_of(Path(found)) != file.sha256:
        return False
    part.unlink(missing_ok=True)
    try:
        os.link(Path(found).resolve(), part)  # gigabytes are not needed twice on a disk
    except OSError:
        shutil.copyfile(found, part)
    return True


# Bytes


def _download(
    record: Record,
    file: WeightFile,
    url: str,
    token: str | None,
    part: Path,
    report: Callable[[int, int], None],
) -> tuple[WeightFile, str]:
    """Fill the part; return the file as record and server describe it, and the server's commit."""
    import httpx2

    headers = {
        "User-Agent": f"lexiseg/{__version__}",
        "Accept-Encoding": "identity",  # compressed bytes could not be counted or resumed
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    failures, furthest = 0, _size(part)
    with httpx2.Client(
        headers=headers,
        timeout=_TIMEOUT_S,
        follow_redirects=True,  # without the token where they lead to another server
        event_hooks={"request": [lambda request: _check_redirect(url, str(request.url))]},
    ) as client:
        while True:
            try:
                return _go_on(client, url, part, file, report)
            except httpx2.HTTPStatusError as error:
                status = error.response.status_code
                if status not in _PASSING:
                    raise WeightsMissing(
                        _explain(record, url, error.response, token is not None)
                    ) from error
                if status == 416:  # the server holds fewer bytes than the part
                    part.unlink(missing_ok=True)
                reason = f"HTTP status {status}"
            except (httpx2.HTTPError, OSError) as error:
                reason = str(error) or type(error).__name__
            arrived = _size(part)
            failures = 1 if arrived > furthest else failures + 1
            furthest = max(arrived, furthest)
            if failures > len(_WAITS_S):
                of = f"{file.bytes:,}" if file.bytes else "an unknown number of"
                raise WeightsMissing(
                    f"the connection to {url} failed ({reason}) with {arrived:,} of {of} bytes "
                    f"here; check the network, HF_ENDPOINT and proxies, then run the command "
                    f"again to go on from there"
                )
            time.sleep(_WAITS_S[failures - 1])


def _go_on(
    client: httpx2.Client,
    url: str,
    part: Path,
    file: WeightFile,
    report: Callable[[int, int], None],
) -> tuple[WeightFile, str]:
    """Fetch what the part lacks; raises the errors of httpx2 where the connection breaks."""
    have = _size(part)
    if file.bytes and have == file.bytes:
        return file, ""
    if file.bytes and have > file.bytes:
        have = 0
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers=wanted) as response:
        response.raise_for_status()
        if response.status_code != 206:
            have = 0  # a server without ranges starts from the beginning
        announced, commit = _announced(response, file, have)
        if file.bytes and announced.bytes not in (0, file.bytes):
            raise CheckpointError(_wrong_length(url, f"{announced.bytes:,} bytes", file))
        placed = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not placed.startswith(f"bytes {have}-"):
            raise CheckpointError(_wrong_length(url, f"the range {placed!r}", file))
        total = file.bytes or announced.bytes
        with _opened(part, have) as output:
            for chunk in response.iter_raw(_CHUNK):
                have += len(chunk)
                if have > (total or _UNANNOUNCED):
                    break
                _write(output, chunk, part)
                report(have, total)
    if have > (total or _UNANNOUNCED):
        part.unlink()
        got = f"more than {total or _UNANNOUNCED:,} bytes"
        raise CheckpointError(_wrong_length(url, got, file))
    if have < total:
        raise ConnectionError("the connection was cut")
    return replace(announced, bytes=total), commit


def _announced(response: httpx2.Response, file: WeightFile, have: int) -> tuple[WeightFile, str]:
    """What record and server say of a file together, as far as they know, and its commit.

    The hub names digest, size and commit in headers of its own, on its first answer, before it
    leads on to its storage.
    """
    told: dict[str, str] = {}
    for answer in (response, *reversed(response.history)):
        told |= dict(answer.headers)
    digest = told.get("x-linked-etag", "").removeprefix("W/").strip('"')
    commit = told.get("x-repo-commit", "")
    length = response.headers.get("Content-Length", "")
    size = have + int(length) if length.isdecimal() else 0
    if not re.fullmatch("[0-9a-f]{64}", digest):
        digest = ""
    described = replace(file, sha256=file.sha256 or digest, bytes=size)
    return described, commit if re.fullmatch("[0-9a-f]{40}", commit) else ""


def _check_redirect(start: str, url: str) -> None:
    if not is_secure(url) or (start.startswith("https:") and not url.startswith("https:")):
        raise WeightsMissing(
            f"{start} leads on to {url}, which is not safe; check HF_ENDPOINT and proxies"
        )


@contextmanager
def _opened(part: Path, have: int) -> Iterator[FileIO]:
    try:
        # Unbuffered: what a full disk refuses is refused here, not when the file is closed.
        output = part.open("r+b" if have else "wb", buffering=0)
    except OSError as error:
        raise _unwritable(part, error) from error
    with output:
        output.seek(have)
        yield output


def _write(output: FileIO, chunk: bytes, part: Path) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[output.write(left) :]
    except OSError as error:
        raise _unwritable(part, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


# What is said


@contextmanager
def _progress(label: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; takes the bytes that are here, and all of them."""
    from tqdm import tqdm

    with tqdm(desc=label, total=total or None, unit="B", unit_scale=True, disable=None) as bar:

        def report(have: int, all_of_them: int) -> None:
            if not bar.n:
                bar.initial = have  # what an earlier run fetched says nothing about speed
            bar.total = all_of_them or None
            bar.update(have - bar.n)

        yield report


def _explain(record: Record, url: str, response: httpx2.Response, has_token: bool) -> str:
    status, again = response.status_code, f"lexiseg models pull {record.name}"
    if status in (401, 403) and record.repo:
        gated = record.gated or response.headers.get("X-Error-Code") == "GatedRepo"
        first = "is gated" if gated else "is not open to everybody"
        token = "the token was refused" if has_token else "no token was given"
        return (
            f"{record.name!r} {first} (HTTP status {status}; {token}): accept its terms at "
            f"{_endpoint()}/{record.repo}, set HF_TOKEN to a token of that account, then: {again}"
        )
    if status == 404:
        return (
            f"{url} is not there (HTTP status 404): it was moved or withdrawn, or the mirror in "
            f"HF_ENDPOINT lacks it; unset HF_ENDPOINT or update lexiseg, then: {again}"
        )
    return f"{url} answered with HTTP status {status}; try later: {again}"


def _wrong_length(url: str, got: str, file: WeightFile) -> str:
    says = f"{file.bytes:,} bytes" if file.bytes else "nothing of its size"
    return (
        f"{url} sends {got} where the record of {file.name} says {says}; nothing of it was kept; "
        f"try again, or check HF_ENDPOINT and proxies"
    )


def _unwritable(part: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{part} cannot be written ({error.strerror or error}); free some space there, or set "
        f"LEXISEG_CACHE to another folder"
    )
