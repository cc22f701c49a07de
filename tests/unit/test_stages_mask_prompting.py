"""Prompts for a mask model and its candidates, with one that tells what it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lexiseg.protocols import Frame, MaskPrompts, RawMasks
from lexiseg.stages.mask_prompting import (
    CandidateBatch,
    PromptBatch,
    ScoredMasks,
    decode_clicks,
    decode_prompts,
    point_prompts,
)

FRAME = Frame((6, 8), (6, 8), (6, 8))


class Telling:
    """Candidate c of prompt p has quality 0.5, 0.9, 0.7 and one lit pixel, number 10 * p + c.

    The best-rated candidate of every prompt in ``blank`` is empty.
    """

    def __init__(self, device_name: str = "cpu", blank: tuple[int, ...] = ()) -> None:
        self.device_name, self.blank = device_name, blank
        self.given: list[MaskPrompts] = []

    def decode(self, state: Any, prompts: MaskPrompts, *, candidates: int = 3) -> RawMasks:
        assert state == "state"
        self.given.append(prompts)
        rows = torch.arange(len(prompts) * candidates)
        prompt, candidate = rows // candidates, rows % candidates
        logits = torch.full((len(rows), 6, 8), -4.0)
        logits.flatten(1).scatter_(1, (10 * prompt + candidate)[:, None] % 48, 4.0)
        for p in self.blank:
            logits[(prompt == p) & (candidate == 1)] = -4.0
        return RawMasks(logits, torch.tensor([0.5, 0.9, 0.7])[candidate], prompt, FRAME)


def batch(count: int) -> PromptBatch:
    places = np.arange(2.0 * count).reshape(count, 2)
    none = np.zeros((count, 0, 2)), np.zeros((count, 0), np.bool_)
    return PromptBatch(point_prompts(places, *none), np.arange(count) + 100, np.arange(count) - 1)


def test_a_point_is_in_and_the_others_are_out_where_there_are_any() -> None:
    points, others = np.array([[3.5, 1.5], [7, 2]]), np.array([[[1, 2], [3, 4]], [[5, 6], [0, 0]]])
    prompts = point_prompts(points, others, np.array([[True, True], [True, False]]))
    assert prompts.points_xy is not None
    assert prompts.point_labels is not None
    assert prompts.points_xy.tolist() == [[[3.5, 1.5], [1, 2], [3, 4]], [[7, 2], [5, 6], [0, 0]]]
    assert prompts.point_labels.tolist() == [[1, 0, 0], [1, 0, -1]]
    assert (prompts.points_xy.dtype, prompts.point_labels.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize(
    ("device", "sizes"), [("cpu", [64, 64, 2]), ("cuda:0", [130]), ("mps", [130])]
)
def test_prompts_are_decoded_in_batches_that_suit_the_device(device: str, sizes: list[int]) -> None:
    masker, prompts = Telling(device), batch(130)
    parts = list(decode_prompts(masker, "state", prompts))  # type: ignore[arg-type]
    assert [len(part.prompts) for part in parts] == sizes
    assert [len(part.raw) for part in parts] == [3 * size for size in sizes]
    assert np.concatenate([p.prompts.class_ids for p in parts]).tolist() == list(range(100, 230))
    assert np.concatenate([p.prompts.regions for p in parts]).tolist() == list(range(-1, 129))
    places = torch.cat([given.points_xy for given in masker.given])  # type: ignore[misc]
    assert prompts.prompts.points_xy is not None
    torch.testing.assert_close(places, prompts.prompts.points_xy)


def test_batches_are_decoded_when_they_are_wanted() -> None:
    masker = Telling()
    parts = decode_prompts(masker, "state", batch(130))  # type: ignore[arg-type]
    assert masker.given == []
    assert isinstance(next(parts), CandidateBatch)
    assert len(masker.given) == 1


def test_no_prompt_gives_no_batch() -> None:
    assert list(decode_prompts(Telling(), "state", batch(0))) == []  # type: ignore[arg-type]


def test_a_click_gives_the_best_rated_candidate_that_is_not_empty() -> None:
    masker = Telling(blank=(1,))
    raw = decode_clicks(masker, "state", [(1, 2), (3, 4)], [], [])  # type: ignore[arg-type]
    np.testing.assert_allclose(raw.quality, [0.9, 0.7])
    assert [int(mask.argmax()) for mask in raw.logits] == [1, 12]
    assert raw.prompt.tolist() == [0, 1]
    (given,) = masker.given
    assert given.points_xy is not None
    assert given.points_xy.tolist() == [[[1.5, 2.5]], [[3.5, 4.5]]]  # centres of pixels
    assert given.boxes_xyxy is None


def test_points_come_first_then_boxes_and_what_is_not_meant_counts_for_all() -> None:
    masker = Telling()
    raw = decode_clicks(
        masker, "state", [(1, 2)], [(0, 1, 5, 6), (2, 2, 4, 4)], [(7, 5), (0, 0)]  # type: ignore[arg-type]
    )  # fmt: skip
    assert raw.prompt.tolist() == [0, 1, 2]
    np.testing.assert_allclose(raw.quality, [0.9, 0.5, 0.5])  # a box has one candidate
    points, boxes = masker.given
    assert points.points_xy is not None
    assert points.point_labels is not None
    assert points.points_xy.tolist() == [[[1.5, 2.5], [7.5, 5.5], [0.5, 0.5]]]
    assert points.point_labels.tolist() == [[1, 0, 0]]
    assert boxes.points_xy is not None
    assert boxes.point_labels is not None
    assert boxes.boxes_xyxy is not None
    assert boxes.boxes_xyxy.tolist() == [[0, 1, 5, 6], [2, 2, 4, 4]]
    assert boxes.points_xy.tolist() == [[[7.5, 5.5], [0.5, 0.5]]] * 2
    assert boxes.point_labels.tolist() == [[0, 0]] * 2


def test_masks_are_taken_and_put_together_with_all_that_is_known_of_them() -> None:
    raw = Telling().decode("state", batch(2).prompts)
    count = len(raw)
    some = ScoredMasks(
        raw, np.arange(count), np.arange(count) + 10, np.linspace(0, 1, count, dtype=np.float32),
        raw.quality.numpy(), np.arange(count) % 2 == 0,
    )  # fmt: skip
    order = np.array([4, 0, 5])
    both = ScoredMasks.concat([some[order], some[np.zeros(0, np.int64)], some])
    rows = [*order, *range(count)]
    assert len(both) == count + 3
    assert both.class_ids.tolist() == rows
    assert both.regions.tolist() == [row + 10 for row in rows]
    assert both.clicked.tolist() == [row % 2 == 0 for row in rows]
    np.testing.assert_array_equal(both.raw.logits, raw.logits[rows])
    np.testing.assert_array_equal(both.quality, raw.quality[rows])
    np.testing.assert_array_equal(both.scores, some.scores[rows])
    assert both.raw.frame == FRAME
