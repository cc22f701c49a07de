"""Each set's words joined with another set's: more words compete, the truth stays the same."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from benchmarks.machine import Unmeasurable
from benchmarks.rows.common import estimate, load, markdown, open_data, percent, progress
from lexiseg.datasets import SemanticDataset
from lexiseg.evaluation import Evaluation, evaluate

ABOUT = "accuracy when the words of another set compete too"
NEEDS = ("data",)


def run(options: Namespace) -> dict[str, Any]:
    """Evaluate every set with its own words, then with the next set's words (by name) as well."""
    segmenter, sets = load(options), open_data(options)
    joined = []
    for data, other in zip(sets, [*sets[1:], sets[0]], strict=True):
        if other is data:
            raise Unmeasurable("joined needs two data sets at least; give a folder of them")
        extra = _words(other)
        alone = evaluate(segmenter, data, progress=progress(data.name))
        both = evaluate(
            segmenter, data, extra_words=extra, progress=progress(f"{data.name} + {other.name}")
        )
        joined.append(
            {
                "set": data.name,
                "other": other.name,
                "words": len(data.classes),
                "words_joined": len(both.asked),
                "alone": _numbers(alone),
                "joined": _numbers(both),
            }
        )
    return {"sets": joined}


def table(result: dict[str, Any]) -> str:
    """Return a line a set."""
    head = ["set", "joined with", "words", "mean IoU alone", "joined", "pixel accuracy alone"]
    head += ["joined", "pixels to foreign words"]
    lines = [
        [
            one["set"],
            one["other"],
            f"{one['words']} to {one['words_joined']}",
            *(
                estimate(one[kind][key])
                for key in ("mean_iou", "pixel_accuracy")
                for kind in ("alone", "joined")
            ),
            percent(one["joined"]["extra_share"]),
        ]
        for one in result["sets"]
    ]
    return (
        f"{markdown(head, lines)}\n\nIn percent. A pixel given to a word of the other set counts "
        "as wrong, even where that word is another name for the same thing."
    )


def _words(data: SemanticDataset) -> list[str]:
    return [name for index, name in enumerate(data.classes) if index != data.background_index]


def _numbers(found: Evaluation) -> dict[str, Any]:
    scores = found.score.to_json()
    return {key: scores[key] for key in ("mean_iou", "pixel_accuracy", "extra_share")}
