"""The guided filter against a slow one, a place at a time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.stages.label_map import GuidedFilter

Floats = NDArray[np.floating]


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft colours with noise, never flat."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    soft = np.stack([np.sin(5 * x), np.cos(4 * y), np.sin(3 * (x + y))], -1) * 90 + 128
    return (soft + rng.normal(0, 20, (height, width, 3))).clip(0, 255).astype(np.uint8)


def inside(i: int, n: int) -> int:
    return min(max(i, 0), n - 1)


def slow_bilinear(plane: Floats, guide: GuidedFilter, y: int, x: int) -> Floats:
    """The value of a plane (h, w, ...) at a pixel's centre; the border's values reach outwards."""
    (height, width), (h, w) = guide.size_hw, plane.shape[:2]
    v = (y + 0.5) / height * guide.work_hw[0] / guide.cell - 0.5
    u = (x + 0.5) / width * guide.work_hw[1] / guide.cell - 0.5
    i, j = int(np.floor(v)), int(np.floor(u))
    fy, fx = v - i, u - j
    return (
        plane[inside(i, h), inside(j, w)] * (1 - fy) * (1 - fx)
        + plane[inside(i, h), inside(j + 1, w)] * (1 - fy) * fx
        + plane[inside(i + 1, h), inside(j, w)] * fy * (1 - fx)
        + plane[inside(i + 1, h), inside(j + 1, w)] * fy * fx
    )


def slow_guided(p: Floats, guide: GuidedFilter, work: NDArray[np.uint8]) -> Floats:
    """He and Sun 2015 with colours: (h, w) -> (H, W). work: the working picture."""
    (h, w), r, cell = p.shape, guide.radius, guide.cell
    colour = np.zeros((h, w, 3))
    for i in range(h):
        for j in range(w):
            rows = [inside(i * cell + k, len(work)) for k in range(cell)]
            columns = [inside(j * cell + k, work.shape[1]) for k in range(cell)]
            colour[i, j] = work[np.ix_(rows, columns)].astype(float).mean((0, 1)) / 255
    fits = np.zeros((h, w, 4))
    for i in range(h):
        for j in range(w):
            near = [
                (inside(i + a, h), inside(j + b, w))
                for a in range(-r, r + 1)
                for b in range(-r, r + 1)
            ]
            colours = np.array([colour[n] for n in near])
            values = np.array([p[n] for n in near])
            covariance = np.cov(colours.T, bias=True) + guide.epsilon * np.eye(3)
            cross = (colours * values[:, None]).mean(0) - colours.mean(0) * values.mean()
            slope = np.linalg.solve(covariance, cross)
            fits[i, j] = *slope, values.mean() - slope @ colours.mean(0)
    means = np.zeros((h, w, 4))
    for i in range(h):
        for j in range(w):
            for a in range(-r, r + 1):
                for b in range(-r, r + 1):
                    means[i, j] += fits[inside(i + a, h), inside(j + b, w)] / (2 * r + 1) ** 2
    height, width = guide.size_hw
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            *slope, constant = slow_bilinear(means, guide, y, x)
            out[y, x] = np.dot(slope, guide.rgb[y, x] / 255) + constant
    return out


def run(
    guide: GuidedFilter, maps: Floats, window: tuple[int, int, int, int] | None = None
) -> Floats:
    fitted = guide.fit(np.asarray(maps, np.float32))
    return np.stack([p.copy() for p in guide.apply(fitted, window or (0, 0, *guide.size_hw))])


# The picture's size, and the grid: whole cells, cells over the border, fewer pixels than cells.
SHAPES = [((24, 36), 4), ((22, 35), 4), ((9, 14), 1), ((5, 7), 2), ((1, 1), 1), ((1, 23), 4)]


@pytest.mark.parametrize(("size_hw", "cell"), SHAPES)
def test_radius_0_enlarges_bilinearly(size_hw: tuple[int, int], cell: int) -> None:
    h, w = (-(-side // cell) for side in size_hw)
    maps = np.random.default_rng(1).random((2, h, w))
    guide = GuidedFilter(photo(*size_hw), size_hw, cell, 0, 1e-3)
    out = run(guide, maps)
    assert out.shape == (2, *size_hw)
    assert out.dtype == np.float32
    for k in range(2):
        for y in range(size_hw[0]):
            for x in range(size_hw[1]):
                assert out[k, y, x] == pytest.approx(slow_bilinear(maps[k], guide, y, x), abs=1e-4)


@pytest.mark.parametrize(("size_hw", "cell"), SHAPES)
@pytest.mark.parametrize(("radius", "epsilon"), [(1, 1e-3), (2, 1e-4)])
def test_guided_equals_the_slow_filter(
    size_hw: tuple[int, int], cell: int, radius: int, epsilon: float
) -> None:
    # The picture at its own size: the cells' colours can be worked out slowly.
    rgb = photo(*size_hw)
    h, w = (-(-side // cell) for side in size_hw)
    maps = np.random.default_rng(2).random((2, h, w))
    guide = GuidedFilter(rgb, size_hw, cell, radius, epsilon)
    out = run(guide, maps)
    for k in range(2):
        np.testing.assert_allclose(out[k], slow_guided(maps[k], guide, rgb), atol=2e-3)


def test_guided_equals_the_slow_filter_on_a_scaled_picture() -> None:
    from lexiseg.imaging import resize_image

    rgb = photo(31, 53)
    guide = GuidedFilter(rgb, (14, 24), 4, 1, 1e-3)  # cells of 2 rows less than whole
    p = np.random.default_rng(3).random((1, 4, 6))
    expected = slow_guided(p[0], guide, resize_image(rgb, (14, 24)))
    np.testing.assert_allclose(run(guide, p)[0], expected, atol=2e-3)


@pytest.mark.parametrize("radius", [0, 2])
def test_a_window_is_part_of_the_whole(radius: int) -> None:
    guide = GuidedFilter(photo(41, 26), (20, 13), 4, radius, 1e-3)
    maps = np.random.default_rng(4).random((3, 5, 4))
    whole = run(guide, maps)
    for window in ((0, 0, 1, 1), (0, 5, 7, 26), (6, 0, 19, 3), (40, 25, 41, 26)):
        y0, x0, y1, x1 = window
        part = run(guide, maps, window)
        np.testing.assert_allclose(part, whole[:, y0:y1, x0:x1], atol=1e-5)


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_reach_is_how_far_a_place_is_felt(radius: int) -> None:
    guide = GuidedFilter(photo(24, 44), (24, 44), 1, radius, 1e-3)
    maps = np.zeros((2, 24, 44))
    maps[1, 12, 20] = 1
    without, with_it = run(guide, maps)
    rows, columns = np.nonzero(np.abs(with_it - without) > 1e-7)
    assert max(abs(rows - 12).max(), abs(columns - 20).max()) <= guide.reach


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_a_constant_stays_and_probabilities_still_sum_to_one(radius: int) -> None:
    guide = GuidedFilter(photo(33, 47), (33, 47), 4, radius, 1e-3)
    maps = np.random.default_rng(5).dirichlet([1, 1, 1], (9, 12)).transpose(2, 0, 1)
    np.testing.assert_allclose(run(guide, maps).sum(0), 1, atol=1e-3)
    np.testing.assert_allclose(run(guide, np.full((1, 9, 12), 0.4)), 0.4, atol=1e-4)


def test_a_boundary_of_the_picture_becomes_the_boundary_of_the_map() -> None:
    # The colour changes at column 35, within a cell; the map knows it to a cell only.
    rgb = np.full((40, 64, 3), 30, np.uint8)
    rgb[:, 35:] = (200, 180, 90)
    p = np.zeros((1, 10, 16))
    p[:, :, 9:] = 1  # columns 36 on
    guided = run(GuidedFilter(rgb, (40, 64), 4, 2, 1e-3), p)[0]
    plain = run(GuidedFilter(rgb, (40, 64), 4, 0, 1e-3), p)[0]
    truth = np.arange(64) >= 35
    assert ((guided > 0.5) == truth).all()
    assert ((plain > 0.5) != truth).any()
    assert (guided[:, 35] - guided[:, 34]).min() > 0.6
    assert (plain[:, 35] - plain[:, 34]).max() < 0.3


def test_flat_colour_changes_nothing_but_smoothness() -> None:
    rgb = np.full((24, 36, 3), 77, np.uint8)
    maps = np.random.default_rng(6).random((1, 6, 9))
    out = run(GuidedFilter(rgb, (24, 36), 4, 1, 1e-3), maps)
    assert maps.min() <= out.min()
    assert out.max() <= maps.max()
