"""Photos with class masks to measure on, from folders."""

from __future__ import annotations

from lexiseg.datasets.plain import find_sets, open_set
from lexiseg.datasets.semantic import Sample, SemanticDataset

__all__ = ["Sample", "SemanticDataset", "find_sets", "open_set"]
