"""Pictures of any size: scaled, padded, and looked at through windows that lie on one grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lexiseg.stages.dense_features import (
    Features,
    LabelRules,
    encode_image,
    pad_to_multiple,
    plan_windows,
    resize_image,
    working_size,
)
from lexiseg.stages.pamr import Pamr, resampled_pixels
from lexiseg.stages.word_vectors import WordVectors


class Places:
    """An encoder whose feature says where in its window a cell lies: blending shows in it."""

    def __init__(self, multiple: int = 8, cell: int = 4) -> None:
        from lexiseg.protocols import SizePolicy

        self.size, self.cell = SizePolicy(64, 64, multiple), cell
        self.calls = 0

    def dense(self, rgb: torch.Tensor) -> torch.Tensor:
        b, height, width, _ = rgb.shape
        h, w = height // self.cell, width // self.cell
        y, x = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
        number = (
            torch.full_like(y, 1.0)[None] * torch.arange(self.calls, self.calls + b)[:, None, None]
        )
        self.calls += b
        features = torch.stack([y.expand(b, h, w), x.expand(b, h, w), number + 1], -1)
        return F.normalize(features, dim=-1)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise of pure named colours, so that every cell has a feature of its own."""
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 0, 0]], np.uint8)
    return palette[np.random.default_rng(seed).integers(0, 5, (height, width))]


# PAMR


