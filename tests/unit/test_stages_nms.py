"""Boxes and masks of one thing: hand-worked cases, and slow obvious code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lexiseg.masks import Masks
from lexiseg.stages.mask_selection import best_masks, without_nested
from lexiseg.stages.nms import box_iou, box_nms
from lexiseg.stages.painting import fill_nearest, paint_order


def test_box_iou_is_that_of_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (20, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    grid = np.zeros((20, 12, 12), np.bool_)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        grid[i, y0:y1, x0:x1] = True
    flat = grid.reshape(20, -1).astype(np.float64)
    inter = flat @ flat.T
    union = flat.sum(1)[:, None] + flat.sum(1)[None] - inter
    wanted = np.where(union > 0, inter / np.maximum(union, 1), 0)
    np.testing.assert_allclose(box_iou(torch.from_numpy(boxes)), wanted, atol=1e-6)


def test_duplicates_are_those_of_the_obvious_loop() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 20, (60, 2, 2))
    boxes = torch.from_numpy(np.concatenate([corners.min(1), corners.max(1)], 1)).float()
    owner, score = rng.integers(0, 3, 60), rng.random(60).astype(np.float32)
    iou = box_iou(boxes).numpy()
    for top_k in (None, 4):
        wanted: list[int] = []
        for i in sorted(range(60), key=lambda i: -score[i]):
            rivals = [j for j in wanted if owner[j] == owner[i]]
            if all(iou[i, j] < 0.3 for j in rivals):
                wanted.append(i)
        if top_k:
            wanted = [i for n, i in enumerate(wanted)
                      if sum(owner[j] == owner[i] for j in wanted[:n]) < top_k]  # fmt: skip
        got = box_nms(boxes, owner, score, 0.3, top_k)
        assert got.tolist() == sorted(wanted)


def test_the_nearest_value_fills_a_map() -> None:
    rng = np.random.default_rng(2)
    top = np.full((23, 31), -1, np.int16)
    places = rng.choice(top.size, 12, replace=False)
    top.flat[places] = np.arange(12)
    before = top.copy()
    filled = fill_nearest(top)
    np.testing.assert_array_equal(top, before)  # a new map
    assert filled.dtype == top.dtype
    ys, xs = np.divmod(places, 31)
    all_y, all_x = np.mgrid[:23, :31]
    distance = np.hypot(all_y[..., None] - ys, all_x[..., None] - xs)
    own = np.take_along_axis(distance, filled[..., None].astype(np.intp), 2)[..., 0]
    assert (own <= distance.min(2) * 1.05 + 1e-6).all()
    np.testing.assert_array_equal(filled.flat[places], before.flat[places])
    blank = np.full((3, 4), -1, np.int16)
    assert (fill_nearest(blank) == -1).all()


def test_what_is_excluded_lies_on_top_of_other_things() -> None:
    dense = np.zeros((3, 10, 12), np.bool_)
    dense[0, :, :8] = True  # wanted
    dense[1, 2:4, 2:4] = True  # a part of it
    dense[2, :, 1:8] = True  # nearly the same
    score = np.array([0.8, 0.3, 0.4], np.float32)
    rank = paint_order(
        Masks.from_dense(dense), score, np.array([True, False, False]),
        np.array([False, True, True]),
    )  # fmt: skip
    assert rank.tolist() == pytest.approx([0.8, 1.3, 0.4])


def test_of_two_masks_that_are_one_thing_the_better_stays_whatever_their_words() -> None:
    dense = np.zeros((4, 10, 12), np.bool_)
    dense[0, :, :8] = dense[1, :, :9] = dense[2, :4, :4] = dense[3, 5:, 9:] = True
    masks, words = Masks.from_dense(dense), np.array([0, 1, 0, 0])
    score = np.array([0.4, 0.6, 0.9, 0.2], np.float32)
    assert best_masks(masks, words, score, 80 / 90).tolist() == [1, 2, 3]  # 80 / 90 in common
    assert best_masks(masks, words, score, 0.9).tolist() == [0, 1, 2, 3]


def rectangles(*boxes: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(boxes), 40, 60), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def stay(masks: Masks, rank: list[float], word: list[int] | None = None) -> list[int]:
    words = np.array(word or [0] * len(masks))
    return without_nested(masks, masks.iou(masks), words, np.array(rank), 0.7).tolist()


CAR, DOOR, WINDOW = (0, 0, 40, 20), (4, 4, 16, 18), (5, 5, 12, 10)
FIRST, SECOND = (0, 0, 18, 20), (22, 0, 40, 20)


def test_a_whole_takes_its_parts() -> None:
    masks = rectangles(WINDOW, CAR, DOOR)
    assert stay(masks, [0.5, 0.5, 0.6]) == [1]
    assert stay(masks, [2.0, 0.5, 0.6]) == [1], "a part that is rated well is still a part"
    assert stay(masks, [0.5, 0.5, 0.6], [1, 0, 2]) == [0, 1, 2], "of another word: no part"


def test_several_things_drawn_as_one_go() -> None:
    masks = rectangles(CAR, FIRST, SECOND, DOOR)
    assert stay(masks, [0.5, 0.8, 0.8, 0.5]) == [1, 2]
    assert stay(masks, [0.5, 0.6, 0.6, 0.5]) == [0], "hardly better"


def test_much_the_same_part_many_times_is_not_several_things() -> None:
    """Their areas together are more than half of the whole, what they cover is not."""
    masks = rectangles(CAR, (0, 0, 18, 16), (1, 0, 18, 17), (0, 1, 17, 17))
    assert stay(masks, [0.5, 0.9, 0.9, 0.9]) == [0]


def test_neighbours_that_overlap_both_stay() -> None:
    masks = rectangles((0, 0, 20, 20), (10, 0, 28, 20))
    assert stay(masks, [0.5, 0.9]) == [0, 1]
    assert stay(Masks.empty((40, 60)), []) == []
