"""Filling holes: the smooth surface, the patches, and the fills of others behind one signature."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from lexiseg.edit.fills import FILLS, choose_fill, depth_of, membrane, patches
from lexiseg.edit.fills.exemplar import Exemplar
from lexiseg.edit.fills.exemplar import fill as exemplar
from lexiseg.edit.fills.patches import Level, PatchField
from lexiseg.metrics import psnr, texture_distance

SIZE = (48, 65)


def hole(radius: int = 9, size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - size[0] // 2) ** 2 + (x - size[1] // 2) ** 2 < radius**2


def checks(size: tuple[int, int] = SIZE) -> np.ndarray:
    """A chequered floor: squares of 4 pixels."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.where(((y // 4 + x // 4) % 2)[..., None], (220, 200, 90), (30, 60, 90)).astype(
        np.uint8
    )


# The smooth surface


def test_a_plane_is_its_own_membrane() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    plane = np.stack([2 * y - x, 0.5 * x + 7], -1)
    found = membrane(np.where(hole()[..., None], -99, plane), hole())
    assert np.abs(found - plane).max() < 0.2


def test_the_membrane_is_the_solution_of_the_equations() -> None:
    rng = np.random.default_rng(0)
    values = cv2.GaussianBlur(rng.uniform(0, 255, (*SIZE, 1)).astype(np.float32), (0, 0), 2)
    values = values.reshape(*SIZE, 1)
    inside = hole(12)
    number = np.full(SIZE, -1)
    number[inside] = np.arange(inside.sum())
    matrix = np.zeros((inside.sum(), inside.sum()))
    right = np.zeros(inside.sum())
    for i, (y, x) in enumerate(np.argwhere(inside)):
        matrix[i, i] = 4
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if inside[near]:
                matrix[i, number[near]] = -1
            else:
                right[i] += values[near][0]
    exact = np.linalg.solve(matrix, right)
    found = membrane(values, inside)[inside][:, 0]
    assert np.abs(found - exact).max() < 0.02 * (values.max() - values.min())


def test_a_membrane_without_anything_known() -> None:
    assert (membrane(np.ones((3, 5, 2), np.float32), np.ones((3, 5), bool)) == 0).all()
    values = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    assert (membrane(values, np.zeros((3, 5), bool)) == values).all()


# Patches


def test_voting_with_the_truth_gives_the_truth() -> None:
    """Centres that copy from a shift of one period repeat a periodic picture exactly."""
    rgb, inside = checks().astype(np.float32), hole(6)
    field = PatchField(Level(rgb, inside, ~inside), 5, np.random.default_rng(0))
    field.sources = field.centres + np.array((0, 16))
    field.measure(rgb)
    assert field.costs.max() < 1e-3
    for sharp in (False, True):
        voted, covered = field.vote(sharp=sharp)
        assert (covered[inside]).all()
        assert np.abs(voted[inside] - rgb[inside]).max() < 1e-3


