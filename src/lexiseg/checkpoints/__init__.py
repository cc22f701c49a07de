"""Weights: complete records, and the stores where their files lie.

Nothing is downloaded unless it is asked for (`pull`), and nothing is used unverified.
"""

from __future__ import annotations

from lexiseg.checkpoints.known import get, names, records, register
from lexiseg.checkpoints.manifest import describe_files, read_manifest, write_manifest
from lexiseg.checkpoints.places import Checkpoint, cache_folder
from lexiseg.checkpoints.records import KINDS, Preprocessing, Record, WeightFile
from lexiseg.checkpoints.store import is_here, pull, remove, resolve, seen, verify_again

__all__ = [
    "KINDS",
    "Checkpoint",
    "Preprocessing",
    "Record",
    "WeightFile",
    "cache_folder",
    "describe_files",
    "get",
    "is_here",
    "names",
    "pull",
    "read_manifest",
    "records",
    "register",
    "remove",
    "resolve",
    "seen",
    "verify_again",
    "write_manifest",
]
