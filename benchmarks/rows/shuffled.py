"""The order of the words must not matter."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.rows.common import load, markdown, open_data, percent
from lexiseg.evaluation import evaluate

ABOUT = "share of pixels that keep their word when the words are asked in another order"
NEEDS = ("data",)
PHOTOS, ORDERS = 10, 3


def run(options: Namespace) -> dict[str, Any]:
    """Segment the first photos of each set with the words in three random orders."""
    segmenter = load(options)
    sets = []
    for data in open_data(options):
        data = data.first(PHOTOS)
        keeper = _Keeper(segmenter)
        evaluate(keeper, data)
        plain, kept = keeper.taken(), []
        for seed in range(1, ORDERS + 1):
            evaluate(keeper, data, shuffle_words=seed)
            kept += [
                float((one == other).mean())
                for one, other in zip(plain, keeper.taken(), strict=True)
            ]
        sets.append(
            {
                "set": data.name,
                "photos": len(data),
                "same": round(float(np.mean(kept)), 6),
                "same_least": round(min(kept), 6),
            }
        )
    return {"sets": sets, "orders": ORDERS}


def table(result: dict[str, Any]) -> str:
    """Return a line a set."""
    lines = [
        [one["set"], one["photos"], percent(one["same"], 3), percent(one["same_least"], 3)]
        for one in result["sets"]
    ]
    head = ["set", "photos", "same word, % of pixels", "in the worst photo"]
    return f"{markdown(head, lines)}\n\n{result['orders']} random orders of each set's words."


class _Keeper:
    """A segmenter that keeps its answers: maps of words, whatever order they were asked in."""

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter
        self.maps: list[Any] = []

    def __call__(self, image: Any, words: list[str], **options: Any) -> Any:
        result = self.segmenter(image, words, **options)
        names = np.array([*result.words, ""])
        self.maps.append(names[result.label_map])  # -1, nothing, is the last name
        return result

    def taken(self) -> list[Any]:
        """Return the maps since the last call."""
        maps, self.maps = self.maps, []
        return maps
