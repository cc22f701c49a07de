"""The rows: each module measures one thing, and prints it as a table.

A row has ABOUT (a line), NEEDS (see `benchmarks.needs`), `run(options) -> result`, and
`table(result) -> Markdown`. With SPEED results of other machines are kept beside the newest.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = (
    "accuracy", "modes", "reproduce", "settings", "synonyms", "unknown", "phrases", "parts",
    "auto", "false-positives", "shuffled", "joined", "speed", "size", "clip", "clicks", "guided",
    "guided-filter", "crops", "everything", "memory", "prompts", "oneshot", "episodes", "decoder",
    "removal", "matting", "peers", "instances", "thing-scores", "edit-speed", "video",
    "video-removal", "batch", "serve", "versions",
)  # fmt: skip


def row(name: str) -> ModuleType:
    """Return a row's module."""
    return import_module(f"benchmarks.rows.{name.replace('-', '_')}")
