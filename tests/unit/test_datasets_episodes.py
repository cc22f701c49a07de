"""Few-shot episodes: the rules in which the protocols differ, by hand and by slow, obvious code."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lexiseg.datasets.episodes import (
    MIN_AREA,
    fold_classes,
    hsnet_coco_episodes,
    hsnet_fss_episodes,
    hsnet_pascal_episodes,
    pfenet_episodes,
)
from lexiseg.errors import InputError


def test_folds_are_contiguous_or_interleaved() -> None:
    assert fold_classes(2, 20, interleaved=False) == (10, 11, 12, 13, 14)
    assert fold_classes(1, 80, interleaved=True)[:3] == (1, 5, 9)
    assert fold_classes(1, 80, interleaved=False) == tuple(range(20, 40))
    for interleaved in (False, True):
        folds = [fold_classes(fold, 80, interleaved=interleaved) for fold in range(4)]
        assert sorted(c for fold in folds for c in fold) == list(range(80))
        assert {len(fold) for fold in folds} == {20}
    with pytest.raises(InputError, match="fold 4 is none of the four"):
        fold_classes(4, 20, interleaved=False)


ENTRIES = [("a", 0), ("b", 1), ("c", 0), ("d", 1), ("e", 0)]


def test_hsnet_takes_pascals_queries_in_the_lists_order_and_the_first_again() -> None:
    drawn = hsnet_pascal_episodes(ENTRIES, count=12, shots=3)
    assert [(one.query, one.class_id) for one in drawn] == (ENTRIES * 3)[:12]
    by_class = {0: {"a", "c", "e"}, 1: {"b", "d"}}
    for one in drawn:
        assert len(one.supports) == 3
        assert set(one.supports) <= by_class[one.class_id] - {one.query}
    # Supports may be the same: class 1 has but one photo beside the query.
    assert drawn[1].supports == ("d", "d", "d")
    assert len(hsnet_pascal_episodes(ENTRIES)) == 1000


def test_hsnet_draws_with_numpys_old_generator() -> None:
    by_class = {0: ["a", "b", "c"], 4: ["d", "e"]}
    drawn = hsnet_coco_episodes(by_class, (0, 4), seed=3, count=20)
    draw = np.random.RandomState(3)
    for one in drawn:
        class_id = draw.choice([0, 4], 1, replace=False)[0]
        query = support = draw.choice(by_class[class_id], 1, replace=False)[0]
        while support == query:
            support = draw.choice(by_class[class_id], 1, replace=False)[0]
        assert (one.class_id, one.query, one.supports) == (class_id, query, (support,))
    assert hsnet_coco_episodes(by_class, (0, 4), seed=3, count=20) == drawn
    assert hsnet_coco_episodes(by_class, (0, 4), seed=4, count=20) != drawn


def test_hsnet_queries_every_photo_of_fss_in_the_order_of_file_names() -> None:
    photos = [f"bus/{number}" for number in range(1, 11)]
    drawn = hsnet_fss_episodes([(760, photos)])
    assert [one.query.removeprefix("bus/") for one in drawn] == ["1", "10", *"23456789"]
    assert all(one.query not in one.supports and one.class_id == 760 for one in drawn)


AREAS = [
    ("a", {0: MIN_AREA, 1: 5}),
    ("b", {0: MIN_AREA - 1, 1: MIN_AREA}),
    ("small", {0: MIN_AREA - 1, 1: 10}),  # no class is large enough
    ("c", {0: MIN_AREA, 1: MIN_AREA}),
    ("d", {0: 3 * MIN_AREA, 7: MIN_AREA}),  # 7 is of another fold
    ("other", {7: 9 * MIN_AREA}),
    ("e", {1: MIN_AREA}),
]


def test_pfenet_leaves_out_photos_of_small_things_but_asks_for_small_ones_beside() -> None:
    drawn = pfenet_episodes(AREAS, (0, 1), count=500, shots=2)
    assert [one.query for one in drawn[:5]] == ["a", "b", "c", "d", "e"]
    assert drawn[5].query == "a"  # again and again
    large = {0: {"a", "c", "d"}, 1: {"b", "c", "e"}}
    for one in drawn:
        assert len(set(one.supports)) == 2
        assert set(one.supports) <= large[one.class_id] - {one.query}
    # Of "a" the class 1 is asked for too, of which it holds 5 pixels.
    assert {one.class_id for one in drawn if one.query == "a"} == {0, 1}
    assert {one.class_id for one in drawn if one.query == "d"} == {0}


def test_pfenet_without_workers_is_one_stream_of_pythons_generator() -> None:
    drawn = pfenet_episodes(AREAS, (0, 1), count=40, workers=0, seed=9)
    draw, held = random.Random(9), dict(AREAS)
    large = {0: ["a", "c", "d"], 1: ["b", "c", "e"]}
    for place, one in enumerate(drawn):
        query = "abcde"[place % 5]
        present = [c for c in (0, 1) if held[query].get(c)]
        class_id = present[draw.randint(1, len(present)) - 1]
        draw.randint(1, 3)  # the published code draws once before it looks
        support = query
        while support == query:
            support = large[class_id][draw.randint(1, 3) - 1]
        assert (one.query, one.class_id, one.supports) == (query, class_id, (support,))
    assert pfenet_episodes(AREAS, (0, 1), count=40, seed=9) != drawn


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: hsnet_pascal_episodes([]), "no photo holds a class"),
        (lambda: hsnet_pascal_episodes([("a", 0)]), "no photo but 'a' shows its class"),
        (lambda: hsnet_pascal_episodes(ENTRIES, shots=0), "episodes of 0 shots"),
        (lambda: pfenet_episodes(AREAS, (5,)), "no photo holds a class"),
        (lambda: pfenet_episodes(AREAS, (0,), shots=3), "fewer than 3 photos but 'a'"),
    ],
)
def test_lists_that_cannot_be_drawn_from_are_refused(draw: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw()  # type: ignore[operator]
