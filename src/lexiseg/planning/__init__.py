"""Before any work: which pictures a run reads, and every place that it will write to."""

from __future__ import annotations

from lexiseg.planning.names import Item, choose_places
from lexiseg.planning.places import Job, OutputFolder, plan_folders, results_obstacle
from lexiseg.planning.records import RESULT, Record, picture_path, read_record
from lexiseg.planning.selection import Problem, Selected, Selection, select_pictures

__all__ = [
    "RESULT", "Item", "Job", "OutputFolder", "Problem", "Record", "Selected", "Selection",
    "choose_places", "picture_path", "plan_folders", "read_record", "results_obstacle",
    "select_pictures",
]  # fmt: skip
