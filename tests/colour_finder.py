"""A segmenter for tests of commands: it finds colours, costs nothing, and is right by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg import imaging, loading
from lexiseg.errors import PictureError
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary
from lexiseg.results import Provenance, ScoreMap, Segmentation, UnknownWord

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@dataclass(frozen=True)
class View:
    picture: Picture

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        height, width = self.picture.size_hw
        return np.array([[0, 0, width, height]])


class ColourFinder:
    """Finds red, green and blue; knows no unicorn; fails on pictures with a white corner."""

    name = "colours"

    def __init__(self) -> None:
        self.config: Any = None
        self.loaded: dict[str, Any] = {}
        self.calls: list[Vocabulary] = []

    def prepare(self, image: Any) -> View:
        return View(imaging.read(image))

    def all_masks(self, view: View) -> None:
        return None

    def __call__(
        self, image: Any, words: Any, *, background: Any = "default", keep_image: bool = False
    ) -> Segmentation:
        if not isinstance(words, Vocabulary):
            words = Vocabulary.parse(words, background=background)
        self.calls.append(words)
        picture = image.picture if isinstance(image, View) else imaging.read(image)
        if (picture.rgb[0, 0] == 255).all():
            raise PictureError("a white corner; paint it")
        names = words.names
        label_map = np.full(picture.size_hw, -1, np.int16)
        for k, name in enumerate(names):
            label_map[(picture.rgb == COLOURS.get(name, (1, 2, 3))).all(axis=-1)] = k
        found = [k for k in range(len(names)) if (label_map == k).any()]
        grid = np.stack([label_map == k for k in range(len(names))]).astype(np.float16)
        return Segmentation(
            words=names,
            labels=np.array([names[k] for k in found], dtype=np.str_),
            scores=np.full(len(found), 0.9, np.float32),
            masks=Masks.from_labels(label_map, found),
            label_map=label_map,
            word_scores=np.array([0.9 * (k in found) for k in range(len(names))], np.float32),
            unknown=tuple(
                UnknownWord(name, ("horse", "goat"), 0.2) for name in names if name == "unicorn"
            ),
            score_map=ScoreMap(grid * np.float16(0.9), picture.size_hw),
            image=picture.rgb,
            provenance=Provenance(
                method="colours", encoder="eye", config={"a": 1}, seconds={"look": 0.001}
            ),
        )


def stand_in(monkeypatch: pytest.MonkeyPatch) -> ColourFinder:
    """Let `lexiseg.load` return a ColourFinder, and return it."""
    found = ColourFinder()

    def load(config: Any, **options: Any) -> ColourFinder:
        found.config, found.loaded = config, {"loaded": True, **options}
        return found

    monkeypatch.setattr(loading, "load", load)
    return found
