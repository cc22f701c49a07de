"""Regions and points, against code that walks from pixel to pixel, on many random maps."""

from __future__ import annotations

import sys
from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.stages.mask_prompting import PointPrompts, Regions, find_regions, plan_points

Labels = NDArray[np.int16]
Scores = NDArray[np.float32]


def random_map(seed: int) -> tuple[Labels, Scores, int]:
    """Blobs of a few words with holes, on a small picture that is not square."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 22, 2)
    words = int(rng.integers(1, 5))
    coarse = rng.integers(-1, words, (height // 3 + 1, width // 3 + 1))
    labels = np.kron(coarse, np.ones((3, 3), int))[:height, :width].astype(np.int16)
    speckle = rng.random(labels.shape) < 0.15
    labels[speckle] = rng.integers(-1, words, speckle.sum())
    return labels, rng.random(labels.shape).astype(np.float32), words


def walked(
    labels: Labels, scores: Scores, words: int, threshold: float, least: int
) -> list[tuple[int, set[tuple[int, int]]]]:
    """Regions as (word, pixels), found by walking from each pixel to its eight neighbours."""
    height, width = labels.shape
    seen: set[tuple[int, int]] = set()
    out = []
    for word in range(words):
        for start in np.ndindex(height, width):
            if start in seen or labels[start] != word or scores[start] < threshold:
                continue
            region, queue = {start}, deque([start])
            while queue:
                y, x = queue.popleft()
                for near in ((y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)):
                    inside = 0 <= near[0] < height and 0 <= near[1] < width
                    if not inside or near in region or labels[near] != word:
                        continue
                    if scores[near] >= threshold:
                        region.add(near)
                        queue.append(near)
            seen |= region
            if len(region) >= least:
                out.append((word, region))
    return out


def slow_depth(
    region: set[tuple[int, int]], shape: tuple[int, ...]
) -> dict[tuple[int, int], float]:
    """Each pixel's distance to the nearest pixel outside, with one ring around the picture."""
    rest = [
        (y, x)
        for y in range(-1, shape[0] + 1)
        for x in range(-1, shape[1] + 1)
        if (y, x) not in region
    ]
    places = np.array(rest)
    return {p: float(np.hypot(*(places - p).T).min()) for p in region}


@pytest.mark.parametrize("batch", range(4))
def test_regions_are_those_that_a_walk_finds(batch: int) -> None:
    for seed in range(batch * 50, batch * 50 + 50):
        labels, scores, words = random_map(seed)
        threshold, least = (0.0, 0.2, 0.4)[seed % 3], 1 + seed % 5
        found = find_regions(labels, scores, words, threshold=threshold, min_area=least)
        expected = walked(labels, scores, words, threshold, least)
        assert len(found) == len(expected)
        got = {
            (int(found.word[r]), frozenset(map(tuple, np.argwhere(found.number == r).tolist())))
            for r in range(len(found))
        }
        assert got == {(word, frozenset(region)) for word, region in expected}
        assert found.area.tolist() == [int((found.number == r).sum()) for r in range(len(found))]
        for r in range(len(found)):
            pixels = {(int(y), int(x)) for y, x in np.argwhere(found.number == r)}
            assert found.best[r] == max(scores[p] for p in pixels)
            if seed % 5 == 0:
                for place, far in slow_depth(pixels, labels.shape).items():
                    assert found.depth[place] == pytest.approx(far, abs=1e-3)


@pytest.mark.parametrize("peak", [False, True])
def test_points_are_where_the_slow_way_puts_them(peak: bool) -> None:
    several = 0
    for seed in range(25):
        labels, scores, words = random_map(seed)
        found = find_regions(labels, scores, words, threshold=0.1, min_area=2)
        plan = plan_points(found, scores, points=3, negatives=2, peak=peak)
        several += len(plan) > len(found)
        expected = slow_plan(found, scores, peak)
        assert [
            (int(r), *p) for r, p in zip(plan.region, plan.points_xy.tolist(), strict=True)
        ] == (expected)
        check_negatives(plan, found)
    assert several > 5  # further points do happen


@pytest.mark.parametrize("side", [1, 5, 12])
def test_a_grid_asks_wherever_it_meets_a_region(side: int) -> None:
    met = 0
    for seed in range(25):
        labels, scores, words = random_map(seed)
        found = find_regions(labels, scores, words, threshold=0.1, min_area=2)
        few = plan_points(found, scores, points=2)
        many = plan_points(found, scores, points=2, side=side)
        height, width = labels.shape
        wanted = {
            (int(found.number[y, x]), x, y)
            for y in {int((i + 0.5) / side * height) for i in range(side)}
            for x in {int((i + 0.5) / side * width) for i in range(side)}
            if found.number[y, x] >= 0
        }
        met += len(wanted)
        for plan, more in ((few, set()), (many, wanted)):
            places = zip(plan.region.tolist(), *plan.points_xy.T.tolist(), strict=True)
            listed = list(places)
            assert listed == sorted(listed, key=lambda one: one[0])
            if plan is few:
                first = set(listed)
            assert set(listed) == first | more
        assert len(many) == len(few) + len(wanted)
    assert met > 10


