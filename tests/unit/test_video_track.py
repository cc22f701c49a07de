"""Who is who over frames, with a segmenter and a tracker whose every answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.colour_tracker import GREEN, RED, SIZE, ColourSegmenter, ColourTracker, frame

from lexiseg.errors import OptionError, PromptError
from lexiseg.masks import Masks
from lexiseg.video import TrackOptions, track
from lexiseg.video.identities import LostObject, match_by_looks, match_by_overlap


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
