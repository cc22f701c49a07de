"""Doubtful regions lose their word: beside a flood fill, and what is left to the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lexiseg.stages.dense_features import doubtful_places, without_doubtful


def flood(inside: np.ndarray) -> list[np.ndarray]:
    """The 8-connected regions of a mask, place after place."""
    left, out = {(int(y), int(x)) for y, x in np.argwhere(inside)}, []
    while left:
        region, stack = np.zeros_like(inside), [left.pop()]
        while stack:
            y, x = stack.pop()
            region[y, x] = True
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            stack += near
        out.append(region)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_doubtful_regions_are_those_of_a_flood_fill(seed: int) -> None:
    rng = np.random.default_rng(seed)
    winner = rng.integers(0, 3, (17, 23))
    share = rng.uniform(0.4, 1, winner.shape).astype(np.float32)
    found = doubtful_places(winner, share, 2, 0.7)
    expected = np.zeros(winner.shape, np.bool_)
    for word in (0, 1):
        for region in flood(winner == word):
            expected |= region & (share[region].mean() < 0.7)
    assert (found == expected).all()
    assert 0 < found.mean() < 1


def test_the_others_share_what_a_doubtful_word_had() -> None:
    maps = torch.tensor([0.5, 0.1, 0.4])[:, None, None].repeat(1, 4, 6)  # word, word, background
    maps[:, 1, 2] = torch.tensor([0.96, 0.02, 0.02])  # one sure place does not make a region sure
    left = without_doubtful(maps, 2, 0.7)
    torch.testing.assert_close(left.sum(0), torch.ones(4, 6))
    assert (left[0] == 0).all()
    torch.testing.assert_close(left[:, 0, 0], torch.tensor([0, 0.2, 0.8]))
    assert without_doubtful(maps, 2, 0.5) is maps  # 0.5 of 0.9 is sure enough
