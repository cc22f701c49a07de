"""ProxyCLIP's and Trident's stages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.stages.proxy_attention import gather, proxied, proxy_attention, spliced
from lexiseg.stages.resclip import agreement, unbroken


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def block(b: int, h: int, w: int, heads: int = 2, d: int = 3, seed: int = 5) -> Any:
    """An opened last block whose projection is the identity."""
    v = drawn(b, heads, 1 + h * w, d, seed=seed)
    return SimpleNamespace(
        v=v, grid_hw=(h, w),
        project=lambda x: x.transpose(1, 2).reshape(len(x), -1, heads * d),
    )  # fmt: skip


def slow_attention(cells: Tensor, beta: float, gamma: float, mean: float | None) -> list[Tensor]:
    rows = []
    for picture in cells.flatten(1, 2):
        unit = [p / p.norm() for p in picture]
        alike = torch.tensor([[float(a @ b) for b in unit] for a in unit])
        middle = float(alike.mean()) if mean is None else mean
        out = torch.zeros_like(alike)
        for i, row in enumerate(alike):
            weights = [
                math.exp((float(s) - beta * middle) * gamma) if s >= beta * middle else 0.0
                for s in row
            ]
            out[i] = torch.tensor(weights) / sum(weights)
        rows.append(out)
    return rows


def test_affinities_below_the_mean_get_no_weight() -> None:
    cells = drawn(2, 2, 3, 4)
    made = proxy_attention(cells, 1.2, 3.0)
    torch.testing.assert_close(made, torch.stack(slow_attention(cells, 1.2, 3.0, None)))
    assert (made == 0).any()
    unit = F.normalize(cells.flatten(1, 2), dim=-1)
    mean = float((unit @ unit.mT).mean())
    joint = proxy_attention(cells, 1.2, 3.0, joint=True)
    torch.testing.assert_close(joint, torch.stack(slow_attention(cells, 1.2, 3.0, mean)))


def test_a_blank_wall_attends_to_all_of_itself() -> None:
    made = proxy_attention(torch.ones(1, 2, 3, 4), 1.2, 3.0)
    torch.testing.assert_close(made, torch.full((1, 6, 6), 1 / 6))


def test_values_are_brought_to_the_proxys_grid_and_gathered() -> None:
    opened, cells = block(1, 2, 3), drawn(1, 4, 6, 5, seed=1)
    tokens = proxied(opened, cells, 1.2, 3.0)
    weights = slow_attention(cells, 1.2, 3.0, None)[0]
    for head in range(2):
        plane = opened.v[0, head, 1:].T.reshape(1, 3, 2, 3)
        grown = F.interpolate(plane, size=(4, 6), mode="bilinear")[0].flatten(1).T
        for i in range(24):
            wanted = sum(weights[i, j] * grown[j] for j in range(24))
            torch.testing.assert_close(tokens[0, i, head * 3 : head * 3 + 3], wanted)


def test_spliced_windows_are_averaged_where_they_overlap() -> None:
    opened, cells = block(2, 2, 2), drawn(2, 4, 4, 5, seed=2)
    values = proxied(opened, cells, 1.2, 3.0, joint=True).view(2, 4, 4, 6)
    places = [(0, 0, 2, 2), (0, 1, 2, 3)]  # the second begins one of CLIP's cells to the right
    whole = spliced(opened, cells, places, (2, 3), 1.2, 3.0)
    assert whole.shape == (6, 4, 6)
    for y in range(4):
        for x in range(6):
            seen = []
            if x < 4:
                seen.append(values[0, y, x])
            if x >= 2:
                seen.append(values[1, y, x - 2])
            torch.testing.assert_close(whole[:, y, x], torch.stack(seen).mean(0))


@dataclass
class Whole:
    maps: Tensor
    v: Tensor
    grid_hw: tuple[int, int]

    def attention(self, head: int) -> Tensor:
        return self.maps[head]


@pytest.mark.parametrize(("factor", "keep_negative"), [(1.2, True), (-2.0, False), (0.0, True)])
def test_each_place_gathers_from_where_sam_looks(factor: float, keep_negative: bool) -> None:
    whole = Whole(drawn(3, 6, 6, seed=3).softmax(-1), drawn(3, 6, 4, seed=4), (2, 3))
    values = drawn(5, 2, 3, seed=6)
    made = gather(values, whole, factor, keep_negative=keep_negative)
    units = F.normalize(whole.v, dim=-1)
    for i in range(6):
        mean = sum(float(units[h, i] @ units[h, j]) for h in range(3) for j in range(6)) / 18
        limit = factor * mean
        if not keep_negative and limit < 0:
            limit = 0.6
        limit = min(limit, 0.9)
        row = torch.zeros(6)
        for j in range(6):
            for h in range(3):
                if float(units[h, i] @ units[h, j]) > limit:
                    row[j] += whole.maps[h, i, j] / 3
        wanted = values.flatten(1) @ (row / row.sum())
        torch.testing.assert_close(made[i], wanted, atol=1e-5, rtol=1e-4)


LABELS = torch.tensor([[1, 1, 2, 1], [1, 2, 2, 1], [1, 1, 1, 3]])


def slow_unbroken(labels: Tensor, a: tuple[int, int], b: tuple[int, int], longest: int) -> bool:
    """Follow the published code: places t = 0, 1/longest, ...; the first max(|dy|, |dx|) + 1."""
    steps = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
    for i in range(steps + 1):
        t = float(torch.linspace(0, 1, longest + 1)[i])
        y, x = (round(p * (1 - t) + q * t) for p, q in zip(a, b, strict=True))
        if labels[y, x] != labels[a]:
            return False
    return True


def test_lines_between_cells_are_followed_as_published() -> None:
    made = unbroken(LABELS)
    cells = [(y, x) for y in range(3) for x in range(4)]
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            assert bool(made[i, j]) == slow_unbroken(LABELS, a, b, 3), (a, b)
    assert made.any()
    assert not made.all()


@pytest.mark.parametrize("near", [True, False])
def test_agreement_is_smoothed_along_rows_and_sums_to_1(near: bool) -> None:
    made = agreement(LABELS, near=near)
    assert made.shape == (13, 13)
    assert float(made[0].sum() + made[:, 0].sum()) == 0
    flat = LABELS.reshape(-1).tolist()
    kernel = [math.exp(-((k - 6) ** 2) / 50) for k in range(13)]  # 12 cells: 13 is the odd number
    kernel = [k / sum(kernel) for k in kernel]
    clear = unbroken(LABELS)
    for i in range(12):
        row = []
        for j in range(12):
            value = float(flat[i] == flat[j])
            if near and not clear[i, j]:
                value *= math.exp(-max(abs(i // 4 - j // 4), abs(i % 4 - j % 4)) / 3)
            row.append(value)
        smooth = [
            sum(kernel[k] * row[j + k - 6] for k in range(13) if 0 <= j + k - 6 < 12)
            for j in range(12)
        ]
        wanted = torch.tensor(smooth) / (sum(smooth) + 1e-8)
        torch.testing.assert_close(made[1 + i, 1:], wanted, atol=1e-5, rtol=1e-4)
