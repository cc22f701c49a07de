from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.clip_windows import Windows, logits, paper_size, spans
from lexiseg.stages.dense import WordVectors
from lexiseg.stages.pamr import Pamr, affinities, pamr
from lexiseg.stages.winners import Rules, grid_probabilities, winners


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
    seen, asked = windows(ragged), words()
    vertical, level = seen.to_picture
    got = vertical @ logits(seen, asked.vectors) @ level.T
    torch.testing.assert_close(got, slow(seen, asked.vectors), atol=1e-5, rtol=0)


def obvious(
    maps: Tensor, asked: WordVectors, rules: Rules
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """SCLIP's postprocess_result, word by word."""
    queries = (rules.scale * maps).softmax(0)
    owners = torch.stack([queries[asked.class_ids == k].amax(0) for k in range(asked.count)])
    if rules.area:
        winner = owners.argmax(0)
        counts = torch.tensor([int((winner == k).sum()) for k in range(asked.count)])
        for k in range(1, asked.count):
            if counts[k] <= rules.area * counts[1:].sum():
                owners[k] = 0
    score, label = owners.max(0)
    if rules.thresholds is not None:
        label[score < torch.from_numpy(rules.thresholds)[label]] = -1
    return label.numpy(), score.numpy()


@pytest.mark.parametrize(
    "rules",
    [
        Rules(10.0),
        Rules(40.0, thresholds=np.full(7, 0.3, np.float32)),
        Rules(10.0, area=0.12),
        Rules(20.0, thresholds=np.linspace(0, 0.6, 7, dtype=np.float32), area=0.1),
    ],
    ids=["plain", "threshold", "area", "both"],
)
@pytest.mark.parametrize("refined", [False, True])
def test_winners_are_those_of_the_obvious_way(
    rules: Rules, refined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small parts, so that chunks of words are joined.
    monkeypatch.setattr("lexiseg.stages.winners._VALUES", 16 * 24 * 4)
    seen, asked = windows(), words()
    maps = slow(seen, asked.vectors)
    if refined:
        pixels = torch.rand(3, *seen.size_hw, generator=torch.Generator().manual_seed(3))
        rules = replace(rules, refine=partial(pamr, alike=affinities(pixels), steps=2))
        maps = rules.refine(maps) if rules.refine else maps
    label, score = obvious(maps, asked, rules)
    found = winners([seen], asked, rules)
    differ = found.class_id != label
    assert differ.mean() < 1e-3  # where two are equal to rounding
    np.testing.assert_allclose(found.score[~differ], score[~differ], atol=2e-3)
    assert len(np.unique(label)) >= 4


def test_scales_are_averaged() -> None:
    seen, asked = windows(), words()
    other = replace(windows(), cells=windows().cells.flip(2))
    found = winners([seen, other], asked, Rules(10.0))
    maps = (slow(seen, asked.vectors) + slow(other, asked.vectors)) / 2
    label, _ = obvious(maps, asked, Rules(10.0))
    assert (found.class_id != label).mean() < 1e-3


def test_probabilities_on_the_grid() -> None:
    seen, asked = windows(), words()
    got = grid_probabilities([seen], asked, 10.0)
    assert got.shape == (7, 5, 8)  # 70 x 101 pixels, cells of 13.3
    vertical, level = seen.to_size((5, 8))
    maps = (10 * (vertical @ logits(seen, asked.vectors) @ level.T)).softmax(0)
    wanted = torch.stack([maps[asked.class_ids == k].amax(0) for k in range(7)])
    torch.testing.assert_close(got, wanted)


def test_affinities_and_pamr_by_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexiseg.stages.pamr._AT_ONCE", 2 * 9)  # bands of two rows
    generator = torch.Generator().manual_seed(4)
    height, width, dilations = 7, 9, (1, 3)
    pixels = torch.rand(3, height, width, generator=generator)
    maps = torch.rand(2, height, width, generator=generator)
    got = affinities(pixels, dilations)
    wanted = torch.empty(16, height, width)
    refined = torch.empty(2, height, width)
    for y in range(height):
        for x in range(width):
            places = [
                (
                    min(max(y + dilation * dy, 0), height - 1),
                    min(max(x + dilation * dx, 0), width - 1),
                )
                for dilation in dilations
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if (dy, dx) != (0, 0)
            ]
            near = torch.stack([pixels[:, i, j] for i, j in places])
            centre = pixels[:, y, x]
            spread = torch.cat([near, centre.expand(2, 3)]).std(0)
            wanted[:, y, x] = (-(near - centre).abs() / (1e-8 + 0.1 * spread)).mean(1).softmax(0)
            values = torch.stack([maps[:, i, j] for i, j in places])
            refined[:, y, x] = (wanted[:, y, x, None] * values).sum(0)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pamr(maps, got, 1, dilations), refined, atol=1e-5, rtol=1e-4)
    twice = pamr(refined, got, 1, dilations)
    torch.testing.assert_close(pamr(maps, got, 2, dilations), twice, atol=1e-5, rtol=1e-4)


def test_pamr_in_bands_is_pamr(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, asked = windows(), words()
    pixels = torch.rand(3, *seen.size_hw, generator=torch.Generator().manual_seed(3))
    refine = Pamr(pixels, 2, (1, 3))
    rules = Rules(20.0, thresholds=np.full(7, 0.2, np.float32), refine=refine)
    whole = winners([seen], asked, rules)
    assert refine.reach == 6
    monkeypatch.setattr("lexiseg.stages.winners._BAND", 113 * 30)  # 18 of 61 rows a band
    cut: list[slice] = []
    rows = Pamr.rows
    monkeypatch.setattr(Pamr, "rows", lambda self, part: (cut.append(part), rows(self, part))[1])
    bands = winners([seen], asked, rules)
    assert cut == [slice(0, 24), slice(12, 42), slice(30, 60), slice(48, 61)]
    np.testing.assert_array_equal(bands.class_id, whole.class_id)
    np.testing.assert_allclose(bands.score, whole.score, atol=1e-3)
