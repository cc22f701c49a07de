"""Drawings for people: overlays with a legend, heat maps, cut-outs, windows and prompts."""

from __future__ import annotations

from lexiseg.visualize.colours import palette
from lexiseg.visualize.comparison import comparison, error_map
from lexiseg.visualize.debug_overlay import debug_overlay
from lexiseg.visualize.heatmap import heatmap
from lexiseg.visualize.overlay import OverlayOptions, cutout, mask_overlay, overlay

__all__ = [
    "OverlayOptions",
    "comparison",
    "cutout",
    "debug_overlay",
    "error_map",
    "heatmap",
    "mask_overlay",
    "overlay",
    "palette",
]
