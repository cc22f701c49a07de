"""Results for other programs: label maps with their names inside, result.json, COCO."""

from __future__ import annotations

from lexiseg.export.coco import coco_json
from lexiseg.export.label_map import label_map_png
from lexiseg.export.overlay import save_overlay
from lexiseg.export.result import SCHEMA_VERSION, result_json

__all__ = ["SCHEMA_VERSION", "coco_json", "label_map_png", "result_json", "save_overlay"]
