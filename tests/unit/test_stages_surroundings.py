"""A part's probabilities mixed with those of a larger part around it, against sums by hand."""

from __future__ import annotations

import torch

from lexiseg.stages.surroundings import with_surroundings


def test_a_part_takes_what_lies_at_its_own_place() -> None:
    # The larger part is 80 x 120, seen on cells of 8: values are the places of their middles.
    y, x = torch.meshgrid(torch.arange(10) * 8.0 + 4, torch.arange(15) * 8.0 + 4, indexing="ij")
    larger = torch.stack([y, x])
    own = torch.zeros(2, 6, 8)  # rows 20 to 50, columns 30 to 90, at twice the scale: 60 x 120
    box = (30 / 120, 20 / 80, 90 / 120, 50 / 80)
    mixed = with_surroundings(own, ((60, 120), 10), larger, ((80, 120), 8), box, weight=1)
    torch.testing.assert_close(mixed[0, :, 0], 20 + 10 * (torch.arange(6) + 0.5) / 2)
    # The grid reaches over the part: 8 cells of 16 are 128.
    over = with_surroundings(own, ((60, 120), 16), larger, ((80, 120), 8), box, weight=1)
    want = (30 + 16 * (torch.arange(8) + 0.5) / 2).clamp(max=90)
    torch.testing.assert_close(over[1, 0], want)
    torch.testing.assert_close(
        with_surroundings(own + 4, ((60, 120), 10), larger, ((80, 120), 8), box),
        (mixed + 4) / 2,
    )
