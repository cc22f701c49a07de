"""Who is who over frames, with a segmenter and a tracker whose every answer is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from lexiseg.errors import OptionError, PromptError
from lexiseg.masks import Masks
from lexiseg.protocols import Tracks
from lexiseg.results import Provenance, Segmentation
from lexiseg.video import TrackOptions, track
from lexiseg.video.identities import LostObject, match_by_looks, match_by_overlap

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

    inside = (rgb == colour).all(2).astype(np.uint8)
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


def run(frames, **options):
    segmenter = ColourSegmenter()
    out = list(
        track(segmenter, iter(frames), ["red", "green"], tracker=ColourTracker(),
              options=TrackOptions(**options))
    )  # fmt: skip
    return segmenter, out


def test_identities_stay_while_things_move():
    frames = [frame(red=(2 + 3 * k, 5, 12 + 3 * k, 15), green=(40 - 3 * k, 22, 50 - 3 * k, 32))
              for k in range(9)]  # fmt: skip
    segmenter, out = run(frames, every=4)
    assert segmenter.asked == 3
    assert [one.key for one in out] == [k % 4 == 0 for k in range(9)]
    for k, one in enumerate(out):
        assert one.ids.tolist() == [1, 2]
        assert one.result.labels.tolist() == ["red", "green"]
        assert one.result.masks.boxes_xyxy[0].tolist() == [2 + 3 * k, 5, 12 + 3 * k, 15]
        np.testing.assert_array_equal(one.result.label_map == 0, (frames[k] == RED).all(2))


def test_a_new_thing_gets_a_new_identity_and_a_lost_one_comes_back_by_its_looks():
    there = {"red": (2, 5, 12, 15)}
    frames = [frame(**there)] * 3 + [frame()] * 5 + [frame(red=(44, 25, 54, 35))] * 4
    frames[9:] = [frame(red=(44, 25, 54, 35), green=(2, 2, 12, 12))] * 3
    _, out = run(frames, every=2)
    assert [one.ids.tolist() for one in out[:3]] == [[1]] * 3
    assert [one.ids.tolist() for one in out[3:8]] == [[]] * 5
    assert out[8].ids.tolist() == [1]  # elsewhere, but it looks the same
    assert out[-1].ids.tolist() == [1, 2]
    assert out[-1].result.labels.tolist() == ["red", "green"]


def test_at_most_so_many_are_followed():
    boxes = {f"red{k}": (2 + 12 * k, 5, 10 + 12 * k, 15) for k in range(4)}
    _, out = run([frame(**boxes)] * 2, max_objects=2)
    assert all(len(one.ids) == 2 for one in out)


def test_a_new_scene_is_looked_at_at_once():
    dark = np.zeros((*SIZE, 3), np.uint8)
    dark[5:15, 30:40] = GREEN
    segmenter, out = run([frame(red=(2, 5, 12, 15))] * 2 + [dark] * 2, every=0)
    assert segmenter.asked == 2
    assert out[2].key
    assert "green" in out[2].result.labels.tolist()


def test_what_cannot_be_asked_is_told():
    with pytest.raises(PromptError, match="nothing to follow"):
        next(track(ColourSegmenter(), [frame()]))
    for wrong in ({"every": -1}, {"max_objects": 0}, {"min_iou": 2.0}):
        with pytest.raises(OptionError):
            TrackOptions(**wrong)


def test_matches_are_one_to_one_and_of_one_word():
    dense = np.zeros((3, *SIZE), bool)
    dense[0, 0:10, 0:10] = dense[1, 0:10, 2:12] = dense[2, 20:30, 20:30] = True
    masks = Masks.from_dense(dense)
    words = ["red", "red", "green"]
    assert match_by_overlap(masks[[0, 1]], words[:2], masks[[0]], ["red"], 0.3) == {0: 0}
    assert match_by_overlap(masks[[2]], ["green"], masks[[2]], ["red"], 0.3) == {}
    lost = [LostObject(7, "red", np.array([1, 0], np.float32), 3)]
    looks = np.array([[0.6, 0.8], [1, 0]], np.float32)
    assert match_by_looks(looks, ["red", "red"], lost, 0.9) == {1: 0}
    assert match_by_looks(looks, ["red", "green"], lost, 0.9) == {}
