"""PhraseCut (Wu et al., CVPR 2020) as published: phrases with polygons on Visual Genome photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = ["INVALID", "read_phrasecut"]

# Photos whose size in the annotations is not that of the file; CLIPSeg's authors leave them out.
INVALID = frozenset({
    150417, 285665, 498246, 61564, 285743, 498269, 498010, 150516, 150344, 286093, 61530, 150333,
    286065, 285814, 498187, 285761, 498042,
})  # fmt: skip

Parts = tuple[str, Path, tuple[str, ...], Callable[[str, tuple[int, int]], NDArray[np.bool_]]]


def read_phrasecut(root: Path, split: str) -> Iterator[Parts]:
    """Yield id, path, phrases and masks of each photo of ``refer_<split>.json``.

    Photos lie in ``images/<image id>.jpg``. A phrase may have several polygons of several things:
    its mask is all of them. Raises InputError where the file is damaged.
    """
    path = root / f"refer_{split}.json"
    try:
        entries = json.loads(path.read_text("utf-8"))
        by_photo: dict[int, dict[str, list[Any]]] = {}
        for entry in entries:
            if int(entry["image_id"]) in INVALID:
                continue
            phrases = by_photo.setdefault(int(entry["image_id"]), {})
            phrases.setdefault(str(entry["phrase"]), []).extend(entry["Polygons"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not PhraseCut's list of phrases: {error!r}") from error
    for number, phrases in by_photo.items():
        yield str(number), root / "images" / f"{number}.jpg", tuple(phrases), _masks(phrases)


def _masks(
    phrases: dict[str, list[Any]],
) -> Callable[[str, tuple[int, int]], NDArray[np.bool_]]:
    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        import cv2

        out = np.zeros(size_hw, np.uint8)
        for thing in phrases.get(phrase, ()):
            for polygon in thing:
                corners = np.rint(np.array(polygon, np.float64)).astype(np.int32)
                cv2.fillPoly(out, [corners.reshape(-1, 1, 2)], 1)
        return out.astype(np.bool_)

    return mask
