"""Checkpoints of a training run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

__all__ = ["save_whole"]


def save_whole(path: Path, values: dict[str, Any]) -> None:
    """Write beside its place, then put it there: a kill at any moment leaves the old one whole."""
    beside = path.with_name(f"{path.name}.tmp")
    torch.save(values, beside)
    os.replace(beside, path)
