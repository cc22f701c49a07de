"""Colours by name, in linear light and moved towards others; pictures that are fitted in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.edit_pictures import SIZE, disc, noise

from lexiseg.edit.colour import (
    from_linear,
    is_colour,
    parse_colour,
    to_linear,
    transfer_colours,
)
from lexiseg.edit.fit_picture import contain, cover, poisson_blend
from lexiseg.edit.region import Region
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture


def test_colours() -> None:
    assert parse_colour("teal") == (0, 128, 128)
    assert parse_colour("#f80") == (255, 136, 0)
    assert not is_colour("sunset.jpg")
    with pytest.raises(OptionError, match="transparent"):
        parse_colour("#11223344")


def test_linear_light_there_and_back() -> None:
    all_values = np.arange(256, dtype=np.uint8)
    assert (from_linear(to_linear(all_values), np.dtype(np.uint8)) == all_values).all()
    assert to_linear(np.array([188], np.uint8))[0] == pytest.approx(0.5029, abs=1e-4)
    deep = np.arange(0, 65536, 37, dtype=np.uint16)
    assert (from_linear(to_linear(deep), np.dtype(np.uint16)) == deep).all()


def test_colours_take_mean_and_spread_of_others() -> None:
    new, old = noise(seed=1), (noise(seed=2) // 3 + 120).astype(np.uint8)
    flat = np.ones(SIZE, np.float32)
    moved = transfer_colours(new, flat, old, flat, 1.0)
    to_lab = lambda rgb: cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)  # noqa: E731
    before, after, wanted = (to_lab(one).reshape(-1, 3).mean(0) for one in (new, moved, old))
    assert np.abs(after - wanted).max() < 0.15 * np.abs(before - wanted).max()
    assert (transfer_colours(new, flat, old, flat, 0) == new).all()


def test_a_picture_covers_the_region_in_its_proportions() -> None:
    other = np.zeros((20, 60, 3), np.uint8)
    other[:, 20:40] = 200
    found = cover(Picture(other), (30, 30))
    assert found.shape == (30, 30, 4)
    # The middle third, at one and a half the size; cubic interpolation rings at its edges.
    assert (found[:, 3:-3, 0] == 200).all()


def test_a_cut_out_stands_at_the_bottom() -> None:
    other = Picture(np.full((10, 10, 3), 50, np.uint8), np.full((10, 10), 255, np.uint8))
    found = contain(other, (20, 10))
    assert (found[:10, :, 3] == 0).all()
    assert (found[10:, :, 3] == 255).all()
    assert (found[10:, :, :3] == 50).all()


def test_hidden_colours_do_not_bleed_when_scaled() -> None:
    rgb = np.full((40, 40, 3), (255, 0, 0), np.uint8)
    rgb[:, 20:] = (0, 0, 255)
    alpha = np.where(np.arange(40)[None] < 20, 255, 0).repeat(40, 0).astype(np.uint8)
    found = cover(Picture(rgb, alpha), (13, 13))
    seen = found[..., 3] > 0
    assert (found[seen][:, 0] >= 250).all()
    assert (found[seen][:, 2] <= 5).all()


def test_poisson_blending_is_opencvs() -> None:
    """Without fading, the blend is what cv2.seamlessClone gives."""
    size = (60, 74)
    old, new = noise(size, 3) // 2 + 60, noise(size, 4) // 3 + 20
    old, new = (cv2.GaussianBlur(one.astype(np.uint8), (0, 0), 2) for one in (old, new))
    inner = disc(16, size, (30, 37))
    where = Region((0, 0, size[1], size[0]), inner.astype(np.float32), inner)
    mine = poisson_blend(new, old, where, 1.0)
    # It erodes the mask by three pixels before it solves.
    mask = cv2.dilate(inner.astype(np.uint8) * 255, np.ones((7, 7), np.uint8))
    ys, xs = np.nonzero(mask)
    centre = ((xs.min() + xs.max() + 1) // 2, (ys.min() + ys.max() + 1) // 2)
    theirs = cv2.seamlessClone(new, old, mask, centre, cv2.NORMAL_CLONE)
    core = cv2.erode(inner.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    apart = np.abs(mine[core].astype(int) - theirs[core])
    assert np.median(apart) <= 2
    plain = np.abs(new[core].astype(int) - theirs[core])
    assert apart.mean() < 0.1 * plain.mean()
