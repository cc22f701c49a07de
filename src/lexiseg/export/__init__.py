"""Results for other programs: picture files, label maps with their names, result.json, COCO."""

from __future__ import annotations

from lexiseg.export.coco import coco_json, to_coco
from lexiseg.export.files import file_names, safe_name, save_label_map, save_masks, save_overlay
from lexiseg.export.result import SCHEMA_VERSION, result_json

__all__ = [
    "SCHEMA_VERSION",
    "coco_json",
    "file_names",
    "result_json",
    "safe_name",
    "save_label_map",
    "save_masks",
    "save_overlay",
    "to_coco",
]
