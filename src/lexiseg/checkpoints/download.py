"""A checkpoint's files from the hub or another server: resumed where they broke off, bounded,
verified, and only then given their names.

The hub's addresses, its users' token and its own cache are huggingface_hub's. The bytes come
through here all the same: `hf_hub_download` forgets what has arrived when a run ends, writes a
stream of any length, and tells the hub what is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lexiseg._version import __version__
from lexiseg.checkpoints.cache import keep_digest, sha256_of, verify
from lexiseg.checkpoints.records import Record, WeightFile, is_secure
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

if TYPE_CHECKING:
    import httpx2

__all__ = ["fetch"]

_HUB = "https://huggingface.co"
_TIMEOUT_S = 30.0
_WAITS_S = (1.0, 2.0, 4.0)  # before each further try that follows one without any progress
_WITHDRAWN = frozenset({401, 404, 410})  # the hub answers 401 for what it does not have, too
_PASSING = frozenset({408, 416, 425, 429, 500, 502, 503, 504})  # may be gone next time
_UNANNOUNCED = 64 << 20  # bytes that are taken where neither record nor server says how many come
_CHECK = "check the network, HF_ENDPOINT and proxies"


def fetch(record: Record, file: WeightFile, folder: Path) -> tuple[WeightFile, str]:
    """Fetch one file of a record into `folder`, going on from a .part file.

    Return it with its size and digest, and the commit that the hub says it is of ("": none). Raises
    WeightsMissing where the server refuses or the connection keeps breaking (what arrived is
    kept), CheckpointError where the bytes are not those of the record (nothing is kept),
    OutputError where the disk is full or cannot be written, OptionError for a bad HF_ENDPOINT.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    if _copy_from_hub_cache(record, file, part):
        announced, commit = file, ""
    else:
        announced, commit = _download_from_any(record, file, part)
    try:
        verify(part, announced, remedy=f"nothing was kept; {_CHECK}, and try again", fresh=True)
    except CheckpointError:
        part.unlink()
        raise
    digest = announced.sha256 or sha256_of(part, fresh=True)
    os.replace(part, target)
    keep_digest(target, digest)
    return replace(file, sha256=digest, bytes=target.stat().st_size), commit


def _copy_from_hub_cache(record: Record, file: WeightFile, part: Path) -> bool:
    """Whether another program has fetched the very file already: then it becomes the part."""
    if file.url or not file.sha256:
        return False
    from huggingface_hub import try_to_load_from_cache

    path, revision = file.path or file.name, record.revision or None
    cached = try_to_load_from_cache(record.repo, path, revision=revision)
    if not isinstance(cached, str) or sha256_of(Path(cached)) != file.sha256:
        return False
    part.unlink(missing_ok=True)
    try:
        os.link(Path(cached).resolve(), part)  # gigabytes are not needed twice on a disk
    except OSError:
        with _writing(part):
            shutil.copyfile(cached, part)
    return True


def _source(record: Record, file: WeightFile) -> tuple[str, dict[str, str]]:
    """Return the address of a file, and the token that opens it as a header."""
    if file.url:
        return file.url, {}
    from huggingface_hub import get_token, hf_hub_url

    path, revision = file.path or file.name, record.revision or None
    url = hf_hub_url(record.repo, path, revision=revision, endpoint=_endpoint())
    try:
        token = get_token()  # of HF_TOKEN, or of `hf auth login`
    except OSError as error:
        raise WeightsMissing(f"the hub's token cannot be had ({error}); set HF_TOKEN") from error
    return url, {"Authorization": f"Bearer {token}"} if token else {}


def _endpoint() -> str:
    """Return the hub's address, or that of the mirror in HF_ENDPOINT."""
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _HUB
    if not is_secure(endpoint):
        raise OptionError(
            f"HF_ENDPOINT is {endpoint!r}; it must start with https:// (http:// is for a server on "
            f"this machine)"
        )
    return endpoint


class _Withdrawn(WeightsMissing):
    """The server has no such file, or no longer."""


def _download_from_any(record: Record, file: WeightFile, part: Path) -> tuple[WeightFile, str]:
    """Download from the record's repository, or where that has been withdrawn, from a mirror."""
    mirrors = [] if file.url else [replace(record, repo=m, revision="") for m in record.mirrors]
    try:
        return _download(record, file, part)
    except _Withdrawn as error:
        for mirror in mirrors:
            with suppress(_Withdrawn):
                return _download(mirror, file, part)[0], ""  # a commit of another repository
        if not mirrors:
            raise
        raise _Withdrawn(
            f"{error} (nor have its mirrors it: {', '.join(record.mirrors)})"
        ) from error


