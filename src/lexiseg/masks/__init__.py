"""Masks of one image, exact and compact; run lengths and polygons of COCO."""

from __future__ import annotations

from lexiseg.masks.masks import Key, Masks, label_boxes, label_runs, select_indices
from lexiseg.masks.rle import Rle

__all__ = ["Key", "Masks", "Rle", "label_boxes", "label_runs", "select_indices"]
