"""Photos with class masks to measure on, from folders."""

from __future__ import annotations

from lexiseg.datasets.plain import PlainDataset, Sample, find_sets, open_set

__all__ = ["PlainDataset", "Sample", "find_sets", "open_set"]
