"""Regions filled at a working resolution: detail comes back, and what is known stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.edit_pictures import disc

from lexiseg.edit.fill_region import fill_region
from lexiseg.edit.fills import FILLS
from lexiseg.edit.region import Region
from lexiseg.errors import PromptError
from lexiseg.imaging import Picture
from lexiseg.metrics import texture_distance

SIZE = (170, 233)
SMALL = {"max_hole": 700}  # which makes the pictures here three times smaller


def weave(size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A cloth that repeats each 12 pixels, with threads that a smaller picture cannot hold."""
    y, x = np.mgrid[: size[0], : size[1]]
    coarse = 60 * np.sin(np.pi * y / 6) * np.sin(np.pi * x / 6)
    fine = np.where((x + y) % 3 == 0, 40, -20)
    cloth = 128 + coarse[..., None] * (1, 0.6, 0.3) + fine[..., None]
    return np.clip(cloth, 0, 255).astype(np.uint8)


def region(radius: int = 42) -> Region:
    return Region.from_mask(disc(radius, SIZE, (80, 110)), dilation=2, blur=3)


def test_fine_detail_comes_back_from_where_the_small_fill_copied() -> None:
    truth, where = weave(), region()
    rgb = truth.copy()
    rgb[where.window][where.weight > 0] = (255, 0, 255)
    filled = fill_region(Picture(rgb), where, **SMALL)
    assert filled.fill == "exemplar"
    hole, wanted = where.weight > 0, truth[where.window]
    shown = where.weight.shape[::-1]
    smooth = cv2.resize(cv2.resize(wanted, (shown[0] // 3, shown[1] // 3)), shown)
    distance = texture_distance(filled.rgb, wanted, hole)
    assert distance < 0.3 * texture_distance(smooth, wanted, hole)
    assert not ((filled.rgb.astype(int) - (255, 0, 255)).__abs__().sum(-1) < 60)[hole].any()


@pytest.mark.parametrize("name", FILLS)
def test_every_fill_works_on_a_smaller_picture(name: str) -> None:
    if name == "biharmonic":
        pytest.importorskip("skimage")
    rgb = np.full((*SIZE, 3), 90, np.uint8)
    rgb[:, 110:] = 150
    where = region(30)
    rgb[where.window][where.weight > 0] = 0
    filled = fill_region(Picture(rgb), where, name, **SMALL)
    assert filled.fill == name
    assert filled.rgb.shape == (*where.weight.shape, 3)
    inside = filled.rgb[where.weight > 0]
    assert inside.min() > 60
    assert inside.max() < 180


def test_a_scratch_is_filled_at_full_size() -> None:
    scratch = np.zeros(SIZE, bool)
    scratch[60:62, 5:225] = True
    where, rgb = Region.from_mask(scratch), weave()
    filled = fill_region(Picture(rgb), where, max_hole=20)
    whole = cv2.inpaint(rgb, scratch.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    assert filled.fill == "telea"
    np.testing.assert_array_equal(filled.rgb, whole[where.window])


def test_hidden_pixels_are_neither_copied_nor_dark() -> None:
    rgb = weave()
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:, :66] = 0
    rgb[alpha == 0] = 0  # as pictures are read
    where = region()  # it reaches into what is hidden
    filled = fill_region(Picture(rgb, alpha), where, **SMALL)
    shown = (where.weight > 0) & (filled.alpha > 0)
    assert filled.rgb[shown].mean() == pytest.approx(weave().mean(), rel=0.05)
    assert (filled.alpha[:, -2:][(where.weight > 0)[:, -2:]] > 240).all()


def test_transparency_goes_on_smoothly() -> None:
    alpha = np.broadcast_to(np.linspace(40, 240, SIZE[1]), SIZE).astype(np.uint8)
    where = region()
    filled = fill_region(Picture(weave(), alpha), where, **SMALL)
    assert np.abs(filled.alpha.astype(int) - alpha[where.window]).max() <= 3


def test_nothing_to_fill_from() -> None:
    everywhere = Region.whole(np.ones(SIZE, bool))
    with pytest.raises(PromptError, match="covers all of the picture"):
        fill_region(Picture(weave()), everywhere)
    almost = np.ones(SIZE, bool)
    almost[0, 0] = False
    filled = fill_region(Picture(np.full((*SIZE, 3), 70, np.uint8)), Region.whole(almost), **SMALL)
    assert (filled.rgb == 70).all()


def test_a_hole_is_not_filled_from_places_to_avoid_while_enough_is_left() -> None:
    rgb = np.full((*SIZE, 3), 90, np.uint8)
    rgb[:, 150:] = (200, 30, 30)  # a red wall, which runs into the hole from the right
    where = Region.from_mask(disc(30, SIZE, (80, 150)))
    wall = np.zeros(SIZE, np.bool_)
    wall[:, 150:] = True
    hole = where.weight > 0
    usual = fill_region(Picture(rgb), where).rgb[hole].astype(int)
    assert (usual[:, 0] - usual[:, 1] > 100).any()
    without = fill_region(Picture(rgb), where, avoid=wall).rgb[hole].astype(int)
    assert (without[:, 0] - without[:, 1] < 20).all()
    nearly_all = np.ones(SIZE, np.bool_)
    nearly_all[:5] = False
    again = fill_region(Picture(rgb), where, avoid=nearly_all).rgb[hole]
    np.testing.assert_array_equal(again, usual)
