"""The photos that the page offers to try; their licences are told beside them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["list_samples", "read_sample"]


def list_samples() -> list[dict[str, Any]]:
    """Return name, words to ask for, and licence of each photo."""
    text = (files("lexiseg.web") / "samples" / "samples.json").read_text("utf-8")
    listed: list[dict[str, Any]] = json.loads(text)
    return listed


def read_sample(name: str) -> bytes | None:
    """Return the file of a photo; None for another name."""
    if name not in {one["name"] for one in list_samples()}:
        return None
    return (files("lexiseg.web") / "samples" / name).read_bytes()
