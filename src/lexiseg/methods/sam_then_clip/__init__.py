"""Draw every mask, then name it: by crops, or by dense features pooled inside the mask."""

from __future__ import annotations

from lexiseg.methods.sam_then_clip.config import PRESETS, Config
from lexiseg.methods.sam_then_clip.segmenter import Segmenter, load
from lexiseg.methods.sam_then_clip.view import View

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "View", "load"]

SUMMARY = "draw every mask, then name each by comparing it with every word"