@pytest.mark.parametrize(
    ("given", "dilations", "size_hw"),
    [((), (3, 6), (84, 126)), ((), (1,), (20, 30)), ((2, 5), (2, 5), (84, 126))],
)
def test_pamr_reaches_a_cell_far_whatever_was_made_of_the_probabilities(
    given: tuple[int, ...], dilations: tuple[int, ...], size_hw: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(3)
    grid = F.normalize(torch.rand(14, 21, 4, generator=generator), dim=-1)
    features = Features(grid, 4, (56, 84), size_hw, ())
    words = WordVectors(torch.eye(4), torch.arange(4), 4, None)
    probabilities = torch.rand(4, 14, 21, generator=generator).softmax(0)
    probabilities[1, :5] = 0  # as of a region that has lost its word
    rgb = noise(*size_hw)
    rules = LabelRules(1.0, refine="pamr", pamr_steps=2, pamr_dilations=given)
    found = features.label_pixels(words, probabilities, rgb, rules)
    logits = F.interpolate(probabilities.clamp_min(1e-12).log()[None], (56, 84), mode="bilinear")
    logits = F.interpolate(logits, size_hw, mode="bilinear")[0]
    flowed = Pamr(resampled_pixels(rgb, (56, 84)), 2, dilations)(logits).softmax(0)
    best, second = flowed.topk(2, 0).values
    sure = (best - second > 1e-4).numpy()
    assert sure.mean() > 0.99
    assert (found.labels == flowed.argmax(0).numpy())[sure].all()
    assert np.abs(found.scores - best.numpy()).max() < 2e-3  # half precision


# Sizes


@pytest.mark.parametrize(
    ("size_hw", "short_side", "expected"),
    [
        ((480, 640), 320, (320, 427)),
        ((640, 480), 320, (427, 320)),
        ((1, 1), 320, (320, 320)),
        ((3, 2), 320, (480, 320)),
        ((10, 160), 320, (320, 5120)),  # 16 times as long as wide: still whole
    ],
)
def test_the_short_side_is_scaled(
    size_hw: tuple[int, int], short_side: int, expected: tuple[int, int]
) -> None:
    assert working_size(size_hw, short_side) == expected


@pytest.mark.parametrize("size_hw", [(1, 300), (300, 1), (2, 100_000), (1, 10**6)])
def test_long_strips_cost_no_more_than_16_squares(size_hw: tuple[int, int]) -> None:
    height, width = working_size(size_hw, 320)
    assert min(height, width) >= 1
    assert height * width <= 1.05 * 16 * 320**2


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
@pytest.mark.parametrize(("window", "multiple"), [(64, 8), (100, 14), (320, 32)])
@pytest.mark.parametrize("work_hw", [(1, 1), (64, 65), (97, 640), (333, 212), (1000, 70)])
def test_windows_cover_the_picture_on_one_grid(
    work_hw: tuple[int, int], multiple: int, window: int, overlap: float
) -> None:
    windows = plan_windows(work_hw, window, overlap, multiple)
    side = window // multiple * multiple
    seen = np.zeros(work_hw, int)
    for y0, x0, y1, x1 in windows:
        assert 0 <= y0 < y1 <= work_hw[0]
        assert 0 <= x0 < x1 <= work_hw[1]
        assert y0 % multiple == x0 % multiple == 0
        assert y1 - y0 <= side
        assert x1 - x0 <= side
        # A window that is not whole ends with the picture, and is padded to the same size.
        for start, stop, end in ((y0, y1, work_hw[0]), (x0, x1, work_hw[1])):
            assert stop - start == side or stop == end
            whole = min(side, -(-end // multiple) * multiple)
            assert -(-(stop - start) // multiple) * multiple == whole
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    assert len(set(windows)) == len(windows)
    if max(work_hw) <= side:
        assert len(windows) == 1


def test_neighbours_share_at_least_the_overlap() -> None:
    windows = plan_windows((100, 3000), 320, 0.25, 32)
    starts = [x0 for _, x0, _, _ in windows]
    steps = np.diff(starts)
    assert steps.max() <= 240
    assert steps.max() - steps.min() <= 32
    assert windows[-1][3] == 3000


def test_a_window_smaller_than_a_multiple_is_one_multiple() -> None:
    assert plan_windows((40, 70), 20, 0.0, 32) == (
        (0, 0, 32, 32), (0, 32, 32, 64), (0, 64, 32, 70),
        (32, 0, 40, 32), (32, 32, 40, 64), (32, 64, 40, 70),
    )  # fmt: skip


def test_padding_repeats_the_border() -> None:
    pixels = noise(5, 9)
    out = pad_to_multiple(pixels, 8)
    assert out.shape == (8, 16, 3)
    np.testing.assert_array_equal(out[:5, :9], pixels)
    np.testing.assert_array_equal(out[5:, :9], pixels[4:5].repeat(3, 0))
    np.testing.assert_array_equal(out[:, 9:], out[:, 8:9].repeat(7, 1))
    assert pad_to_multiple(pixels, 1).shape == (5, 9, 3)


def test_scaling_down_means_areas() -> None:
    pixels = noise(6, 8)
    means = pixels.reshape(3, 2, 4, 2, 3).astype(float).mean((1, 3))
    assert np.abs(resize_image(pixels, (3, 4)) - means).max() <= 0.51
    np.testing.assert_array_equal(resize_image(pixels, (6, 8)), pixels)
    assert resize_image(pixels[:1, :1], (3, 5)).tolist() == [[pixels[0, 0].tolist()] * 5] * 3


# Features


@pytest.mark.parametrize("size_hw", [(64, 96), (70, 203), (203, 70), (133, 131)])
@pytest.mark.parametrize(("window", "overlap"), [(32, 0.0), (40, 0.25), (64, 0.6)])
def test_windows_give_what_one_look_gives(
    colours: Any, size_hw: tuple[int, int], window: int, overlap: float
) -> None:
    # The colours' encoder sees single cells only: where it looks from makes no difference.
    rgb, short = noise(*size_hw), min(size_hw)
    once = encode_image(colours, rgb, short_side=short, window=4096)
    assert len(once.windows) == 1
    often = encode_image(colours, rgb, short_side=short, window=window, overlap=overlap, batch=3)
    assert len(often.windows) > 1
    assert often.grid.shape == once.grid.shape == (-(-size_hw[0] // 4), -(-size_hw[1] // 4), 8)
    torch.testing.assert_close(often.grid, once.grid, rtol=0, atol=1e-6)
    assert (often.cell, often.work_hw, often.size_hw) == (4, size_hw, size_hw)


def test_features_are_of_unit_length(colours: Any) -> None:
    grid = encode_image(colours, noise(50, 131), short_side=70, window=40).grid
    torch.testing.assert_close(grid.norm(dim=-1), torch.ones(grid.shape[:2]))


def test_overlaps_are_averaged_with_weights_that_fall_to_the_border() -> None:
    encoder = Places()
    out = encode_image(encoder, noise(45, 150), short_side=45, window=64, overlap=0.25, batch=2)
    assert out.windows == ((0, 0, 45, 64), (0, 48, 45, 112), (0, 88, 45, 150))
    # Slowly: every window's cells with a tent's weight, the last window's inside the picture.
    total = np.zeros((12, 38, 3))
    again = Places()
    for _, x0, _, x1 in out.windows:
        grid = again.dense(torch.zeros(1, 48, 64, 3))[0].numpy()
        columns = -(-(x1 - x0) // 4)
        for r in range(12):
            for c in range(columns):
                down, across = (r + 0.5) / 12, (c + 0.5) / columns
                weight = (0.05 + min(down, 1 - down)) * (0.05 + min(across, 1 - across))
                total[r, x0 // 4 + c] += weight * grid[r, c]
    expected = total / np.linalg.norm(total, axis=-1, keepdims=True)
    np.testing.assert_allclose(out.grid.numpy(), expected, atol=1e-6)


def test_windows_of_one_size_go_through_together(colours: Any) -> None:
    encode_image(colours, noise(70, 203), short_side=70, window=64, batch=3)
    assert {shape[1:] for shape in colours.seen} == {(64, 64, 3)}
    assert [shape[0] for shape in colours.seen] == [3, 3, 2]


@pytest.mark.parametrize("size_hw", [(64, 96), (61, 93)])
@pytest.mark.parametrize("window", [48, 4096])
def test_flip_averages_with_the_mirrored_picture(
    colours: Any, size_hw: tuple[int, int], window: int
) -> None:
    # What the colours' encoder sees does not change in a mirror, so neither does the average:
    # cells fall on cells, beyond the border too.
    rgb = noise(*size_hw)
    plain = encode_image(colours, rgb, short_side=min(size_hw), window=window)
    both = encode_image(colours, rgb, short_side=min(size_hw), window=window, flip=True)
    torch.testing.assert_close(both.grid, plain.grid, rtol=0, atol=1e-6)


def test_flip_averages_mirrored_places() -> None:
    class Fixed(Places):
        def dense(self, rgb: torch.Tensor) -> torch.Tensor:
            self.calls = 0
            return super().dense(rgb)

    plain = encode_image(Fixed(), noise(32, 60), short_side=32, window=64).grid
    both = encode_image(Fixed(), noise(32, 60), short_side=32, window=64, flip=True).grid
    whole = Fixed().dense(torch.zeros(1, 32, 64, 3))[0]
    expected = F.normalize(whole + whole.flip(1), dim=-1)[:, :15]
    torch.testing.assert_close(both, expected)
    assert not torch.allclose(both, plain)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("window", [64, 96])
def test_tiny_pictures_and_strips(colours: Any, size_hw: tuple[int, int], window: int) -> None:
    rgb = np.full((*size_hw, 3), (255, 0, 0), np.uint8)
    out = encode_image(colours, rgb, short_side=64, window=window)
    h, w = (-(-side // 4) for side in out.work_hw)
    assert out.grid.shape == (h, w, 8)
    assert (out.grid[..., 0] > 0.999).all()


def test_nothing_is_encoded_twice(colours: Any) -> None:
    encode_image(colours, noise(64, 96), short_side=64, window=96)
    assert colours.seen == [(1, 64, 96, 3)]
