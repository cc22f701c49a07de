"""Sliding windows against the papers' way: every window's map enlarged, added, divided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.stages.clip_windows import Windows, paper_size, spans
from lexiseg.stages.dense_features import LabelRules
from lexiseg.stages.pamr import Pamr, resampled_pixels
from lexiseg.stages.word_vectors import WordVectors


@pytest.mark.parametrize(
    ("length", "crop", "stride", "wanted"),
    [
        (100, 224, 112, [(0, 100)]),
        (224, 224, 112, [(0, 224)]),
        (336, 224, 112, [(0, 224), (112, 336)]),
        (340, 224, 112, [(0, 224), (112, 336), (116, 340)]),
        (70, 64, 32, [(0, 64), (6, 70)]),
    ],
)
def test_spans(length: int, crop: int, stride: int, wanted: list[tuple[int, int]]) -> None:
    assert spans(length, crop, stride) == tuple(wanted)


def test_paper_size_is_that_of_mmcv() -> None:
    assert paper_size((321, 481), 336) == (336, 503)
    assert paper_size((481, 321), 336) == (503, 336)
    assert paper_size((1024, 2048), 560) == (560, 1120)
    assert paper_size((100, 3000), 336) == (68, 2048)  # the long side is the limit
    assert paper_size((1, 9999), 336)[0] == 1


def windows(ragged: bool = False) -> Windows:
    generator = torch.Generator().manual_seed(1)
    work, size, crop, stride = (70, 101), (61, 113), 40, 24
    rows, columns = spans(work[0], crop, stride), spans(work[1], crop, stride)
    cells = torch.randn(len(rows), len(columns), 3, 3, 8, generator=generator)
    padding, reach = ((4, 4), (48, 48)) if ragged else ((0, 0), (40, 40))
    return Windows(F.normalize(cells, dim=-1), rows, columns, work, size, padding, reach)


def words(queries: int = 11) -> WordVectors:
    generator = torch.Generator().manual_seed(2)
    vectors = F.normalize(torch.randn(queries, 8, generator=generator), dim=-1)
    return WordVectors(vectors, torch.arange(queries) % 7, 7, 0)


def slow(seen: Windows, vectors: Tensor) -> Tensor:
    """As the papers' code does it: every window's map is enlarged, added, divided, enlarged."""
    total = torch.zeros(len(vectors), *seen.work_hw)
    count = torch.zeros(seen.work_hw)
    for i, (y0, y1) in enumerate(seen.rows):
        for j, (x0, x1) in enumerate(seen.columns):
            maps = (seen.cells[i, j] @ vectors.T).permute(2, 0, 1)[None]
            maps = F.interpolate(maps, size=seen.reach_hw, mode="bilinear")[0]
            top, left = seen.padding
            total[:, y0:y1, x0:x1] += maps[:, top : top + y1 - y0, left : left + x1 - x0]
            count[y0:y1, x0:x1] += 1
    return F.interpolate((total / count)[None], size=seen.size_hw, mode="bilinear")[0]


@pytest.mark.parametrize("ragged", [False, True])
def test_two_matrices_are_the_whole_harness(ragged: bool) -> None:
    features, asked = windows(ragged), words()
    got = features.logits(asked).pixels()
    torch.testing.assert_close(got, slow(features, asked.vectors), atol=1e-5, rtol=0)
    some = features.logits(asked).pixels(slice(9, 30), slice(3, 5))
    torch.testing.assert_close(some, got[3:5, 9:30])


def test_the_boxes_of_windows_are_pixels_of_the_image() -> None:
    boxes = windows().windows_xyxy  # 101 x 70 scaled pixels for 113 x 61
    assert boxes.shape == (12, 4)
    assert boxes[0].tolist() == [0, 0, 45, 35]
    assert boxes[-1].tolist() == [68, 26, 113, 61]


def test_probabilities_on_the_grid() -> None:
    one, asked = windows(), words()
    other = replace(one, cells=one.cells.flip(2))
    got = one.grid_probabilities(asked, 10.0, [other])
    assert got.shape == (7, 5, 8)  # 70 x 101 pixels, cells of 13.3
    assert one.raster == ((5, 8), 1)
    logits = (one.logits(asked, (5, 8)).pixels() + other.logits(asked, (5, 8)).pixels()) / 2
    queries = (10 * logits).softmax(0)
    wanted = torch.stack([queries[asked.class_ids == k].amax(0) for k in range(7)])
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("refine", ["none", "pamr", "guided"])
def test_pixels_have_the_word_of_the_papers_maps(refine: str) -> None:
    one, asked = windows(), words()
    other = replace(one, cells=one.cells.flip(2))
    rgb = np.random.default_rng(3).integers(0, 256, (*one.size_hw, 3)).astype(np.uint8)
    rules = LabelRules(10.0, refine=refine, pamr_steps=2, radius=0)
    probabilities = one.grid_probabilities(asked, 10.0, [other])
    got = one.label_pixels(asked, probabilities, rgb, rules, [other])
    assert got.labels.shape == one.size_hw
    maps = (slow(one, asked.vectors) + slow(other, asked.vectors)) / 2
    if refine == "pamr":
        maps = Pamr(resampled_pixels(rgb, one.work_hw), 2)(maps)
    if refine == "guided":  # radius 0: probabilities of the grid, enlarged
        best = F.interpolate(probabilities[None], one.size_hw, mode="bilinear")[0].topk(2, 0)
        wanted = best.indices[0]
    else:
        best = maps.topk(2, 0)
        wanted = asked.class_ids[best.indices[0]]
    sure = (best.values[0] - best.values[1] > 1e-5).numpy()
    assert (got.labels == wanted.numpy())[sure].mean() > (0.9 if refine == "guided" else 0.9999)
    assert len(np.unique(got.labels)) == 7
