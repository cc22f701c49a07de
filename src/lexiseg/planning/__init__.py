"""Before any work: which pictures a run reads, and every place that it will write to."""

from __future__ import annotations

from lexiseg.planning.edits import EditPlaces, edit_origin, plan_edits, plan_named_edit
from lexiseg.planning.names import Item, choose_places
from lexiseg.planning.output_paths import (
    Job,
    OutputFolder,
    common_parent,
    plan_folders,
    results_obstacle,
)
from lexiseg.planning.records import RESULT, Record, edit_ending, picture_path, read_record
from lexiseg.planning.selection import Problem, Selected, Selection, select_pictures

__all__ = [
    "RESULT", "EditPlaces", "Item", "Job", "OutputFolder", "Problem", "Record", "Selected",
    "Selection", "choose_places", "common_parent", "edit_ending", "edit_origin", "picture_path",
    "plan_edits", "plan_folders", "plan_named_edit", "read_record", "results_obstacle",
    "select_pictures",
]  # fmt: skip
