"""Look with a dense map of words, then ask a mask model only there.

A map says roughly where words are; its connected regions give points, the mask model draws what is
at each point, and overlaps are settled by score. Points and boxes of a user's own are answered too.
"""

from __future__ import annotations

from lexiseg.methods.clip_then_sam.config import PRESETS, Config
from lexiseg.methods.clip_then_sam.segmenter import Segmenter, load
from lexiseg.methods.clip_then_sam.view import View

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "View", "load"]

SUMMARY = "look with a dense map, then ask a mask model only there; points and boxes"
