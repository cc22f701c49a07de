"""Soft edges: opacity and colours of what was meant; blur at any width."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.edit_pictures import disc, noise

from lexiseg import edit
from lexiseg.edit.gaussian import gaussian_blur, gaussian_blur_around
from lexiseg.edit.matting import foreground, matte


def fuzzy(front: tuple[int, int, int], back: tuple[int, int, int], size=(80, 101)):
    """A disc with an edge 6 pixels wide: the picture, its true opacity, and a hard mask."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - 40, x - 50) - 24
    alpha = np.clip(0.5 - away / 6, 0, 1)
    rgb = alpha[..., None] * front + (1 - alpha[..., None]) * np.array(back)
    return np.rint(rgb).astype(np.uint8), alpha, alpha > 0.5


@pytest.mark.parametrize("edges", ["soft", pytest.param("closed-form", marks=pytest.mark.slow)])
def test_soft_edges_come_near_the_truth(edges: str) -> None:
    if edges == "closed-form":
        pytest.importorskip("pymatting")
    rgb, alpha, mask = fuzzy((200, 40, 30), (20, 60, 180))
    found = matte(rgb, mask, edges, band=6)
    assert np.abs(found - alpha).mean() < 0.5 * np.abs(mask - alpha).mean()
    assert (found[np.hypot(*np.mgrid[-40:40, -50:51]) < 15] == 1).all()
    assert (found[np.hypot(*np.mgrid[-40:40, -50:51]) > 33] == 0).all()


def test_cut_outs_hold_the_colour_of_the_thing_alone() -> None:
    front, back = (200, 40, 30), (20, 60, 180)
    rgb, alpha, _ = fuzzy(front, back)
    found = foreground(rgb, alpha.astype(np.float32))
    rim = (alpha > 0.2) & (alpha < 1)
    assert np.abs(found[rim].astype(int) - front).mean() < 6
    assert np.abs(rgb[rim].astype(int) - front).mean() > 30
    assert (found[alpha == 0] == 0).all()
    assert (found[alpha == 1] == rgb[alpha == 1]).all()


def test_a_cut_out_laid_on_another_ground_is_as_if_it_had_been_there() -> None:
    rgb, alpha, mask = fuzzy((200, 40, 30), (20, 60, 180))
    truth, _, _ = fuzzy((200, 40, 30), (240, 240, 100))
    cut = edit.cutout(rgb, mask, band=6, trim=False).rgba
    share = cut[..., 3:] / 255
    laid = np.rint(cut[..., :3] * share + np.array((240, 240, 100)) * (1 - share))
    naive = np.where(mask[..., None], rgb, (240, 240, 100))
    rim = (alpha > 0) & (alpha < 1)
    assert np.abs(laid[rim] - truth[rim]).mean() < 0.5 * np.abs(naive[rim] - truth[rim]).mean()
    over = edit.background(rgb, mask, "#f0f064", band=6).rgb
    assert np.abs(over.astype(int) - laid).max() <= 2


LARGE = (310, 523)  # of more than one tile


def test_opacity_is_that_of_the_guided_filter_on_the_whole_picture() -> None:
    rgb, mask, band = noise(LARGE), disc(110, LARGE, (150, 260)), 7
    opacity = matte(rgb, mask, band=band)
    whole = cv2.ximgproc.guidedFilter(rgb, mask.astype(np.float32), band, 1e-5 * 255**2)
    away = [
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (mask, ~mask)
    ]
    near = (away[0] + away[1]) < band - 0.5
    assert np.abs(opacity[near] - np.clip((whole[near] - 0.1) / 0.8, 0, 1)).max() < 1e-4
    far = (away[0] + away[1]) > band + 0.5
    assert (opacity[far] == mask[far]).all()


def test_colours_do_not_depend_on_where_the_tiles_lie() -> None:
    rgb, mask = noise(LARGE), disc(70, LARGE, (150, 260))
    opacity = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3)
    opacity[opacity < 1e-3] = 0
    part = slice(4, 301), slice(97, 423)  # as far around the edge as filters reach
    whole = foreground(rgb, opacity)[part]
    assert np.abs(whole.astype(int) - foreground(rgb[part], opacity[part])).max() <= 1


@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_a_few_pixels_are_seen(pixels: int) -> None:
    rgb = noise()
    mask = np.zeros(rgb.shape[:2], bool)
    mask[20, 30 : 30 + pixels] = True
    out = edit.cutout(rgb, mask).picture
    assert out.alpha is not None
    assert (out.alpha > 127).sum() >= pixels
    both = edit.cutout(rgb, mask | disc(7, at=(12, 12)), trim=False).picture
    assert both.alpha is not None
    assert (both.alpha[mask] == 255).all()


@pytest.mark.parametrize("radius", [1.5, 11.9, 13.0, 50.0])
@pytest.mark.parametrize(("kind", "tolerance"), [(np.uint8, 2.0), (np.uint16, 0.3)])
def test_a_blur_is_that_of_opencv(radius: float, kind: type, tolerance: float) -> None:
    """But for the edge of noise, where one row of pixels stands for all that lies beyond it."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (320, 441, 3)) * (np.iinfo(kind).max // 255)
    pixels[:, 210:] //= 8  # an edge to be blurred, between noise
    exact = cv2.GaussianBlur(pixels.astype(np.float64), (0, 0), radius)
    blurred = gaussian_blur(pixels.astype(kind), radius)
    assert blurred.dtype == kind
    inner = (slice(round(3 * radius), -round(3 * radius)),) * 2
    apart = np.abs(blurred[inner] - exact[inner]) * 255 / np.iinfo(kind).max
    assert apart.max() <= tolerance


@pytest.mark.parametrize("radius", [3.0, 30.0])
def test_a_blur_around_a_thing_is_a_weighted_mean(radius: float) -> None:
    size = (290, 331)
    rgb, front = noise(size), disc(40, size, (140, 160))
    opacity = cv2.GaussianBlur(front.astype(np.float32), (0, 0), 1.0)
    rgb[front] = (255, 0, 255)
    blurred = gaussian_blur_around(rgb, opacity, radius)
    share = 1 - opacity.astype(np.float64)
    total, weight = (
        cv2.GaussianBlur(one, (0, 0), radius) for one in (rgb * share[..., None], share)
    )
    shown = opacity < 0.5
    shown[:90] = shown[-90:] = shown[:, :90] = shown[:, -90:] = False
    assert np.abs(blurred - total / np.maximum(weight, 1e-4)[..., None])[shown].max() <= 2