def slow_plan(found: Regions, scores: Scores, peak: bool) -> list[tuple[int, int, int]]:
    out = []
    for r in range(len(found)):
        pixels = [(int(y), int(x)) for y, x in np.argwhere(found.number == r)]
        depth = {p: float(found.depth[p]) for p in pixels}
        room = max(depth.values())
        value = {
            p: (float(scores[p]) if depth[p] >= 0.5 * np.float32(room) else -1.0)
            if peak
            else depth[p]
            for p in pixels
        }
        chosen = [max(pixels, key=lambda p: value[p])]
        while len(chosen) < 3:
            free = {
                p: min(depth[p], *(float(np.float32(np.hypot(p[0] - c[0], p[1] - c[1]))) / 2
                                   for c in chosen))
                for p in pixels
            }  # fmt: skip
            best = max(pixels, key=lambda p: free[p])
            if free[best] < 0.5 * room:
                break
            chosen.append(best)
        out += [(r, x, y) for y, x in chosen]
    return out


def check_negatives(plan: PointPrompts, found: Regions) -> None:
    firsts = {}
    for place, region in zip(plan.points_xy.tolist(), plan.region.tolist(), strict=True):
        firsts.setdefault(region, place)
    for i, region in enumerate(plan.region.tolist()):
        others = [p for r, p in firsts.items() if found.word[r] != found.word[region]]
        far = sorted(float(np.hypot(*(plan.points_xy[i] - p))) for p in others)[:2]
        given = plan.negatives_xy[i][plan.negatives[i]]
        assert [float(np.hypot(*(plan.points_xy[i] - p))) for p in given] == far


def test_the_point_of_a_curved_region_lies_inside_it() -> None:
    y, x = np.mgrid[:60, :80]
    ring = np.hypot(y - 30, x - 40)
    labels = np.where((ring > 18) & (ring < 26) & (x > 20), 0, -1).astype(np.int16)
    found = find_regions(labels, np.ones(labels.shape, np.float32), 1, threshold=0.5, min_area=1)
    (centre,) = [np.argwhere(found.number == 0).mean(0).round().astype(int)]
    assert labels[tuple(centre)] == -1  # where a centroid would ask
    plan = plan_points(found, np.ones(labels.shape, np.float32), points=4)
    assert len(plan) == 4
    assert (labels[plan.points_xy[:, 1], plan.points_xy[:, 0]] == 0).all()
    gaps = np.hypot(*(plan.points_xy[:, None] - plan.points_xy[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(4, dtype=bool)].min() > 8  # spread, not beside each other


def test_a_compact_region_gets_one_point_and_two_that_touch_get_two() -> None:
    y, x = np.mgrid[:50, :110]
    one = np.hypot(y - 25, x - 30) < 20
    two = one | (np.hypot(y - 25, x - 68) < 20)
    ones = np.ones(one.shape, np.float32)
    for shape, expected in ((one, [[30, 25]]), (two, [[30, 25], [68, 25]])):
        labels = np.where(shape, 0, -1).astype(np.int16)
        found = find_regions(labels, ones, 1, threshold=0, min_area=1)
        plan = plan_points(found, ones, points=3)
        assert len(plan) == len(expected)
        np.testing.assert_allclose(plan.points_xy, expected, atol=1)


def test_points_of_a_region_are_as_far_apart_as_asked() -> None:
    y, x = np.mgrid[:30, :110]
    found = find_regions(
        np.where((abs(y - 14) < 8) & (abs(x - 54) < 50), 0, -1).astype(np.int16),
        np.ones(y.shape, np.float32), 1, threshold=0, min_area=1,
    )  # fmt: skip
    for apart, count in ((0, 5), (20, 5), (35, 3), (70, 2), (200, 1)):
        plan = plan_points(found, np.ones(y.shape, np.float32), points=5, apart=apart)
        steps = plan.points_xy[:, None] - plan.points_xy[None]
        gaps = np.hypot(*steps.transpose(2, 0, 1))[~np.eye(len(plan), dtype=bool)]
        assert (gaps >= apart).all()
        assert len(plan) == count


def test_nothing_gives_no_point() -> None:
    labels = np.full((7, 9), -1, np.int16)
    found = find_regions(labels, np.ones((7, 9), np.float32), 3, threshold=0, min_area=1)
    plan = plan_points(found, np.ones((7, 9), np.float32), points=2, negatives=2)
    assert len(found) == len(plan) == 0
    assert plan.negatives_xy.shape == (0, 0, 2)


def test_work_grows_with_pixels_and_not_with_regions() -> None:
    """Six regions or 15,000: nothing is called once a region, and arrays are the picture's size."""

    def calls(block: int) -> tuple[int, int]:
        rows, columns = np.indices((200 // block, 300 // block))
        squares = rows % 2 * 2 + columns % 2  # neighbours, also diagonal ones, hold other words
        labels = np.kron(squares, np.ones((block, block), int)).astype(np.int16)
        scores = np.ones(labels.shape, np.float32)
        counted = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            found = find_regions(labels, scores, 4, threshold=0, min_area=1)
            plan_points(found, scores, points=2)
        finally:
            sys.setprofile(None)
        return len(found), counted

    calls(100)  # what is imported at first
    few, many = calls(100), calls(2)
    assert (few[0], many[0]) == (6, 15_000)
    assert many[1] == few[1]
