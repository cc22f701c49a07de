"""Of wholes and parts of one word, one level stays."""

from __future__ import annotations

import numpy as np

from lexiseg.masks import Masks
from lexiseg.stages.nested_masks import without_nested


def rectangles(*boxes: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(boxes), 40, 60), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def stay(masks: Masks, rank: list[float], word: list[int] | None = None) -> list[int]:
    words = np.array(word or [0] * len(masks))
    return without_nested(masks, masks.iou(masks), words, np.array(rank), 0.7).tolist()


CAR, DOOR, WINDOW = (0, 0, 40, 20), (4, 4, 16, 18), (5, 5, 12, 10)
FIRST, SECOND = (0, 0, 18, 20), (22, 0, 40, 20)


def test_a_whole_takes_its_parts() -> None:
    masks = rectangles(WINDOW, CAR, DOOR)
    assert stay(masks, [0.5, 0.5, 0.6]) == [1]
    assert stay(masks, [2.0, 0.5, 0.6]) == [1], "a part that is rated well is still a part"
    assert stay(masks, [0.5, 0.5, 0.6], [1, 0, 2]) == [0, 1, 2], "of another word: no part"


def test_several_things_drawn_as_one_go() -> None:
    masks = rectangles(CAR, FIRST, SECOND, DOOR)
    assert stay(masks, [0.5, 0.8, 0.8, 0.5]) == [1, 2]
    assert stay(masks, [0.5, 0.6, 0.6, 0.5]) == [0], "hardly better"


def test_much_the_same_part_many_times_is_not_several_things() -> None:
    """Their areas together are more than half of the whole, what they cover is not."""
    masks = rectangles(CAR, (0, 0, 18, 16), (1, 0, 18, 17), (0, 1, 17, 17))
    assert stay(masks, [0.5, 0.9, 0.9, 0.9]) == [0]


def test_neighbours_that_overlap_both_stay() -> None:
    masks = rectangles((0, 0, 20, 20), (10, 0, 28, 20))
    assert stay(masks, [0.5, 0.9]) == [0, 1]
    assert stay(Masks.empty((40, 60)), []) == []
