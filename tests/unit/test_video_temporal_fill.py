"""Holes filled from other frames, on a ground whose every pixel is known."""

from __future__ import annotations

import numpy as np

from lexiseg import imaging
from lexiseg.edit.fill_region import fill_region
from lexiseg.edit.region import Region
from lexiseg.video.motion import ground_motion
from lexiseg.video.temporal_fill import TemporalFill

SIZE, FRAMES = (96, 144), 14


def scene() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A camera that pans over a texture, the same with a ball before it, and the ball's masks."""
    import cv2

    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (40, 60, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, (360, 240), interpolation=cv2.INTER_CUBIC)
    truth, frames, holes = [], [], []
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for k in range(FRAMES):
        at = np.float32([[1, 0, -20 - 1.5 * k], [0, 1, -30 - 0.5 * k]])
        rgb = cv2.warpAffine(ground, at, SIZE[::-1], flags=cv2.INTER_LINEAR)
        hole = (y - 48) ** 2 + (x - 30 - 6 * k) ** 2 < 15**2
        truth.append(rgb)
        frames.append(np.where(hole[..., None], np.uint8(255), rgb))
        holes.append(hole)
    return truth, frames, holes


def error(one: np.ndarray, other: np.ndarray, hole: np.ndarray) -> float:
    return float(np.abs(one[hole].astype(float) - other[hole]).mean())


def test_the_motion_of_the_ground():
    _, frames, holes = scene()
    motion = ground_motion(frames[2], frames[5], (holes[2], holes[5]))
    np.testing.assert_allclose(motion @ [70, 50, 1], [70 - 4.5, 50 - 1.5, 1], atol=0.2)
    assert ground_motion(frames[0], frames[0][::-1, ::-1], (holes[0], holes[0])) is None


def test_holes_show_what_other_frames_show_there():
    truth, frames, holes = scene()
    out = TemporalFill().fill(frames, holes, 0, FRAMES)
    for k in (0, 5, 12):
        np.testing.assert_array_equal(out[k][~holes[k]], frames[k][~holes[k]])
        still = frames[k].copy()
        where = Region.from_mask(holes[k])
        still[where.window][where.weight > 0] = fill_region(imaging.read(frames[k]), where).rgb[
            where.weight > 0
        ]
        assert error(out[k], truth[k], holes[k]) < 0.2 * error(still, truth[k], holes[k]), k


def test_what_no_frame_shows_stays_the_same():
    _, frames, holes = scene()
    fixed = [np.where(holes[0][..., None], np.uint8(255), frames[0])] * 5  # nothing moves
    out = TemporalFill().fill(fixed, [holes[0]] * 5, 0, 5)
    for one in out[1:]:
        assert error(one, out[0], holes[0]) < 2
    assert error(out[0], fixed[0], holes[0]) > 20


def test_windows_go_on_where_the_last_one_ended():
    _, frames, holes = scene()
    whole = TemporalFill().fill(frames, holes, 0, FRAMES)
    fill = TemporalFill()
    first = fill.fill(frames, holes, 0, 6)
    rest = TemporalFill(before=fill.before).fill(frames, holes, 6, FRAMES)
    np.testing.assert_array_equal(np.stack([*first, *rest]), np.stack(whole))
    empty = [np.zeros(SIZE, bool)] * FRAMES
    assert all(a is b for a, b in zip(fill.fill(frames, empty, 0, 4), frames, strict=False))
