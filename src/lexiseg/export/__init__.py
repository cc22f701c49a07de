"""Results for other programs: picture files, result.json, and formats of annotations, both ways."""

from __future__ import annotations

from lexiseg.export.annotated import Annotated
from lexiseg.export.files import file_names, safe_name, save_label_map, save_masks, save_overlay
from lexiseg.export.format import Format, Writer, Written
from lexiseg.export.formats.coco import coco_json, to_coco
from lexiseg.export.objects import to_fiftyone, to_supervision
from lexiseg.export.registry import (
    format_names,
    get_format,
    list_formats,
    read_annotations,
    recognise,
)
from lexiseg.export.result import SCHEMA_VERSION, result_json, segmentation_from_json

__all__ = [
    "SCHEMA_VERSION",
    "Annotated",
    "Format",
    "Writer",
    "Written",
    "coco_json",
    "file_names",
    "format_names",
    "get_format",
    "list_formats",
    "read_annotations",
    "recognise",
    "result_json",
    "safe_name",
    "save_label_map",
    "save_masks",
    "save_overlay",
    "segmentation_from_json",
    "to_coco",
    "to_fiftyone",
    "to_supervision",
]
