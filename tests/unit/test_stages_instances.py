"""Things told apart, with a mask model that knows a drawn scene: results are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lexiseg.prompts.lexicon import is_uncountable
from lexiseg.protocols import DenseScores, Frame, MaskPrompts, RawMasks
from lexiseg.stages.instances import Instances, no_instances, separate_things
from lexiseg.stages.mask_prompting import find_regions
from lexiseg.stages.thing_candidates import spread_points

SIZE = (40, 60)
FRAME = Frame(SIZE, SIZE, SIZE)


class Scene:
    """A mask model on a grid of the picture's size. Of three candidates the second is the thing
    under the click, the first one its upper left quarter, the third everything; things: (H, W)."""

    name, device_name, dtype_name, sha256 = "scene", "cpu", "fp32", {}
    min_quality = min_stability = 0.0

    def __init__(self, things: NDArray[np.int64], quality: tuple[float, float, float]) -> None:
        self.things, self.quality = things, quality
        self.clicks, self.points = 0, np.zeros((0, 2))

    def encode(self, rgb: NDArray[np.uint8], maps: Any = ()) -> Any:
        return type("State", (), {"frame": FRAME})()

    def decode(
        self,
        state: Any,
        prompts: MaskPrompts,
        *,
        candidates: int = 3,
        keep: Callable[[RawMasks], torch.Tensor] | None = None,
    ) -> RawMasks:
        assert prompts.points_xy is not None
        logits = []
        for x, y in prompts.points_xy[:, 0].tolist():
            thing = self.things == self.things[int(y), int(x)]
            rows, columns = np.nonzero(thing)
            part = thing.copy()
            part[int(rows.mean()) :] = False
            part[:, int(columns.mean()) :] = False
            logits += [part, thing, np.ones_like(thing)]
        self.clicks, self.points = len(prompts.points_xy), prompts.points_xy[:, 0].numpy()
        return RawMasks(
            torch.from_numpy(np.array(logits)).float() * 8 - 4,
            torch.tensor(self.quality).repeat(self.clicks),
            torch.arange(self.clicks).repeat_interleave(3),
            FRAME,
        )


def run(
    things: NDArray[np.int64],
    labels: NDArray[np.int16],
    *,
    uncountable: tuple[bool, ...] = (False, False),
    quality: tuple[float, float, float] = (0.3, 0.9, 0.1),
    wanted: tuple[bool, ...] = (True, True),
    max_prompts: int = 50,
) -> tuple[Instances, Scene]:
    scene = Scene(things, quality)
    return separate(scene, labels, uncountable, wanted, max_prompts), scene


def separate(
    scene: Scene,
    labels: NDArray[np.int16],
    uncountable: tuple[bool, ...] = (False, False),
    wanted: tuple[bool, ...] = (True, True),
    max_prompts: int = 50,
) -> Instances:
    count = len(uncountable)
    probabilities = np.stack([(labels == k) * 0.9 for k in range(count)]).astype(np.float32)
    scores = DenseScores(torch.from_numpy(probabilities), SIZE, 1, SIZE)
    return separate_things(
        scene, scene.encode(np.zeros((*SIZE, 3), np.uint8)), labels,
        np.where(labels >= 0, 0.9, 0).astype(np.float16), scores, count,
        wanted=np.array(wanted), uncountable=np.array(uncountable), max_prompts=max_prompts,
        min_area=4,
    )  # fmt: skip


def two_touching() -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    things = np.zeros(SIZE, np.int64)
    things[10:30, 5:25], things[10:30, 25:50] = 1, 2
    return things, np.where(things > 0, 0, -1).astype(np.int16)


def test_two_things_that_touch_come_apart() -> None:
    things, labels = two_touching()
    found, _ = run(things, labels)
    assert found.class_ids.tolist() == [0, 0]
    by_size = sorted(found.masks, key=lambda mask: int(mask.sum()))
    np.testing.assert_array_equal(by_size[0], things == 1)
    np.testing.assert_array_equal(by_size[1], things == 2)
    np.testing.assert_allclose(found.scores, 0.9, rtol=1e-3)
    assert (found.quality > 0.5).all()


def test_what_has_no_number_is_one_instance_and_is_not_asked_for() -> None:
    things, labels = two_touching()
    labels[30:, :] = 1
    labels[:5, :20] = 1
    found, scene = run(things, labels, uncountable=(True, True))
    assert found.class_ids.tolist() == [0, 1]
    np.testing.assert_array_equal(found.masks.mask(0), labels == 0)
    np.testing.assert_array_equal(found.masks.mask(1), labels == 1)
    assert scene.clicks == 0


def test_a_mask_may_reach_beyond_its_word() -> None:
    things, labels = two_touching()
    labels[10:14] = -1  # the map misses the hats
    found, _ = run(things, labels)
    assert [int(area) for area in sorted(found.masks.areas)] == [20 * 20, 20 * 25]


def test_a_mask_keeps_what_the_map_mistakes_and_leaves_out_excluded_words() -> None:
    things, labels = two_touching()
    labels[10:13, 5:25] = 1  # a part of the first thing that looks like another word
    labels[10:13, 25:50] = 2  # of an excluded word: there are two
    found, _ = run(things, labels)
    first, second = (found.masks.mask(i) for i in np.flatnonzero(found.class_ids == 0))
    if first[20, 30]:
        first, second = second, first
    np.testing.assert_array_equal(first, things == 1)
    np.testing.assert_array_equal(second, (things == 2) & (labels != 2))


def test_of_two_words_masks_the_map_says_whose_a_pixel_is() -> None:
    things, labels = two_touching()
    labels[things == 2] = 1
    wide = things.copy()
    wide[10:30, 5:30] = 1  # the mask model's first thing reaches over the second

    class Wide(Scene):
        def decode(self, state: Any, prompts: MaskPrompts, **more: Any) -> RawMasks:
            raw = super().decode(state, prompts, **more)
            for i, (x, _) in enumerate(self.points.tolist()):
                if x < 25:
                    raw.logits[3 * i + 1] = torch.from_numpy((wide == 1) * 8.0 - 4.0)
            return raw

    found = separate(Wide(things, (0.3, 0.9, 0.1)), labels)
    assert found.class_ids.tolist() == [0, 1]
    np.testing.assert_array_equal(found.masks.mask(0), things == 1)
    np.testing.assert_array_equal(found.masks.mask(1), things == 2)


def test_a_mask_leaves_out_other_regions_of_its_word() -> None:
    things, labels = two_touching()
    things[things == 2] = 1  # the mask model takes both for one thing
    labels[:, 23:27] = -1  # and the map says that there are two
    found, _ = run(things, labels)
    assert len(found.masks) == 2
    assert not (found.masks.mask(0) & found.masks.mask(1) & (labels == 0)).any()


def test_what_masks_leave_over_goes_to_the_nearest() -> None:
    things, labels = two_touching()
    labels[10:30, 50:54] = labels[10:30, 1:5] = 0  # what no mask reaches
    labels[0:1, 58:60] = 0  # a speck
    found, _ = run(things, labels)
    by_place = np.argsort(found.masks.boxes_xyxy[:, 0])
    left, right = (found.masks.mask(int(i)) for i in by_place)
    np.testing.assert_array_equal(left, (labels == 0) & (np.arange(60) < 25))
    np.testing.assert_array_equal(
        right,
        (things == 2) | (labels == 0) & (np.arange(60) >= 50) & (np.arange(40)[:, None] >= 10),
    )


def test_what_is_most_of_a_region_is_an_instance_of_its_own() -> None:
    things, labels = two_touching()
    things[things == 2] = 1
    things[12:28, 12:18] = 2  # about the middle, which alone is asked
    labels[10:30, 5:25], labels[10:30, 25:50] = 0, -1
    things[20, :] = np.where(things[20] == 1, 2, things[20])
    things[20, :10] = things[20, 19:] = 1
    found, _ = run(things, labels, max_prompts=1)
    assert len(found.masks) == 2
    np.testing.assert_array_equal(found.masks.union(), labels == 0)
    assert sorted(found.masks.areas.tolist()) == sorted(
        int(((things == n) & (labels == 0)).sum()) for n in (1, 2)
    )


def test_discs_of_unequal_size_come_apart_and_a_ring_is_one_thing() -> None:
    y, x = np.mgrid[:40, :60]
    things = np.zeros(SIZE, np.int64)
    things[np.hypot(y - 12, x - 13) <= 11] = 1
    things[(np.hypot(y - 12, x - 29) <= 5.5) & (things == 0)] = 2
    away = np.hypot(y - 27, x - 46)
    things[(away <= 11) & (away > 6)] = 3
    labels = np.where(things == 3, 1, np.where(things > 0, 0, -1)).astype(np.int16)
    found, _ = run(things, labels)
    assert found.class_ids.tolist() == [0, 0, 1]
    assert found.masks.areas.tolist() == [int((things == n).sum()) for n in (1, 2, 3)]


def test_a_part_gives_way_to_its_whole_and_a_whole_of_two_to_better_rated_ones() -> None:
    things, labels = two_touching()
    for quality in ((0.95, 0.9, 0.1), (0.3, 0.9, 0.8)):
        found, _ = run(things, labels, quality=quality)
        assert sorted(found.masks.areas.tolist()) == [20 * 20, 20 * 25]


def test_only_the_wanted_words_are_looked_for() -> None:
    things, labels = two_touching()
    labels[things == 2] = 1
    found, scene = run(things, labels, wanted=(False, True))
    assert found.class_ids.tolist() == [1]
    assert scene.clicks > 0
    assert (scene.points[:, 0] > 25).all()


def test_where_no_mask_is_good_regions_are_the_instances() -> None:
    things, labels = two_touching()
    labels[2:6, 55:] = 0
    found, _ = run(np.arange(things.size).reshape(SIZE), labels)  # a thing is a pixel
    assert found.class_ids.tolist() == [0, 0]
    assert sorted(found.masks.areas.tolist()) == [20, 20 * 45]
    assert (found.quality <= 0.5).all()


def test_prompts_have_a_ceiling_and_every_region_its_turn() -> None:
    things, labels = two_touching()
    labels[:, :] = -1
    labels[5:15, 5:55], labels[20:24, 5:9], labels[30:34, 5:9] = 0, 0, 1
    for ceiling in (1, 3, 4):
        _, scene = run(things, labels, max_prompts=ceiling)
        assert scene.clicks == ceiling
    found, _ = run(things, labels, max_prompts=3)
    assert set(found.class_ids.tolist()) == {0, 1}


def test_nothing_is_found_in_an_empty_map() -> None:
    things, labels = two_touching()
    found, scene = run(things, np.full_like(labels, -1))
    assert (len(found.masks), scene.clicks) == (0, 0)
    assert found.masks.size_hw == SIZE
    assert no_instances(SIZE).masks.size_hw == SIZE


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("sky", True), ("blue sky", True), ("lawn", True), ("ocean", True), ("brick wall", True),
        ("highway", True), ("hair", True), ("dog", False), ("wine glass", False), ("banana", False),
        ("tree", False), ("donut", False), ("person with a hat", False),
    ],
)  # fmt: skip
def test_words_for_what_has_no_number(word: str, expected: bool) -> None:
    assert is_uncountable(word) is expected


def test_places_are_spread_over_regions_from_their_poles_on() -> None:
    labels = np.full((30, 50), -1, np.int16)
    labels[2:28, 3:21], labels[5:14, 30:45], labels[20:23, 40:43] = 0, 1, 1
    found = find_regions(labels, np.ones(labels.shape, np.float32), 2, threshold=0, min_area=4)
    for count in (1, 2, 3, 9):
        points, region = spread_points(found, count, inset=3, apart=4)
        assert len(points) == count
        sizes = found.area[region[:3]]
        assert (np.diff(sizes) < 0).all()  # large regions' poles first
        np.testing.assert_array_equal(found.number[points[:, 1], points[:, 0]], region)
        assert (found.depth[points[3:, 1], points[3:, 0]] >= 3).all()
    # Each further place is, of the inner pixels, the one farthest from those before in its region.
    rows, columns = np.nonzero(found.depth >= 3)
    far = np.full(len(rows), np.inf)
    for n, (x, y) in enumerate(points.tolist()):
        if n >= 3:
            here = far[(rows == y) & (columns == x)]
            assert here == far.max() >= 4
        mine = found.number[rows, columns] == region[n]
        far[mine] = np.minimum(far[mine], np.hypot(rows[mine] - y, columns[mine] - x))
        if n == 2:
            far[np.isinf(far)] = -1


def test_places_end_where_room_ends() -> None:
    labels = np.full((12, 40), -1, np.int16)
    labels[3:9, 4:36] = 0
    found = find_regions(labels, np.ones(labels.shape, np.float32), 1, threshold=0, min_area=1)
    points, _ = spread_points(found, 50, inset=1, apart=9)
    steps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1).astype(float))
    assert 3 <= len(points) <= 8
    assert steps[np.triu_indices(len(points), 1)].min() >= 9
    none = find_regions(labels, np.ones(labels.shape, np.float32), 1, threshold=0, min_area=999)
    assert len(spread_points(none, 5, inset=1, apart=1)[0]) == 0
