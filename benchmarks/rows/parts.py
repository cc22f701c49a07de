"""Parts beside the whole: does "person" among the words take anything from the parts of faces?"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from benchmarks.machine import Unmeasurable
from benchmarks.rows.common import estimate, load, markdown, open_data, percent, progress

ABOUT = "IoU of celebamask's parts with 'person' among the words, against without"
NEEDS = ("data:celebamask",)
SET, WHOLE = "celebamask", "person"


def run(options: Namespace) -> dict[str, Any]:
    """Evaluate three times: without the whole, with it, and with it in a flat vocabulary."""
    from lexiseg.evaluation import evaluate

    data = next((one for one in open_data(options) if one.name == SET), None)
    if data is None:
        raise Unmeasurable(f"there is no set {SET!r} in the data")
    segmenter = load(options)

    def related(image: Any, words: Any, *, background: Any) -> Any:
        """As users have it: parts do not compete with the whole."""
        return segmenter(image, words, background=background)

    ways = {
        "without": evaluate(segmenter, data, progress=progress("without")),
        "beside": evaluate(related, data, extra_words=(WHOLE,), progress=progress("beside")),
        "flat": evaluate(segmenter, data, extra_words=(WHOLE,), progress=progress("flat")),
    }
    out = {}
    for name, found in ways.items():
        scores = found.to_json()
        out[name] = {
            "mean_iou": scores["mean_iou"],
            "classes": {one["name"]: one["iou"]["value"] for one in scores["classes"]},
        }
    return {"set": SET, "photos": len(data), "whole": WHOLE, "ways": out}


def table(result: dict[str, Any]) -> str:
    """Return the means, and the IoU of each part."""
    ways = result["ways"]
    lines = [["mean", *(estimate(ways[name]["mean_iou"]) for name in ways)]]
    for part in ways["without"]["classes"]:
        values = [ways[name]["classes"][part] for name in ways]
        if values[0] is not None:
            lines.append([part, *(percent(value) for value in values)])
    head = ["part", f"without {result['whole']!r}", "with it", "with it, `--flat`"]
    return (
        f"{markdown(head, lines)}\n\nIoU in percent on {result['photos']} photos of "
        f"{result['set']}; what {result['whole']!r} gets of a part counts as missed."
    )


def short(result: dict[str, Any]) -> str:
    """Return the means alone."""
    ways = result["ways"]
    line = ["mean IoU of the parts, %", *(estimate(ways[name]["mean_iou"]) for name in ways)]
    return markdown(["", f"without {result['whole']!r}", "with it", "with it, `--flat`"], [line])
