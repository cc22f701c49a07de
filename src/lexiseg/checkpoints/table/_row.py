"""One line of the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lexiseg.checkpoints.records import Preprocessing, Record, WeightFile

__all__ = ["hub_files", "row"]

_HUB = ("model.safetensors", "config.json", "tokenizer.json")


def hub_files(*known: tuple[int, str]) -> tuple[WeightFile, ...]:
    """Return the files of a hub's repository, by size and SHA-256: weights, config, tokenizer."""
    return tuple(
        WeightFile(name, sha256, size) for name, (size, sha256) in zip(_HUB, known, strict=False)
    )


def row(
    name: str,
    repo: str,
    dim: int,
    stride: int,
    size: int | None,
    *,
    pixels: Preprocessing,
    files: Iterable[WeightFile | str] = ("model.safetensors", "config.json"),
    licence: str = "Apache-2.0",
    licence_url: str = "",
    activation: str = "gelu",
    **more: Any,
) -> Record:
    """Return the record of a model: D, pixels a cell and trained size; terms as its page says."""
    return Record(
        name=name,
        repo=repo,
        embed_dim=dim,
        stride=stride,
        preprocessing=replace(pixels, size=size),
        files=tuple(WeightFile(file) if isinstance(file, str) else file for file in files),
        licence=licence,
        licence_url=licence_url or f"https://huggingface.co/{repo}",
        activation=activation,
        **more,
    )
