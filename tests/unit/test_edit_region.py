"""Regions: the weight with which new pixels come in, and what must go for a word to be gone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.edit_pictures import SIZE, disc

from lexiseg import edit
from lexiseg.edit.region import Region, border_widths, label_mask, places_alike
from lexiseg.errors import OptionError, WordNotAsked
from lexiseg.masks import Masks
from lexiseg.results import Provenance, ScoreMap, Segmentation


def test_the_weight_by_hand() -> None:
    mask = np.zeros((5, 12), bool)
    mask[2, 3] = True
    found = Region.from_mask(mask, dilation=2, blur=3)
    assert found.box_xyxy == (0, 0, 9, 5)
    row = found.weight[2]
    ramp = np.array([3 / 4, 2 / 4, 1 / 4])
    soft = ramp**2 * (3 - 2 * ramp)
    assert row[3:9] == pytest.approx([1, 1, 1, *soft])
    assert found.weight[0, 8] == 0  # the root of 29 pixels away, beyond 2 + 3
    assert Region.from_mask(mask).weight.tolist() == [[1.0]]


@pytest.mark.parametrize(("dilation", "blur"), [(0, 0), (5, 8), (3, 0), (0, 4)])
def test_the_weight_is_zero_beyond_its_reach(dilation: int, blur: int) -> None:
    mask = disc(6)
    found = Region.from_mask(mask, dilation=dilation, blur=blur)
    full = np.zeros(SIZE, np.float32)
    full[found.window] = found.weight
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (full[away > dilation + blur] == 0).all()
    assert (full[away <= dilation] == 1).all()
    between = (away > dilation) & (away <= dilation + blur)
    assert ((full[between] > 0) & (full[between] < 1)).all()
    assert (np.diff(full[20, 36:]) <= 0).all()


def test_borders_grow_with_the_photo() -> None:
    assert border_widths(None, None, (480, 640), generous=True) == (5, 8)
    assert border_widths(None, None, (3200, 2000), generous=True) == (25, 40)
    assert border_widths(None, None, (3200, 2000), generous=False) == (0, 3)
    assert border_widths(1, None, (3200, 2000), generous=True) == (1, 40)
    assert border_widths(1, 0, (3200, 2000), generous=True) == (1, 0)


def test_impossible_borders() -> None:
    with pytest.raises(OptionError, match="dilation is -1"):
        Region.from_mask(disc(), dilation=-1)


def test_a_region_in_a_larger_box_is_the_same_region() -> None:
    where = Region.from_mask(disc(5, at=(20, 3)), dilation=2)
    larger = where.padded(SIZE, 4)
    one, other = (np.zeros(SIZE, np.float32) for _ in range(2))
    one[where.window], other[larger.window] = where.weight, larger.weight
    assert (one == other).all()
    x0, y0, x1, y1 = where.box_xyxy
    assert larger.box_xyxy == (0, y0 - 4, x1 + 4, y1 + 4)
    assert x0 == 0


def test_the_removal_mask_of_a_word_is_its_pixels_and_what_scores_high_beside_them() -> None:
    label_map = np.full((8, 12), -1, np.int16)
    label_map[0:4, 0:4] = 0
    label_map[4:8, 0:4] = 1
    grid = np.zeros((2, 8, 12), np.float16)
    grid[0, 0:4, 0:8] = 0.6  # half of it was left out of the label map
    grid[0, 0:4, 8] = 0.4  # nothing has 0.6 there, which is near
    grid[0, 0:4, 9] = 0.3  # and this is not
    grid[0, 6:8, 10:12] = 0.9  # far away from what has the word
    grid[1, 4:8, 0:4] = 0.9
    out = segmentation(label_map, grid)
    expected = label_map == 0
    expected[0:4, 4:9] = True
    np.testing.assert_array_equal(edit.removal_mask(out, "a"), expected)
    np.testing.assert_array_equal(edit.removal_mask(out, ["a", "b"]), expected | (label_map == 1))
    alone = segmentation(label_map, None)
    np.testing.assert_array_equal(edit.removal_mask(alone, "a"), label_map == 0)
    with pytest.raises(WordNotAsked):
        edit.removal_mask(alone, "c")


def test_what_is_edited_is_where_the_map_or_a_mask_has_the_word() -> None:
    label_map = np.full((8, 12), -1, np.int16)
    label_map[0:4, 0:4] = 0
    mask = np.zeros((8, 12), np.bool_)
    mask[2:6, 2:6] = True  # a paw that the map lacks
    out = replace(
        segmentation(label_map, None),
        labels=np.array(["a"]),
        scores=np.ones(1, np.float32),
        masks=Masks.from_dense(mask[None]),
    )
    np.testing.assert_array_equal(label_mask(out, ("a",)), (label_map == 0) | mask)
    np.testing.assert_array_equal(edit.removal_mask(out, "a"), (label_map == 0) | mask)


def test_places_alike_are_where_the_words_score_a_little() -> None:
    grid = np.zeros((2, 8, 12), np.float16)
    grid[0, 0:4, 0:4], grid[0, 6:8, 10:12] = 0.9, 0.1  # the second one was not found
    grid[1, 4:8, 0:4] = 0.8
    out = segmentation(np.full((8, 12), -1, np.int16), grid)
    np.testing.assert_array_equal(places_alike(out, ["a"]), grid[0] > 0)
    np.testing.assert_array_equal(places_alike(out, ["a", "b"]), grid.sum(0) > 0)
    assert places_alike(segmentation(np.full((8, 12), -1, np.int16), None), ["a"]) is None


def segmentation(label_map: NDArray[np.int16], grid: NDArray[np.float16] | None) -> Segmentation:
    return Segmentation(
        words=("a", "b"),
        labels=np.zeros(0, np.str_),
        scores=np.zeros(0, np.float32),
        quality=None,
        masks=Masks.empty((8, 12)),
        label_map=label_map,
        word_scores=np.ones(2, np.float32),
        score_map=None if grid is None else ScoreMap(grid, (8, 12)),
        provenance=Provenance(method="dense", encoder="none"),
    )
