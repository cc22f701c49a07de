"""A segmenter and a tracker whose every answer is known: red and green boxes on grey."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lexiseg.masks import Masks
from lexiseg.protocols import Tracks
from lexiseg.results import Provenance, Segmentation

__all__ = ["GREEN", "RED", "SIZE", "ColourSegmenter", "ColourTracker", "frame"]

SIZE = (40, 60)
RED, GREEN = (200, 30, 30), (30, 180, 30)


def frame(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A grey frame with a red and a green box, x0, y0, x1, y1."""
    rgb = np.full((*SIZE, 3), 90, np.uint8)
    for name, (x0, y0, x1, y1) in boxes.items():
        rgb[y0:y1, x0:x1] = RED if name.startswith("red") else GREEN
    return rgb


def parts(rgb: np.ndarray, colour: tuple[int, int, int]) -> list[np.ndarray]:
    import cv2

    away = np.abs(rgb.astype(int) - colour).sum(2)  # a video's colours are not exact
    inside = (away < 90).astype(np.uint8)
    count, numbers = cv2.connectedComponents(inside)
    return [numbers == k for k in range(1, count)]


class ColourSegmenter:
    """Finds "red" and "green", each connected part an instance; counts how often it is asked."""

    name, config = "colours", None

    def __init__(self):
        self.asked = 0

    def __call__(self, rgb, words, **_):
        self.asked += 1
        found = [(word, mask) for word in words
                 for mask in parts(rgb, RED if word == "red" else GREEN)]  # fmt: skip
        masks = np.array([mask for _, mask in found], bool).reshape(-1, *SIZE)
        return Segmentation(
            words=tuple(words),
            labels=np.array([word for word, _ in found], np.str_),
            scores=np.full(len(found), 0.9, np.float32),
            masks=Masks.from_dense(masks),
            label_map=np.full(SIZE, -1, np.int16),
            word_scores=np.zeros(len(words), np.float32),
            provenance=Provenance(method="colours", encoder="colours"),
        )


@dataclass(frozen=True, eq=False)
class Memory:
    rgb: np.ndarray
    objects: tuple  # (id, colour, mask)


class ColourTracker:
    """Follows the part of an object's colour that overlaps it most."""

    name = "colours"

    def start(self, rgb):
        return Memory(rgb, ())

    def step(self, memory, rgb):
        objects = []
        for one, colour, mask in memory.objects:
            found = max(parts(rgb, colour), key=lambda part: (part & mask).sum(), default=None)
            if found is None or not (found & mask).any():
                found = np.zeros(SIZE, bool)
            objects.append((one, colour, found))
        kept = Memory(rgb, tuple(objects))
        masks = Masks.from_dense(np.array([o[2] for o in objects], bool).reshape(-1, *SIZE))
        scores = np.ones(len(objects), np.float32)
        return Tracks(tuple(o[0] for o in objects), masks, scores, self.features(kept)), kept

    def add(self, memory, masks, ids):
        new = []
        for i, one in enumerate(ids):
            mask = masks.mask(i)
            new.append((one, tuple(memory.rgb[mask][0].tolist()), mask))
        kept = [one for one in memory.objects if one[0] not in set(ids)]
        return replace(memory, objects=(*kept, *new))

    def drop(self, memory, ids):
        return replace(memory, objects=tuple(o for o in memory.objects if o[0] not in set(ids)))

    def features(self, memory):
        if not memory.objects:
            return np.zeros((0, 3), np.float32)
        colours = np.array([one[1] for one in memory.objects], np.float32)
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)

    def state_dict(self, memory):
        return {"objects": memory.objects}

    def load_state_dict(self, rgb, state):
        return Memory(rgb, state["objects"])
