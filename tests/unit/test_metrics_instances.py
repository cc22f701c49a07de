"""Average precision and recall of instances against a slow definition."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.errors import InputError
from lexiseg.masks import Masks
from lexiseg.metrics import InstanceMetrics

SIZE = (120, 150)
Boxes = list[tuple[int, int, int, int]]

# Photo -> (class, score, box) found, (class, box) true. Class 2 has no instance; 3 is only found.
PHOTOS: list[tuple[list, list]] = [
    (
        [(0, 0.9, (0, 0, 40, 40)), (0, 0.8, (5, 5, 45, 44)), (1, 0.7, (60, 60, 80, 100))],
        [(0, (2, 1, 41, 42)), (1, (60, 62, 80, 98)), (1, (100, 10, 120, 30))],
    ),
    (
        [(1, 0.95, (10, 10, 20, 20)), (1, 0.3, (50, 50, 61, 72)), (3, 0.6, (0, 0, 9, 9))],
        [(1, (50, 50, 60, 70)), (0, (90, 90, 149, 119))],
    ),
    ([(0, 0.85, (1, 1, 101, 111))], [(0, (1, 1, 101, 101))]),
    ([], []),
]
CLASSES = 4
LIMITS = np.linspace(0.5, 0.95, 10)


def masks(boxes: Boxes) -> Masks:
    dense = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def iou(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    wide = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def slow(kinds: list[int] | None, most: int, limit: float) -> tuple[float, float]:
    """AP and recall at one IoU, of one class or (None) of everything as one."""
    found, count = [], 0
    for pred, truth in PHOTOS:
        ours = sorted((p for p in pred if kinds is None or p[0] in kinds), key=lambda p: -p[1])
        theirs = [t for t in truth if kinds is None or t[0] in kinds]
        count += len(theirs)
        free = set(range(len(theirs)))
        for _, score, box in ours[:most]:
            best = max(free, key=lambda i: iou(box, theirs[i][1]), default=None)
            hit = best is not None and iou(box, theirs[best][1]) >= limit
            if hit:
                free.remove(best)
            found.append((score, hit))
    if not count:
        return np.nan, np.nan
    hits = np.cumsum([hit for _, hit in sorted(found, key=lambda f: -f[0])])
    recall, precision = hits / count, hits / np.arange(1, len(hits) + 1)
    points = []
    for r in np.linspace(0, 1, 101):
        reached = precision[recall >= r - 1e-12]
        points.append(reached.max() if len(reached) else 0.0)
    return float(np.mean(points)), float(recall[-1]) if len(recall) else 0.0


@pytest.fixture(scope="module")
def metrics() -> InstanceMetrics:
    made = InstanceMetrics(CLASSES)
    for pred, truth in PHOTOS:
        made.add(
            masks([box for _, _, box in pred]),
            [kind for kind, _, _ in pred],
            [score for _, score, _ in pred],
            masks([box for _, box in truth]),
            [kind for kind, _ in truth],
        )
    return made


def test_against_the_slow_way(metrics: InstanceMetrics) -> None:
    got = metrics.compute()
    by_class = [np.mean([slow([k], 100, limit)[0] for limit in LIMITS]) for k in range(CLASSES)]
    np.testing.assert_allclose(got.by_class, by_class, rtol=0, atol=1e-9)
    assert np.isnan(by_class[2:]).all()
    assert got.ap == pytest.approx(np.nanmean(by_class), abs=1e-9)
    for value, limit in ((got.ap50, 0.5), (got.ap75, 0.75)):
        want = np.mean([slow([k], 100, limit)[0] for k in (0, 1)])
        assert value == pytest.approx(want, abs=1e-9)
    for value, most in ((got.ar1, 1), (got.ar10, 10), (got.ar100, 100)):
        want = np.mean([slow([k], most, limit)[1] for k in (0, 1) for limit in LIMITS])
        assert value == pytest.approx(want, abs=1e-9)
    want = np.mean([slow(None, 10, limit)[1] for limit in LIMITS])
    assert got.proposal_recall == pytest.approx((want, want, want), abs=1e-9)
    assert (got.photos, got.instances) == (4, 6)
    assert 0 <= got.ap < got.ap50 <= 1


def test_a_crowd_is_neither_right_nor_wrong() -> None:
    whole, part = (10, 10, 90, 90), (12, 12, 40, 40)
    scores = []
    for crowd in (None, [False, True]):
        metrics = InstanceMetrics(1)
        truth = masks([(100, 100, 140, 118), whole])
        found = masks([part, (100, 100, 140, 118)])
        metrics.add(found, [0, 0], [0.9, 0.8], truth, [0, 0], crowd)
        scores.append(metrics.compute())
    assert scores[1].ap == pytest.approx(1)
    assert scores[0].ap < 0.5
    assert [one.instances for one in scores] == [2, 1]


def test_nothing_true_has_no_score() -> None:
    metrics = InstanceMetrics(2)
    metrics.add(masks([(0, 0, 5, 5)]), [1], [0.5], masks([]), [])
    got = metrics.compute()
    assert np.isnan([got.ap, got.ar100, *got.by_class, *got.proposal_recall]).all()
    assert got.photos == 1
    with pytest.raises(InputError, match="give each one of 0 to 1"):
        metrics.add(masks([(0, 0, 5, 5)]), [2], [0.5], masks([]), [])
