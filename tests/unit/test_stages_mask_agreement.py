"""Masks against a map of words on the mask grid, against loops over cells."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.mask_agreement import best_candidates, grid_iou, grid_scores, grid_values
from lexiseg.stages.regions import Regions

SIZE = (20, 30)
FRAME = Frame(SIZE, (40, 60), (60, 60))  # padded below, as SAM pads


def regions_of(number: NDArray[np.int32], word: list[int]) -> Regions:
    count = len(word)
    return Regions(number, np.array(word), np.ones(count, np.int64), np.ones(count, np.float32),
                   np.zeros(number.shape, np.float32))  # fmt: skip


def test_the_map_is_brought_to_the_grid_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, SIZE).astype(np.int16)
    grid = rng.random((3, 5, 6)).astype(np.float16)
    number = rng.integers(-1, 4, SIZE).astype(np.int32)
    see = grid_scores(
        grid, labels, regions_of(number, [0] * 4), FRAME, (15, 15), torch.device("cpu")
    )
    for i in range(15):
        for j in range(15):
            # A cell is 4x4 padded pixels, 2 of which are one of the picture.
            y, x = (i + 0.5) * 4 / 2, (j + 0.5) * 4 / 2
            inside = y < 20 and x < 30
            assert bool(see.inside[i, j]) == inside
            if inside:
                assert see.labels[i, j] == labels[int(y), int(x)]
                assert see.region[i, j] == number[int(y), int(x)]
                coarse = grid[:, int(y / 20 * 5), int(x / 30 * 6)]
                np.testing.assert_array_equal(see.probabilities[:, i, j], coarse.astype(np.float32))
            else:
                assert see.labels[i, j] == see.region[i, j] == -1
                assert not see.probabilities[:, i, j].any()


def test_the_best_candidate_is_the_one_that_loops_find() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        labels = np.kron(rng.integers(-1, 3, (4, 5)), np.ones((5, 6), int)).astype(np.int16)
        number = np.where(labels >= 0, labels, -1).astype(np.int32)
        regions = regions_of(number, [0, 1, 2])
        frame = Frame(SIZE, SIZE, SIZE)
        see = grid_scores(
            np.zeros((3, 4, 5), np.float16), labels, regions, frame, SIZE, torch.device("cpu")
        )
        prompts, word = 4, np.array([0, 1, 2, 1])
        masks = np.kron(rng.random((prompts * 3, 5, 6)) < 0.3, np.ones((4, 5), bool)) > 0
        masks[3:6] = False  # the second prompt has no answer
        quality = rng.random(prompts * 3).astype(np.float32)
        raw = RawMasks(
            torch.from_numpy(np.where(masks, 2.0, -2.0)), torch.from_numpy(quality),
            torch.arange(prompts).repeat_interleave(3), frame,
        )  # fmt: skip
        chosen, agreement = best_candidates(
            raw, see, torch.from_numpy(word), torch.from_numpy(word), beta=0.5
        )
        expected = []
        for prompt in range(prompts):
            values = []
            for candidate in range(3):
                mask = masks[prompt * 3 + candidate]
                mine = labels == word[prompt]
                if not mask.any():
                    values.append((-1.0, 0.0))
                    continue
                precision = (mask & mine).sum() / mask.sum()
                recall = (mask & mine).sum() / mine.sum() if mine.any() else 1.0
                low = 0.25 * precision + recall
                f = 1.25 * precision * recall / low if low else 0.0
                values.append((quality[prompt * 3 + candidate] * (f + 1e-6), f))
            best = max(range(3), key=lambda c: values[c][0])
            if values[best][0] >= 0:
                expected.append((prompt * 3 + best, values[best][1]))
        assert chosen.tolist() == [place for place, _ in expected]
        np.testing.assert_allclose(agreement, [f for _, f in expected], atol=1e-5)


def test_mean_chances_and_iou_are_those_of_loops() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((4, 15, 15)) < 0.4
    masks[3] = False
    raw = RawMasks(
        torch.from_numpy(np.where(masks, 1.0, -1.0)), torch.ones(4), torch.arange(4), FRAME
    )
    grid = rng.random((2, 20, 30)).astype(np.float16)
    labels = np.zeros(SIZE, np.int16)
    see = grid_scores(
        grid, labels, regions_of(np.zeros(SIZE, np.int32), [0]), FRAME, (15, 15),
        torch.device("cpu"),
    )  # fmt: skip
    inside = see.inside.numpy()
    got = see.mean_probabilities(torch.from_numpy(masks) & see.inside)
    for i in range(4):
        for k in range(2):
            cells = see.probabilities[k].numpy()[masks[i] & inside]
            assert abs(float(got[i, k]) - (cells.mean() if len(cells) else 0)) < 1e-5
    iou = grid_iou(raw.logits)
    for i in range(4):
        for j in range(4):
            either = (masks[i] | masks[j]).sum()
            assert abs(iou[i, j] - (masks[i] & masks[j]).sum() / max(either, 1)) < 1e-6
    held = grid_values(raw, [(3.0, 7.0), (29.0, 19.0)])
    for place, (x, y) in enumerate([(3, 7), (29, 19)]):
        row, column = int((y + 0.5) * 2 / 4), int((x + 0.5) * 2 / 4)
        np.testing.assert_array_equal(held[:, place], masks[:, row, column])