def test_matching_only_gets_better_and_copies_from_known_patches() -> None:
    rng = np.random.default_rng(1)
    rgb, inside = checks().astype(np.float32), hole(7)
    field = PatchField(Level(rgb, inside, ~inside), 7, rng)
    field.measure(rgb)
    costs = [field.costs.copy()]
    for _ in range(4):
        field.search(rgb, rng, 4)
        costs.append(field.costs.copy())
    assert all((after <= before + 1e-3).all() for before, after in pairwise(costs))
    assert costs[-1].mean() < 0.2 * costs[0].mean()
    near = cv2.dilate(inside.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert not near[tuple(field.sources.T)].any()


def test_costs_are_squared_differences_of_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rgb = rng.uniform(0, 255, (*SIZE, 3)).astype(np.float32)
    inside = hole(4)
    field = PatchField(Level(rgb, inside, ~inside), 3, rng)
    field.measure(rgb)
    features = np.concatenate([rgb, 2 * slow_strength(rgb)], 2)  # twice: Newson et al. 2014
    (cy, cx), (fy, fx) = field.centres[5], field.sources[5]
    wanted = 0.0
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if (dy + dx) % 2 == 0:
                wanted += ((features[cy + dy, cx + dx] - features[fy + dy, fx + dx]) ** 2).sum()
    assert field.costs[5] == pytest.approx(wanted, rel=1e-5)
    monkeypatch.setattr(patches, "_MAX_SEARCHED", 0)  # as in large holes, which keep no copy
    kept = field.costs.copy()
    field.measure(rgb)
    np.testing.assert_allclose(field.costs, kept, rtol=1e-5)


def slow_strength(rgb: np.ndarray) -> np.ndarray:
    """How much grey changes down and across, (H, W, 2): means over 5x5 pixels, mirrored outside."""
    grey = np.pad(rgb.mean(2), 1, mode="reflect")
    down, across = grey[2:, 1:-1] - grey[:-2, 1:-1], grey[1:-1, 2:] - grey[1:-1, :-2]
    slopes = np.pad(np.abs(np.stack([down, across], 2)), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    moved = [slopes[y : y + len(rgb), x : x + rgb.shape[1]] for y in range(5) for x in range(5)]
    return np.mean(moved, 0)


# Fills


@pytest.mark.parametrize("name", FILLS)
def test_known_pixels_stay_and_the_hole_is_filled(name: str) -> None:
    if name == "biharmonic":
        pytest.importorskip("skimage")
    rgb = checks((40, 53))
    inside = hole(5, (40, 53))
    damaged = np.where(inside[..., None], np.uint8((255, 0, 255)), rgb)
    out = FILLS[name](damaged, inside)
    assert out.dtype == np.uint8
    assert (out[~inside] == rgb[~inside]).all()
    magenta = (out[inside].astype(int) - (255, 0, 255)).__abs__().sum(1) < 60
    assert not magenta.any()


def test_the_exemplar_goes_on_with_a_pattern() -> None:
    rgb = checks((64, 81))
    inside = hole(9, (64, 81))
    out = exemplar(np.where(inside[..., None], 0, rgb).astype(np.uint8), inside)
    smooth = FILLS["telea"](np.where(inside[..., None], 0, rgb).astype(np.uint8), inside)
    assert psnr(out, rgb, inside) > psnr(smooth, rgb, inside) + 3
    assert texture_distance(out, rgb, inside) < 0.5 * texture_distance(smooth, rgb, inside)


def test_the_exemplar_is_reproducible_by_seed() -> None:
    rng = np.random.default_rng(5)
    rgb = cv2.blur(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), (3, 3))
    one, again, other = (exemplar(rgb, hole(), Exemplar(seed=seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_the_exemplar_without_a_known_patch_is_smooth() -> None:
    rgb = np.full((6, 9, 3), 77, np.uint8)
    inside = np.ones((6, 9), bool)
    inside[0] = False
    out = exemplar(np.where(inside[..., None], 0, rgb).astype(np.uint8), inside)
    assert (out == 77).all()


def test_auto_chooses_by_depth() -> None:
    scratch = np.zeros(SIZE, bool)
    scratch[20:22, 5:60] = True
    assert depth_of(scratch) < 3 < depth_of(hole(6))
    assert choose_fill(scratch) == "telea"
    assert choose_fill(hole(6)) == "exemplar"


def test_biharmonic_is_scikit_images() -> None:
    restoration = pytest.importorskip("skimage.restoration")
    rgb = cv2.blur(np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8), (5, 5))
    inside = hole(3, (20, 31))
    expected = restoration.inpaint_biharmonic(rgb / 255, inside, channel_axis=2)
    found = FILLS["biharmonic"](rgb, inside)
    assert np.abs(found[inside] - 255 * expected[inside].clip(0, 1)).max() <= 0.5 + 1e-6


def test_the_middle_of_a_very_deep_hole_has_a_say_too() -> None:
    """Trust falls with depth, and must not fall to nothing."""
    rgb = np.full((700, 690, 3), 90, np.float32)
    inside = np.zeros((700, 690), bool)
    inside[20:-20, 20:-20] = True
    assert depth_of(inside) > 320
    field = PatchField(Level(rgb, inside, ~inside), 7, np.random.default_rng(0))
    field.costs[:] = 4.0
    voted, covered = field.vote(sharp=True)
    assert covered[inside].all()
    assert np.abs(voted[inside] - 90).max() < 1e-2
