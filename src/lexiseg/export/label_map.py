"""The label map as a PNG that shows colours to people and holds indices and names for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import numpy as np

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.results import Segmentation
from lexiseg.visualize import palette

__all__ = ["label_map_png"]

_MOST_COLOURS = 256  # of a PNG palette, one of them for "nothing"


def label_map_png(
    seg: Segmentation, path: str | os.PathLike[str], words: Iterable[str] | None = None
) -> None:
    """Write the label map: value 0 where nothing is, i + 1 for word i of the vocabulary.

    A PNG with a palette, black for nothing; with more than 255 words, which no palette holds, a
    grey PNG of 16 bits. Its text "words" is a JSON object from value to name, "0" to "nothing".
    words: keep the pixels of these words alone; values and names stay those of the vocabulary.

    Raises OutputError, and WordNotAsked for a word outside the vocabulary.
    """
    deep = len(seg.words) >= _MOST_COLOURS
    kept = range(len(seg.words)) if words is None else [seg.index(word) for word in words]
    # Value of each label; the last place is reached by -1, nothing.
    values = np.zeros(len(seg.words) + 1, np.uint16 if deep else np.uint8)
    for k in kept:
        values[k] = k + 1
    names = {"0": "nothing", **{str(i): word for i, word in enumerate(seg.words, 1)}}
    colours = None
    if not deep:
        colours = np.concatenate([np.zeros((1, 3), np.uint8), palette(seg.words)])
    imaging.write(
        path,
        values[seg.label_map],
        palette=colours,
        metadata={
            "Software": f"lexiseg {__version__}",
            "words": json.dumps(names, ensure_ascii=False),
        },
    )
