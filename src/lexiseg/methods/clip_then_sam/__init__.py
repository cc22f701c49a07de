"""Score every place for words, then prompt a mask model only where a word wins.

A map says roughly where words are; its connected regions give points, the mask model draws what is
at each point, and map and masks are weighed together. Points and boxes of a user's own work too.
"""

from __future__ import annotations

from lexiseg.methods.clip_then_sam.config import PRESETS, Config
from lexiseg.methods.clip_then_sam.load import load
from lexiseg.methods.clip_then_sam.segmenter import Segmenter

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "map the words, then prompt a mask model only where they win; points and boxes"
