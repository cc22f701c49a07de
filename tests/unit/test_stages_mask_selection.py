"""Masks against a map of words on the mask grid, against loops over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lexiseg.protocols import DenseScores, Frame, MaskPrompts, RawMasks
from lexiseg.stages.mask_prompting import CandidateBatch, PromptBatch, Regions, ScoredMasks
from lexiseg.stages.mask_selection import (
    GridScores,
    best_candidates,
    classify_clicked,
    contain_points,
    good_candidates,
    grid_iou,
    score_grid,
)

SIZE = (20, 30)
FRAME = Frame(SIZE, (40, 60), (60, 60))  # padded below, as SAM pads
WHOLE = Frame(SIZE, SIZE, SIZE)


def regions_of(number: NDArray[np.int32], word: list[int]) -> Regions:
    count = len(word)
    return Regions(number, np.array(word), np.ones(count, np.int64), np.ones(count, np.float32),
                   np.zeros(number.shape, np.float32))  # fmt: skip


def bilinear(plane: NDArray[np.float32], y: float, x: float) -> float:
    """The value between the centres of cells, y and x counted in cells from the corner."""
    height, width = plane.shape
    y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    out = 0.0
    for dy, by in ((0, 1 - (y - top)), (1, y - top)):
        for dx, bx in ((0, 1 - (x - left)), (1, x - left)):
            out += by * bx * float(plane[top + dy, left + dx])
    return out


def test_the_map_is_brought_to_the_grid_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, SIZE).astype(np.int16)
    number = rng.integers(-1, 4, SIZE).astype(np.int32)
    # 33 x 47 pixels in cells of 7: the last row and column reach over the image.
    maps = rng.random((5, 5, 7)).astype(np.float32)
    scores = DenseScores(torch.from_numpy(maps), (33, 47), 7, SIZE)
    grid = score_grid(scores, 3, labels, regions_of(number, [0] * 4), FRAME, (15, 15))
    assert grid.frame is FRAME
    assert grid.probabilities.shape == (3, 15, 15)  # the other two are no words
    for i in range(15):
        for j in range(15):
            # A cell is 4x4 padded pixels, 2 of which are one of the image.
            y, x = (i + 0.5) * 4 / 2, (j + 0.5) * 4 / 2
            inside = y < 20 and x < 30
            assert bool(grid.inside[i, j]) == inside
            if inside:
                assert grid.labels[i, j] == labels[int(y), int(x)]
                assert grid.regions[i, j] == number[int(y), int(x)]
                place = (y / 20 * 33 / 7, x / 30 * 47 / 7)
                wanted = [bilinear(maps[k], *place) for k in range(3)]
                np.testing.assert_allclose(grid.probabilities[:, i, j], wanted, rtol=1e-4)
            else:
                assert grid.labels[i, j] == grid.regions[i, j] == -1
                assert not grid.probabilities[:, i, j].any()
    rest = (1 - grid.probabilities.sum(0)).clamp_min(0)
    np.testing.assert_array_equal(grid.background[:10], rest[:10])
    assert not grid.background[10:].any()


def random_case(
    seed: int, prompts: int = 4
) -> tuple[GridScores, CandidateBatch, NDArray[np.bool_], NDArray[np.float32]]:
    """Blocks of three words on the grid, and 3 candidates for each of some prompts."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(-1, 3, (4, 5)), np.ones((5, 6), int))
    maps = np.kron(rng.dirichlet([0.7] * 4, (4, 5)).transpose(2, 0, 1), np.ones((1, 5, 6)))
    grid = GridScores(
        torch.from_numpy(maps[:3]).float(), torch.from_numpy(labels), torch.from_numpy(labels),
        torch.ones(SIZE, dtype=torch.bool), WHOLE,
    )  # fmt: skip
    words = rng.integers(0, 3, prompts)
    masks = np.kron(rng.random((prompts * 3, 5, 6)) < 0.3, np.ones((4, 5), bool)) > 0
    masks[3:6] = False  # the second prompt has no answer
    quality = rng.random(prompts * 3).astype(np.float32)
    logits = np.where(masks, rng.uniform(0.5, 3, masks.shape), rng.uniform(-3, -0.9, masks.shape))
    raw = RawMasks(
        torch.from_numpy(logits), torch.from_numpy(quality),
        torch.arange(prompts).repeat_interleave(3), WHOLE,
    )  # fmt: skip
    places = MaskPrompts(torch.zeros(prompts, 1, 2), torch.ones(prompts, 1, dtype=torch.int64))
    regions = np.where(rng.random(prompts) < 0.3, -1, words)  # a region is what its word holds
    return grid, CandidateBatch(raw, PromptBatch(places, words, regions)), masks, quality


def means_of(grid: GridScores, mask: NDArray[np.bool_]) -> list[float]:
    """The mean probability of each word inside a mask, and of no word at all."""
    words = [float(plane[mask].mean()) for plane in grid.probabilities.numpy()]
    return [*words, 1 - sum(words)]


