"""The curve of a prompt decoder's run on the bundled encoder, drawn as SVG from its log."""

from __future__ import annotations

import statistics

from docs.make import curve

LOG = curve.ROOT / "docs" / "training" / "clipseg-log.jsonl"
PICTURE = curve.ROOT / "docs" / "images" / "training-clipseg.svg"


def draw() -> list[str]:
    """Draw docs/images/training-clipseg.svg where there is a log; return its name, or nothing."""
    if not LOG.is_file():
        return []
    panels = [
        ("loss (binary cross-entropy)", "loss", 1.0),
        ("average precision on val photos, words as prompts, %", "ap", 100.0),
    ]
    title = "Training of a prompt decoder on the bundled encoder"
    return curve.figure(PICTURE, title, panels, curve.read(LOG))


def text() -> str:
    """Return the picture with a sentence about the run, or a line where there is no log yet."""
    if not LOG.is_file():
        return "*The log of the run is not here yet.*"
    rows = curve.read(LOG)
    seconds = statistics.median(row["seconds"] for row in rows)
    measured = [row for row in rows if "ap" in row]
    return (
        "![Loss and average precision by training step](../images/training-clipseg.svg)\n\n"
        f"{rows[-1]['step'] + 1:,} steps, {seconds:.2f} s each (median). On photos of the val "
        f"splits average precision went from {100 * measured[0]['ap']:.1f} % (step "
        f"{measured[0]['step'] + 1:,}) to {100 * measured[-1]['ap']:.1f} %, foreground IoU at 0.3 "
        f"to {100 * measured[-1]['fg_iou_0.3']:.1f} %. The log: "
        "[clipseg-log.jsonl](../training/clipseg-log.jsonl)."
    )
