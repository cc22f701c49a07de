"""Replaced skies: nothing of the old one in foliage, nothing new where there was none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from benchmarks.rows.matting import coarse_mask
from numpy.typing import NDArray

from lexiseg import edit
from lexiseg.errors import OptionError, UnknownName

SIZE = (176, 240)
BARE = {"match": 0, "bleed": 0}  # colours as they come in, so that the truth is known


def blobs(seed: int, sigma: float, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Smooth noise, (H, W), of mean 0 and standard deviation 1."""
    noise = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> NDArray[np.float64]:
    down = np.linspace(0, 1, SIZE[0])[:, None, None]
    return np.broadcast_to((1 - down) * top + down * np.array(bottom), (*SIZE, 3))


def foliage(seed: int) -> NDArray[np.float64]:
    """How much of each pixel is sky, (H, W) in [0, 1], above trees with leaves and holes.

    Drawn at four times the size, so that leaves cover pixels in part.
    """
    fine = (4 * SIZE[0], 4 * SIZE[1])
    height = np.linspace(-5, 5, fine[0])[:, None] + blobs(seed, 60, fine)
    leaves = height + 1.2 * blobs(seed + 1, 7, fine) > 0
    clear = 255 * (~leaves).astype(np.uint8)
    return cv2.resize(clear, SIZE[::-1], interpolation=cv2.INTER_AREA) / 255.0


@pytest.mark.parametrize("seed", [1, 4])
def test_old_sky_does_not_stay_in_foliage(seed: int) -> None:
    share = foliage(seed)[..., None]
    leaves = np.array((30, 60, 25)) + 12 * blobs(seed + 2, 1.5)[..., None]
    old = sky((120, 170, 230), (215, 228, 240)) + 1.5 * blobs(seed + 3, 0.8)[..., None]
    new = np.full((*SIZE, 3), (250, 120, 60), np.uint8)
    rgb = np.rint(np.clip(share * old + (1 - share) * leaves, 0, 255)).astype(np.uint8)
    truth = np.rint(share * new + (1 - share) * np.clip(leaves, 0, 255))
    mask = coarse_mask(share[..., 0])

    def error(edges: str) -> float:
        out = edit.replace(rgb, mask, new, edges=edges, **BARE).rgb
        return float(np.abs(out - truth).mean())

    assert error("soft") < 0.5 * error("hard")


def test_a_sky_does_not_run_into_the_sea() -> None:
    horizon, band = 90, 6
    rgb = np.rint(sky((120, 165, 215), (165, 195, 225))).astype(np.uint8)
    sea = np.array((118, 152, 190)) + 5 * blobs(0, 1.5)[..., None]
    rgb[horizon:] = np.rint(np.clip(sea, 0, 255))[horizon:]
    mask = np.zeros(SIZE, np.bool_)
    mask[: horizon + 1] = True  # a line too much, as maps have it
    mask[horizon - 3 :, 60:90] = False  # and some too little
    new = np.full((*SIZE, 3), (250, 120, 60), np.uint8)
    out = edit.replace(rgb, mask, new, match=0, band=band).rgb.astype(int)
    changed = (out != rgb).any(-1)
    assert not changed[horizon + 1 + band :].any()
    below = np.abs(out - rgb).max(-1)[horizon + 1 :]
    assert below[:band].mean() <= 12  # of 125 or so, were it replaced
    assert below[band // 2 :].max() <= 12
    assert (out[: horizon - 8] == (250, 120, 60)).all()
    assert np.abs(out[horizon - 2, 65:85] - (250, 120, 60)).max() <= 12


def test_edges_are_soft_for_grounds_alone() -> None:
    rgb = np.rint(sky((120, 165, 215), (165, 195, 225))).astype(np.uint8)
    new = np.full((*SIZE, 3), 30, np.uint8)
    top, inside = np.zeros((2, *SIZE), np.bool_)
    top[:70], inside[20:90, 20:200] = True, True
    for mask, edges in ((top, "soft"), (inside, "hard")):
        usual = edit.replace(rgb, mask, new).rgb
        bleed = {"soft": 0, "hard": 0.3}[edges]
        assert (usual == edit.replace(rgb, mask, new, edges=edges, bleed=bleed).rgb).all()
    by_width = edit.replace(rgb, top, new, blur=3).rgb
    assert (by_width == edit.replace(rgb, top, new, edges="hard").rgb).all()
    covered = edit.replace(rgb, top, "black").rgb
    assert (covered[:70] == 0).all()
    with pytest.raises(OptionError, match="blur is of hard edges"):
        edit.replace(rgb, top, new, edges="soft", blur=3)
    with pytest.raises(UnknownName, match="kind of edges"):
        edit.replace(rgb, top, new, edges="sof")
