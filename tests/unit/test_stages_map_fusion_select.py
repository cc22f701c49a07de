"""Which candidates stay: all batches at once against one after another, and hand-worked cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lexiseg.prompts import Vocabulary
from lexiseg.protocols import DenseScores, Frame, MaskPrompts, RawMasks
from lexiseg.stages.map_fusion import NestedRule, Selection, WordMap, select_masks
from lexiseg.stages.mask_prompting import CandidateBatch, PromptBatch, Regions, find_regions
from lexiseg.stages.mask_selection import best_candidates, classify_clicked, good_candidates

SIZE = (12, 16)
FRAME = Frame(SIZE, SIZE, SIZE)
VOCABULARY = Vocabulary.parse("red; green -blue", background=["wall"])


def word_map(vocabulary: Vocabulary = VOCABULARY) -> tuple[WordMap, Regions]:
    """Red on the left, green on the right, no word in the last rows; 0.8 where a word wins."""
    labels = np.full(SIZE, -1)
    labels[:9, :8], labels[:9, 8:] = 0, 1
    classes = vocabulary.num_classes
    maps = np.full((classes, *SIZE), 0.2 / (classes - 1), np.float32)
    winner = np.where(labels < 0, classes - 1, labels)
    np.put_along_axis(maps, winner[None], 0.8, 0)
    scores = DenseScores(torch.from_numpy(maps), SIZE, 1, SIZE)
    made = WordMap(scores, vocabulary, labels, maps.max(0))
    regions = find_regions(labels, made.probabilities, made.num_words, threshold=0.3, min_area=1)
    return made, regions


def boxed(*boxes: tuple[int, int, int, int]) -> NDArray[np.float32]:
    out = np.full((len(boxes), *SIZE), -4, np.float32)
    for mask, (x0, y0, x1, y1) in zip(out, boxes, strict=True):
        mask[y0:y1, x0:x1] = 4
    return out


def candidates(
    masks: NDArray[np.float32], class_ids: list[int], regions: list[int], quality: list[float]
) -> CandidateBatch:
    count = len(class_ids)
    raw = RawMasks(
        torch.from_numpy(masks), torch.tensor(quality), torch.arange(count).repeat_interleave(3),
        FRAME,
    )  # fmt: skip
    points = MaskPrompts(torch.zeros(count, 1, 2), torch.ones(count, 1, dtype=torch.int64))
    return CandidateBatch(raw, PromptBatch(points, np.array(class_ids), np.array(regions)))


RED, GREEN, ALL = (0, 0, 8, 9), (8, 0, 16, 9), (0, 0, 16, 9)
PART = (2, 2, 5, 5)
FIRST = candidates(boxed(PART, RED, ALL), [0], [0], [0.8, 0.9, 0.85])
SECOND = candidates(boxed(GREEN, ALL, (9, 1, 12, 4)), [1], [1], [0.9, 0.95, 0.6])
RULE = NestedRule(min_quality=0.7, min_stability=0.5, iou_threshold=0.8)


def select(batches: list[CandidateBatch], **settings: Any) -> Selection | None:
    made, regions = word_map()
    given: dict[str, Any] = {"min_agreement": 0.7, "min_quality": 0.0, **settings}
    return select_masks(iter(batches), made, regions, **given)


def test_each_prompt_keeps_its_best_mask() -> None:
    out = select([FIRST, SECOND])
    assert out is not None
    np.testing.assert_array_equal(out.masks.raw.logits > 0, boxed(RED, GREEN) > 0)
    assert out.masks.class_ids.tolist() == [0, 1]
    assert out.masks.regions.tolist() == [0, 1]
    np.testing.assert_allclose(out.masks.scores, 0.8, atol=1e-6)
    assert out.nested is None
    # Red and green are there, blue nowhere, and the background may win.
    assert out.competing.class_ids.tolist() == [0, 1, -1]
    assert float(out.votes.cover.min()) < 0.1  # no candidate is in the last rows
    few = select([FIRST, SECOND], min_quality=0.91)
    assert few is not None
    assert len(few.masks) == 0


def test_no_prompt_gives_nothing() -> None:
    assert select([]) is None


def test_batches_one_after_another_are_one_batch() -> None:
    both = candidates(
        np.concatenate([FIRST.raw.logits.numpy(), SECOND.raw.logits.numpy()]), [0, 1], [0, 1],
        [*FIRST.raw.quality.tolist(), *SECOND.raw.quality.tolist()],
    )  # fmt: skip
    parts, whole = select([FIRST, SECOND], nested=RULE), select([both], nested=RULE)
    assert parts is not None
    assert whole is not None
    torch.testing.assert_close(parts.votes.sums, whole.votes.sums)
    torch.testing.assert_close(parts.votes.cover, whole.votes.cover)
    for mine, theirs in ((parts.masks, whole.masks), (parts.nested, whole.nested)):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_array_equal(mine.raw.logits, theirs.raw.logits)
        assert mine.class_ids.tolist() == theirs.class_ids.tolist()
    wanted = best_candidates(both, whole.grid, min_agreement=0.7, min_quality=0.0)
    np.testing.assert_array_equal(whole.masks.raw.logits, wanted.raw.logits)


def test_nested_ones_are_all_good_candidates_but_duplicates_of_their_word() -> None:
    near = candidates(boxed((0, 0, 8, 8), PART, PART), [0], [0], [0.95, 0.6, 0.6])
    out = select([FIRST, near, SECOND], nested=RULE)
    assert out is not None
    assert out.nested is not None
    # The smaller red is 8/9 of the other and better rated; "all" is half red and half green.
    for mask in boxed(PART, ALL, (0, 0, 8, 8), GREEN):
        assert ((out.nested.raw.logits > 0).numpy() == (mask > 0)).all((1, 2)).any(), mask
    red = out.nested.class_ids == 0
    assert not ((out.nested.raw.logits[red] > 0).numpy() == (boxed(RED) > 0)).all((1, 2)).any()
    quality = out.nested.quality.tolist()
    assert min(quality) >= 0.7
    assert len(quality) == 3 + 2  # part, smaller red, all as red; green, all as green
    good = good_candidates(SECOND, out.grid, min_quality=0.7, min_stability=0.5)
    assert len(good) == 2


@pytest.mark.parametrize("nested", [None, RULE])
def test_what_was_clicked_stays_whatever_the_map_says(nested: NestedRule | None) -> None:
    raw = RawMasks(
        torch.from_numpy(boxed((9, 2, 11, 4), (0, 10, 4, 12))), torch.tensor([0.1, 0.2]),
        torch.arange(2), FRAME,
    )  # fmt: skip
    out = select([FIRST], clicked=raw, min_quality=0.8, nested=nested)
    alone = select([], clicked=raw, min_quality=0.8, nested=nested)
    assert out is not None
    assert alone is not None
    assert out.masks.clicked.tolist() == [False, True, True]
    assert alone.masks.clicked.tolist() == [True, True]
    own = classify_clicked(raw, alone.grid, 2)
    assert own.class_ids[0] == 1
    assert alone.masks.class_ids.tolist() == own.class_ids.tolist()
    assert set(own.class_ids.tolist()) <= {0, 1}  # never an excluded word
    if nested is not None:
        assert out.nested is not None
        assert out.nested.clicked.sum() == 2


def test_the_word_background_competes_in_place_of_no_word() -> None:
    for words, background, competing in (
        ("red; green; background", "default", [0, 1, 2]),
        ("red; green", None, [0, 1]),
        ("red; green", "default", [0, 1, -1]),
    ):
        vocabulary = Vocabulary.parse(words, background=background)
        made, regions = word_map(vocabulary)
        out = select_masks(iter([FIRST]), made, regions, min_agreement=0.7, min_quality=0.0)
        assert out is not None
        assert out.competing.class_ids.tolist() == competing
