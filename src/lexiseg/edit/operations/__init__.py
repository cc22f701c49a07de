"""Operations: one a file, found by scanning this folder. Each has SUMMARY, Config and `edit`."""

from __future__ import annotations
