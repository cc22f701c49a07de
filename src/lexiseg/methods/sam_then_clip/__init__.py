"""Draw every mask, then classify it: by its crop, or by dense features pooled inside it."""

from __future__ import annotations

from lexiseg.methods.sam_then_clip.config import PRESETS, Config
from lexiseg.methods.sam_then_clip.segmenter import Segmenter, load

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "draw every mask, then compare each with every word"
