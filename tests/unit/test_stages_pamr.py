"""Pixel-adaptive refinement against loops over pixels and their neighbours."""

from __future__ import annotations

import pytest
import torch

from lexiseg.stages.pamr import affinities, pamr


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
