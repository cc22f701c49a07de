"""Pruned labels and scores against the arg-max and softmax of all words' full maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.stages import pruned as module
from lexiseg.stages.clip_windows import Windows, logits, spans
from lexiseg.stages.dense import WordVectors
from lexiseg.stages.knots import Axis, remainder
from lexiseg.stages.pruned import ERROR, pruned

SIZE = (131, 203)


def windows(
    size_hw: tuple[int, int] = SIZE,
    work_hw: tuple[int, int] = (70, 101),
    *,
    seed: int = 1,
    ragged: bool = False,
    alike: float = 0.0,
) -> Windows:
    """Unaligned windows of features with a common part, as CLIP's have."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = spans(work_hw[0], 40, 24), spans(work_hw[1], 40, 24)
    cells = torch.randn(len(rows), len(columns), 3, 3, 16, generator=generator)
    cells += alike * torch.randn(16, generator=generator)
    padding, reach = ((4, 4), (48, 48)) if ragged else ((0, 0), (40, 40))
    return Windows(F.normalize(cells, dim=-1), rows, columns, work_hw, size_hw, padding, reach)


def words(queries: int, seed: int = 2) -> WordVectors:
    generator = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(queries, 16, generator=generator), dim=-1)
    return WordVectors(vectors, torch.arange(queries), queries, None)


def obvious(seen: list[Windows], asked: WordVectors) -> Tensor:
    """All words' logits at the picture's size, (Q, H, W) float64."""
    total = torch.zeros(len(asked.class_ids), *seen[0].size_hw, dtype=torch.float64)
    for one in seen:
        vertical, level = one.to_picture
        maps = logits(one, asked.vectors).double()
        total += vertical.double() @ maps @ level.double().T
    return total / len(seen)


def check(
    seen: list[Windows], asked: WordVectors, scale: float, alive: Tensor | None = None
) -> None:
    alive = torch.ones(len(asked.class_ids), dtype=torch.bool) if alive is None else alive
    maps = obvious(seen, asked)
    found = pruned(seen, asked, scale, alive)
    living = maps.masked_fill(~alive[:, None, None], -torch.inf)
    owner = torch.from_numpy(found.class_id.astype(np.int64))
    same = owner == asked.class_ids[living.argmax(0)]
    # What was chosen is the best one, to the rounding of float32.
    chosen = torch.where(
        asked.class_ids[:, None, None] == owner, living, torch.full_like(living, -torch.inf)
    ).amax(0)
    assert float((living.amax(0) - chosen).max()) < 3e-6
    if len(torch.unique(asked.vectors, dim=0)) == len(asked.vectors):
        assert float(same.double().mean()) > 0.999
    wanted = (scale * (living.amax(0) - torch.logsumexp(scale * maps, 0) / scale)).exp()
    assert float((torch.from_numpy(found.score) - wanted).abs().max()) < ERROR + 1e-5 * scale / 10


@pytest.mark.parametrize("scale", [1.0, 12.0, 40.0, 100.0])
@pytest.mark.parametrize("alike", [0.0, 2.0], ids=["far-apart", "alike"])
def test_many_words(scale: float, alike: float) -> None:
    check([windows(alike=alike)], words(60), scale)


@pytest.mark.parametrize(
    "size_hw", [(31, 47), (70, 101), (1, 300), (260, 1), (2, 3)],
    ids=["smaller", "same", "row", "column", "tiny"],
)  # fmt: skip
def test_any_size(size_hw: tuple[int, int]) -> None:
    check([windows(size_hw)], words(20), 40.0)


def test_padded_windows_and_several_scales() -> None:
    seen = [
        windows((211, 157), (60, 45), seed=3, ragged=True),
        windows((211, 157), (90, 67), seed=4),
        windows((211, 157), (129, 96), seed=5),
    ]
    check(seen, words(30), 25.0)


def test_one_window_of_a_single_cell() -> None:
    cells = F.normalize(torch.randn(1, 1, 1, 1, 16), dim=-1)
    seen = Windows(cells, ((0, 40),), ((0, 40),), (40, 40), (57, 91), (0, 0), (40, 40))
    check([seen], words(9), 40.0)


def test_one_word() -> None:
    found = pruned([windows()], words(1), 40.0, torch.ones(1, dtype=torch.bool))
    assert (found.class_id == 0).all()
    np.testing.assert_allclose(found.score, 1)


def test_identical_words_share_their_probability() -> None:
    one = words(8)
    twice = WordVectors(one.vectors.repeat(2, 1), torch.arange(16), 16, None)
    check([windows()], twice, 40.0)
    found = pruned([windows()], twice, 40.0, torch.ones(16, dtype=torch.bool))
    assert found.score.max() <= 0.5 + 1e-4