def _download(record: Record, file: WeightFile, part: Path) -> tuple[WeightFile, str]:
    """Fill the part; return the file as record and server describe it, and the server's commit."""
    import httpx2
    from tqdm import tqdm

    url, token = _source(record, file)
    headers = {
        "User-Agent": f"lexiseg/{__version__}",
        "Accept-Encoding": "identity",  # compressed bytes could not be counted or resumed
        **token,
    }
    failures, furthest = 0, _size(part)
    with (
        httpx2.Client(
            headers=headers,
            timeout=_TIMEOUT_S,
            follow_redirects=True,  # without the token where they lead to another server
            event_hooks={"request": [lambda request: _check_redirect(url, str(request.url))]},
        ) as client,
        tqdm(  # on a terminal alone; what an earlier run fetched says nothing about speed
            desc=f"{record.name} {file.name}", total=file.bytes or None, initial=furthest,
            unit="B", unit_scale=True, disable=None,
        ) as bar,
    ):  # fmt: skip
        while True:
            try:
                return _go_on(client, url, part, file, bar)
            except httpx2.HTTPStatusError as error:
                status = error.response.status_code
                if status not in _PASSING:
                    kind = _Withdrawn if status in _WITHDRAWN else WeightsMissing
                    raise kind(_explain(record, url, error.response)) from error
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
                    f"here; {_CHECK}, then run the command again to go on from there"
                )
            time.sleep(_WAITS_S[failures - 1])


def _go_on(
    client: httpx2.Client, url: str, part: Path, file: WeightFile, bar: Any
) -> tuple[WeightFile, str]:
    """Fetch what the part lacks; raises the errors of httpx2 where the connection breaks."""
    have = _size(part)
    if file.bytes and have == file.bytes:
        return file, ""
    if file.bytes and have > file.bytes:
        have = 0
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        response.raise_for_status()
        if response.status_code != 206:
            have = 0  # a server without ranges starts from the beginning
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise CheckpointError(_unlike(url, "another range than was asked for", file))
        announced, commit = _announced(response, file, have)
        if file.bytes and announced.bytes not in (0, file.bytes):
            raise CheckpointError(_unlike(url, f"{announced.bytes:,} bytes", file))
        bar.total = total = file.bytes or announced.bytes
        most = total or _UNANNOUNCED
        with _writing(part):
            # Unbuffered: what a full disk refuses is refused here, not when the file is closed.
            output = part.open("r+b" if have else "wb", buffering=0)
        with output:
            output.seek(have)
            for chunk in response.iter_raw():
                have += len(chunk)
                if have > most:
                    break
                with _writing(part):
                    while chunk:
                        chunk = chunk[output.write(chunk) :]
                bar.update(have - bar.n)
    if have > most:
        part.unlink()
        raise CheckpointError(_unlike(url, f"more than {most:,} bytes", file))
    if have < total:
        raise ConnectionError("it was cut")
    return replace(announced, bytes=total), commit


def _announced(response: httpx2.Response, file: WeightFile, have: int) -> tuple[WeightFile, str]:
    """Return a file with what a server tells of it, and the commit that it is of.

    The hub names digest, size and commit in headers of its own, on its first answer, before it
    leads on to its storage.
    """
    headers: dict[str, str] = {}
    for answer in (response, *reversed(response.history)):
        headers |= dict(answer.headers)
    length = response.headers.get("Content-Length", "")
    digest = headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
    commit = headers.get("x-repo-commit", "")
    announced = replace(
        file,
        sha256=file.sha256 or (digest if re.fullmatch("[0-9a-f]{64}", digest) else ""),
        bytes=have + int(length) if length.isdecimal() else 0,
    )
    return announced, commit if re.fullmatch("[0-9a-f]{40}", commit) else ""


def _check_redirect(start: str, url: str) -> None:
    parts = urlsplit(url)
    if not is_secure(url) or (start.startswith("https:") and parts.scheme != "https"):
        raise WeightsMissing(
            f"{start} leads on to {parts.scheme}://{parts.netloc}, which is not safe; {_CHECK}"
        )


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{part} cannot be written ({error.strerror or error}); free some space there, or set "
            f"LEXISEG_CACHE to another folder"
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _explain(record: Record, url: str, response: httpx2.Response) -> str:
    status, again = response.status_code, f"lexiseg models pull {record.name}"
    if status in (401, 403) and record.repo:
        gated = record.gated or response.headers.get("X-Error-Code") == "GatedRepo"
        first = "is gated" if gated else "is not open to everybody"
        tried = "authorization" in response.request.headers
        token = "the token was refused" if tried else "no token was given"
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


def _unlike(url: str, got: str, file: WeightFile) -> str:
    says = f"{file.bytes:,} bytes" if file.bytes else "nothing of its size"
    return (
        f"{url} sends {got} where the record of {file.name} says {says}; nothing of it was kept; "
        f"{_CHECK}, and try again"
    )