def check(got: ScoredMasks, raw: RawMasks, wanted: list[tuple[int, int, int, float]]) -> None:
    """wanted: row of the raw masks, word, region, score."""
    rows = [row for row, *_ in wanted]
    np.testing.assert_array_equal(got.raw.logits, raw.logits[rows])
    assert got.class_ids.tolist() == [word for _, word, _, _ in wanted]
    assert got.regions.tolist() == [region for _, _, region, _ in wanted]
    np.testing.assert_allclose(got.scores, [score for *_, score in wanted], atol=1e-5)
    np.testing.assert_allclose(got.quality, raw.quality[rows])
    assert not got.clicked.any()
    assert (got.scores.dtype, got.quality.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(("min_agreement", "min_quality"), [(0.0, 0.0), (0.35, 0.0), (0.0, 0.6)])
def test_the_best_candidate_is_the_one_that_loops_find(
    min_agreement: float, min_quality: float
) -> None:
    kept = 0
    for seed in range(30):
        grid, batch, masks, quality = random_case(seed)
        words, regions = batch.prompts.class_ids, batch.prompts.regions
        labels = grid.labels.numpy()
        wanted = []
        for prompt, word in enumerate(words.tolist()):
            values = []
            for row in range(prompt * 3, prompt * 3 + 3):
                mask, mine = masks[row], labels == word
                if not mask.any():
                    values.append((-1.0, 0.0, row))
                    continue
                precision = (mask & mine).sum() / mask.sum()
                missable = mine.any() and regions[prompt] >= 0
                recall = (mask & mine).sum() / mine.sum() if missable else 1.0
                low = 0.25 * precision + recall
                f = 1.25 * precision * recall / low if low else 0.0
                values.append((quality[row] * (f + 1e-6), f, row))
            value, agreement, row = max(values, key=lambda one: one[0])
            if value < 0:
                continue
            means = means_of(grid, masks[row])
            fits = agreement >= min_agreement and quality[row] >= min_quality
            if fits and means[word] == max(means):
                wanted.append((row, word, int(regions[prompt]), means[word]))
        kept += len(wanted)
        got = best_candidates(batch, grid, min_agreement=min_agreement, min_quality=min_quality)
        check(got, batch.raw, wanted)
    assert 5 < kept < 90


def test_good_candidates_are_those_that_loops_find() -> None:
    kept = 0
    for seed in range(30):
        grid, batch, masks, quality = random_case(seed, 20)
        labels, logits = grid.labels.numpy(), batch.raw.logits.numpy()
        wanted = []
        for row, mask in enumerate(masks):
            word = int(batch.prompts.class_ids[row // 3])
            if not mask.any() or quality[row] < 0.2:
                continue
            stable = (logits[row] > 1).sum() / (logits[row] > -1).sum() >= 0.7
            if stable and (mask & (labels == word)).sum() >= 0.5 * mask.sum():
                wanted.append((row, word, -1, means_of(grid, mask)[word]))
        kept += len(wanted)
        got = good_candidates(batch, grid, min_quality=0.2, min_stability=0.7)
        check(got, batch.raw, wanted)
    assert 20 < kept < 200


def test_what_was_clicked_is_of_the_likeliest_of_the_asked_words() -> None:
    grid, batch, masks, quality = random_case(7)
    got = classify_clicked(batch.raw[torch.arange(3)], grid, 2)  # the third word is excluded
    means = [means_of(grid, mask)[:2] for mask in masks[:3]]
    assert got.class_ids.tolist() == [int(np.argmax(each)) for each in means]
    np.testing.assert_allclose(got.scores, [max(each) for each in means], atol=1e-5)
    np.testing.assert_allclose(got.quality, quality[:3])
    assert got.clicked.all()
    assert (got.regions == -1).all()


def test_mean_probabilities_iou_and_points_are_those_of_loops() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((4, 15, 15)) < 0.4
    masks[3] = False
    raw = RawMasks(
        torch.from_numpy(np.where(masks, 1.0, -1.0)), torch.ones(4), torch.arange(4), FRAME
    )
    scores = DenseScores(torch.from_numpy(rng.random((2, 20, 30))).float(), SIZE, 1, SIZE)
    grid = score_grid(
        scores, 2, np.zeros(SIZE, np.int16), regions_of(np.zeros(SIZE, np.int32), [0]), FRAME,
        (15, 15),
    )  # fmt: skip
    inside = grid.inside.numpy()
    assert 0 < inside.sum() < inside.size
    got = grid.mean_probabilities(torch.from_numpy(masks) & grid.inside)
    for i in range(4):
        for k in range(2):
            cells = grid.probabilities[k].numpy()[masks[i] & inside]
            assert abs(float(got[i, k]) - (cells.mean() if len(cells) else 0)) < 1e-5
    iou = grid_iou(raw.logits)
    for i in range(4):
        for j in range(4):
            either = (masks[i] | masks[j]).sum()
            assert abs(iou[i, j] - (masks[i] & masks[j]).sum() / max(either, 1)) < 1e-6
    held = contain_points(raw, [(3.0, 7.0), (29.0, 19.0)])
    for place, (x, y) in enumerate([(3, 7), (29, 19)]):
        row, column = int((y + 0.5) * 2 / 4), int((x + 0.5) * 2 / 4)
        np.testing.assert_array_equal(held[:, place], masks[:, row, column])