def test_all_words_equal() -> None:
    same = WordVectors(words(1).vectors.expand(12, -1), torch.arange(12), 12, None)
    found = pruned([windows()], same, 40.0, torch.ones(12, dtype=torch.bool))
    np.testing.assert_allclose(found.score, 1 / 12, atol=ERROR)


def test_negative_logits() -> None:
    seen, asked = windows(alike=6.0), words(40)
    mean = seen.cells.flatten(0, -2).mean(0)
    away = F.normalize(0.3 * asked.vectors - F.normalize(mean, dim=0), dim=-1)
    negative = WordVectors(away, asked.class_ids, asked.count, None)
    assert float(obvious([seen], negative).max()) < 0
    check([seen], negative, 40.0)


def test_a_word_that_is_second_everywhere_wins_between() -> None:
    """Two words each win at every other cell; the third, never first at a cell, wins between."""
    a, b = torch.eye(16)[:2]
    cells = torch.stack([a, b, a]).expand(1, 1, 3, 3, 16)
    seen = Windows(cells, ((0, 48),), ((0, 48),), (48, 48), (96, 144), (0, 0), (48, 48))
    third = F.normalize(a + b, dim=0) * 0.9
    asked = WordVectors(torch.stack([a, b, third, -a]), torch.arange(4), 4, None)
    check([seen], asked, 40.0)
    assert (pruned([seen], asked, 40.0, torch.ones(4, dtype=torch.bool)).class_id == 2).any()


def test_dead_words_count_in_the_sum_alone() -> None:
    seen, asked = windows(), words(30)
    winner = int(obvious([seen], asked).argmax(0).flatten().mode().values)
    alive = torch.ones(30, dtype=torch.bool)
    alive[[winner, 3, 4, 5]] = False
    check([seen], asked, 40.0, alive)


def test_synonyms_have_one_owner() -> None:
    one = words(30)
    check([windows()], WordVectors(one.vectors, torch.arange(30) % 7, 7, None), 30.0)


def test_parts_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = words(25)
    alive = torch.ones(25, dtype=torch.bool)
    whole = pruned([windows()], asked, 40.0, alive)
    monkeypatch.setattr(module, "_VALUES", 1000)
    parts = pruned([windows()], asked, 40.0, alive)
    np.testing.assert_array_equal(whole.class_id, parts.class_id)
    np.testing.assert_allclose(whole.score, parts.score, atol=1e-5)


def test_most_words_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The point of it all: few rivals a tile, and fewer places than pixels for the others."""
    looked: list[int] = []
    label = module._Place.label

    def counted(self, values, hull, rivals, exact, smooth, alive):  # type: ignore[no-untyped-def]
        looked.append(len(rivals) + len(exact))
        return label(self, values, hull, rivals, exact, smooth, alive)

    monkeypatch.setattr(module._Place, "label", counted)
    seen = windows((600, 900), alike=2.0)
    asked = words(200)
    pruned([seen], asked, 12.0, torch.ones(200, dtype=torch.bool))
    assert np.mean(looked) < 60


def test_between_knots_maps_are_linear() -> None:
    seen = windows()
    matrix = seen.to_work[0]
    axis = Axis.of([matrix], SIZE[0], torch.device("cpu"))
    assert len(axis.places) < SIZE[0] // 2
    torch.testing.assert_close(
        axis.pixels @ axis.at_knots(matrix), seen.to_picture[0], atol=1e-6, rtol=0
    )
    covered = np.concatenate([np.arange(SIZE[0])[tile.pixels] for tile in axis.tiles()])
    np.testing.assert_array_equal(covered, np.arange(SIZE[0]))


@pytest.mark.parametrize(("half_y", "half_x"), [(0.5, 0.2), (1.0, 1.5), (0.0, 2.0)])
def test_the_remainder_is_a_bound(half_y: float, half_x: float) -> None:
    axis = Axis(np.array([0.0, 90.0]), 91, torch.device("cpu"))
    t = torch.linspace(-1, 1, 91, dtype=torch.float64)
    wanted = (half_y * t[:, None] + half_x * t[None]).exp()
    u = 2 * torch.from_numpy(axis._nodes[0]) / 90 - 1
    nodes = (half_y * u[:, None] + half_x * u[None]).exp()
    got = axis.smooth.double() @ nodes @ axis.smooth.double().T
    missed = float((got - wanted).abs().max() / wanted.max())
    bound = float(remainder(torch.tensor(half_y), torch.tensor(half_x)))
    assert missed < bound + 2e-6  # rounding of the matrix
    assert bound < 1e-3
