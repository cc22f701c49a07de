"""Addresses on the hub, who may fetch from them, and what its refusals mean."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from lexiseg.checkpoints._download import Refused, Said, Source, ask, download
from lexiseg.checkpoints._progress import Progress
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import OptionError, WeightsMissing

_HUB = "https://huggingface.co"


def fetch(record: Record, file: WeightFile, folder: Path) -> None:
    """Download one file of `record` into `folder`; raises as `download`, and WeightsMissing where
    the server refuses, with what to do about it."""
    source = _source(record, file)
    try:
        with Progress(f"{record.name} {file.name}", file.bytes) as progress:
            download(source, folder, file, report=progress)
    except Refused as refused:
        raise WeightsMissing(_explain(record, source, refused.status)) from refused


def ask_about(record: Record) -> Record:
    """Return the record with what the server says of files that it does not know yet.

    The repository's commit is taken from the server too, where the record has none.
    """
    files = []
    for file in record.files:
        if not file.known:
            said = _said(record, file)
            file = replace(file, sha256=file.sha256 or said.sha256, bytes=file.bytes or said.bytes)
            if record.repo and not record.revision and not file.url:
                record = replace(record, revision=said.commit)
        files.append(file)
    return replace(record, files=tuple(files))


def _said(record: Record, file: WeightFile) -> Said:
    source = _source(record, file)
    try:
        return ask(source)
    except Refused as refused:
        raise WeightsMissing(_explain(record, source, refused.status)) from refused


def _source(record: Record, file: WeightFile) -> Source:
    if file.url:
        return Source(file.url)
    path = f"{record.repo}/resolve/{record.revision or 'main'}/{file.path or file.name}"
    return Source(f"{_endpoint()}/{path}", os.environ.get("HF_TOKEN", "").strip() or None)


def _endpoint() -> str:
    """Return the hub's address, or that of the mirror in HF_ENDPOINT."""
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _HUB
    if not endpoint.startswith(("https://", "http://")):
        raise OptionError(f"HF_ENDPOINT is {endpoint!r}; it must start with https://")
    return endpoint


def _explain(record: Record, source: Source, status: int) -> str:
    again = f"lexiseg models pull {record.name}"
    if status in (401, 403) and record.repo:
        page = f"{_endpoint()}/{record.repo}"
        token = "the token in HF_TOKEN was refused" if source.token else "HF_TOKEN is not set"
        first = "is gated" if record.gated else "is not open to everybody"
        return (
            f"{record.name!r} {first} (HTTP status {status}; {token}): accept its terms at {page}, "
            f"set HF_TOKEN to a token of that account, then: {again}"
        )
    if status == 404:
        return (
            f"{source.url} is not there (HTTP status 404): it was moved or withdrawn, or the "
            f"mirror in HF_ENDPOINT lacks it; unset HF_ENDPOINT or update lexiseg, then: {again}"
        )
    return f"{source.url} answered with HTTP status {status}; try later: {again}"
