"""Accuracy on data sets: whole pictures, each set's own words, one configuration for all."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from benchmarks.rows.common import estimate, load, markdown, open_data, percent, progress

ABOUT = "accuracy on data sets, whole pictures, each set's own words, the same settings for all"
NEEDS = ("data",)


def run(options: Namespace) -> dict[str, Any]:
    """Evaluate every set; return their scores and how the pictures were segmented."""
    from lexiseg.evaluation import evaluate

    segmenter = load(options)
    sets, provenance = [], {}
    for data in open_data(options):
        found = evaluate(segmenter, data, progress=progress(data.name))
        scores = found.to_json()
        provenance = scores.pop("provenance")
        del provenance["seconds"], scores["asked"]
        sets.append(scores)
    return {"sets": sets, "provenance": provenance}


def table(result: dict[str, Any]) -> str:
    """Return a table of the sets, and under it one of each set's classes, folded away."""
    head = ["set", "photos", "mean IoU", "over classes", "mean IoU, all", "pixel accuracy"]
    head += ["boundary F1", "absent words get", "ms a picture"]
    lines = [
        [
            one["set"],
            one["photos"],
            estimate(one["mean_iou"]),
            one["mean_classes"],
            percent(one["mean_iou_all"]),
            estimate(one["pixel_accuracy"]),
            percent(one["boundary_f1"]),
            f"{percent(one['absent_share'])} ({len(one['absent_words'])} words)",
            f"{1000 * one['seconds_per_picture']:.0f}",
        ]
        for one in result["sets"]
    ]
    least = {one["min_photos"] for one in result["sets"]}
    parts = [
        markdown(head, lines),
        f"In percent. Mean IoU: over the classes in at least {min(least)} photos, background "
        'aside; "all": over every class there or predicted. Absent words: those that no photo '
        "of the split holds, and the share of pixels given to them.",
    ]
    return "\n\n".join([*parts, *(_classes(one) for one in result["sets"])])


def short(result: dict[str, Any]) -> str:
    """Return the numbers that say most, a line a set."""
    lines = [
        [one["set"], one["photos"], estimate(one["mean_iou"]), estimate(one["pixel_accuracy"])]
        for one in result["sets"]
    ]
    return markdown(["set", "photos", "mean IoU, %", "pixels right, %"], lines)


def _classes(one: dict[str, Any]) -> str:
    held = [entry for entry in one["classes"] if entry["photos"]]
    held.sort(key=lambda entry: -(entry["iou"]["value"] or 0))
    lines = [
        [entry["name"], entry["photos"], estimate(entry["iou"]), percent(entry["boundary_f1"])]
        for entry in held
    ]
    body = markdown(["class", "photos", "IoU", "boundary F1"], lines)
    return f"<details><summary>{one['set']}, by class</summary>\n\n{body}\n\n</details>"
