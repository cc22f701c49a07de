"""Weights: complete records, and the stores where their files lie.

Nothing is downloaded unless it is asked for (`pull`), and nothing is used unverified.
"""

from __future__ import annotations

from lexiseg.checkpoints.cache import cache_folder
from lexiseg.checkpoints.records import (
    CLIP_PIXELS,
    IMAGENET_PIXELS,
    KINDS,
    Checkpoint,
    Preprocessing,
    Record,
    WeightFile,
)
from lexiseg.checkpoints.registry import (
    describe_files,
    get,
    names,
    read_manifest,
    records,
    register,
    with_pin,
    write_manifest,
)
from lexiseg.checkpoints.store import (
    is_here,
    pull,
    remove,
    remove_words,
    resolve,
    verify_again,
)

__all__ = [
    "CLIP_PIXELS", "IMAGENET_PIXELS", "KINDS", "Checkpoint", "Preprocessing", "Record",
    "WeightFile", "cache_folder", "describe_files", "get", "is_here", "names", "pull",
    "read_manifest", "records", "register", "remove", "remove_words", "resolve", "verify_again",
    "with_pin", "write_manifest",
]  # fmt: skip
