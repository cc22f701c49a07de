"""The bundled tracker on drawn frames whose truth is known."""

from __future__ import annotations

import numpy as np

from lexiseg.masks import Masks
from lexiseg.models import load_tracker
from lexiseg.video.state_file import load_state, save_state

SIZE = (96, 160)


def scene(step: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured ball that moves over another texture, and where it is."""
    import cv2

    rng = np.random.default_rng(3)
    coarse = rng.integers(60, 120, (12, 20, 3)).astype(np.uint8)
    rgb = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = (y - 48) ** 2 + (x - 50 - 4 * step) ** 2 < 22**2
    ball = cv2.resize(rng.integers(140, 255, (8, 8, 3)).astype(np.uint8), (60, 60))
    ball[..., 2] //= 3
    left = 20 + 4 * step
    patch = np.zeros((*SIZE, 3), np.uint8)
    patch[18:78, left : left + 60] = ball
    return np.where(inside[..., None], patch, rgb), inside


def test_a_ball_is_followed():
    tracker = load_tracker("tiny")
    first, truth = scene(0)
    memory = tracker.add(tracker.start(first), Masks.from_dense(truth[None]), [7])
    for step in range(1, 6):
        rgb, truth = scene(step)
        tracks, memory = tracker.step(memory, rgb)
        found = tracks.masks.union()
        iou = (found & truth).sum() / (found | truth).sum()
        assert tracks.ids == (7,)
        assert iou > 0.7, step
    assert len(memory.anchors) + len(memory.recent) <= 6  # whatever the number of frames
    assert tracker.features(memory).shape[0] == 1
    gone = tracker.drop(memory, [7])
    tracks, _ = tracker.step(gone, scene(6)[0])
    assert tracks.ids == ()


def test_memory_is_a_value_that_steps_do_not_change():
    tracker = load_tracker("tiny")
    first, truth = scene(0)
    memory = tracker.add(tracker.start(first), Masks.from_dense(truth[None]), [1])
    before = memory.probabilities.copy()
    one, _ = tracker.step(memory, scene(1)[0])
    two, _ = tracker.step(memory, scene(1)[0])
    np.testing.assert_array_equal(memory.probabilities, before)
    np.testing.assert_array_equal(one.masks.union(), two.masks.union())


def test_a_memory_comes_back_from_a_file(tmp_path):
    tracker = load_tracker("tiny")
    first, truth = scene(0)
    memory = tracker.add(tracker.start(first), Masks.from_dense(truth[None]), [3])
    _, memory = tracker.step(memory, scene(1)[0])
    save_state(tmp_path / "memory.npz", tracker.state_dict(memory))
    again = tracker.load_state_dict(scene(1)[0], load_state(tmp_path / "memory.npz"))
    for step in (2, 3):
        one, memory = tracker.step(memory, scene(step)[0])
        two, again = tracker.step(again, scene(step)[0])
        assert one.masks.to_rle() == two.masks.to_rle()
        np.testing.assert_array_equal(one.features, two.features)
