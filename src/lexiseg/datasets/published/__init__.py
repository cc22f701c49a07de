"""Data sets as their authors publish them, a file a family; see ``lexiseg.datasets.catalogue``."""

from __future__ import annotations

__all__: list[str] = []
