"""Checkpoints of a training run, and what makes it repeat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.utils.deterministic

__all__ = ["repeatable", "save_whole"]


def save_whole(path: Path, values: dict[str, Any]) -> None:
    """Write beside its place, then put it there: a kill at any moment leaves the old one whole."""
    beside = path.with_name(f"{path.name}.tmp")
    torch.save(values, beside)
    os.replace(beside, path)


@contextmanager
def repeatable() -> Iterator[None]:
    """Sums in one order inside, so that a run gives the same numbers each time.

    Without it, torch's CPU kernels add up indexed gradients with atomic additions, in whichever
    order the threads arrive.
    """
    before = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
