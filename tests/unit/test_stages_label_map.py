"""Label maps against slow loops."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.close import assert_close

from lexiseg.stages.label_map import GuidedFilter, label_map, winning_labels


def flat_guide(size_hw: tuple[int, int], cell: int = 4, radius: int = 0) -> GuidedFilter:
    rgb = np.random.default_rng(9).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    return GuidedFilter(rgb, size_hw, cell, radius, 1e-3)


def slow_labels(
    maps: NDArray[np.float32], guide: GuidedFilter, thresholds: NDArray[np.float32] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bilinear values, arg-max over the classes that win in the tile or one cell from it."""
    height, width = guide.size_hw
    _, h, w = maps.shape
    first = maps.argmax(0)
    label, score = np.zeros((height, width), int), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = (y + 0.5) / height * guide.work_hw[0] / guide.cell
            u = (x + 0.5) / width * guide.work_hw[1] / guide.cell
            top, left = int(v) // 16 * 16, int(u) // 16 * 16
            rivals = np.unique(first[max(top - 1, 0) : top + 17, max(left - 1, 0) : left + 17])
            v, u = min(max(v - 0.5, 0.0), h - 1.0), min(max(u - 0.5, 0.0), w - 1.0)
            i, j = int(v), int(u)
            ii, jj, fy, fx = min(i + 1, h - 1), min(j + 1, w - 1), v - i, u - j
            values = (
                maps[:, i, j] * (1 - fy) * (1 - fx)
                + maps[:, i, jj] * (1 - fy) * fx
                + maps[:, ii, j] * fy * (1 - fx)
                + maps[:, ii, jj] * fy * fx
            )
            best = max(rivals, key=lambda k: values[k])
            sure = thresholds is None or values[best] >= thresholds[best]
            label[y, x], score[y, x] = best if sure else -1, values[best]
    return label, score


@pytest.mark.parametrize("size_hw", [(22, 35), (1, 1), (1, 30), (3, 2), (90, 9), (67, 131)])
@pytest.mark.parametrize("thresholds", [None, (0.0, 0.4, 0.9, 0.2, 0.3)])
def test_radius_0_is_bilinear_and_arg_max(
    size_hw: tuple[int, int], thresholds: tuple[float, ...] | None
) -> None:
    h, w = (-(-side // 4) for side in size_hw)
    maps = np.random.default_rng(3).dirichlet([0.5] * 5, (h, w)).transpose(2, 0, 1)
    maps = maps.astype(np.float32)
    guide = flat_guide(size_hw)
    limits = None if thresholds is None else np.array(thresholds, np.float32)
    made = label_map(torch.from_numpy(maps), guide, limits)
    label, score = slow_labels(maps, guide, limits)
    assert made.labels.shape == made.scores.shape == size_hw
    assert (made.labels.dtype, made.scores.dtype) == (np.int16, np.float16)
    np.testing.assert_array_equal(made.labels, label)
    assert_close(made.scores, score, 1e-3)  # they are stored as float16


@pytest.mark.parametrize("radius", [0, 2])
def test_what_is_worked_on_at_once_makes_no_difference(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = torch.rand(6, 21, 19, generator=torch.Generator().manual_seed(2)).softmax(0)
    guide = flat_guide((84, 73), radius=radius)
    whole = label_map(maps, guide)
    monkeypatch.setattr("lexiseg.stages.label_map._AT_ONCE", 70)
    monkeypatch.setattr("lexiseg.stages.label_map._WIDEST", 33)
    banded = label_map(maps, guide)
    np.testing.assert_array_equal(banded.labels, whole.labels)
    assert_close(banded.scores, whole.scores, 1e-3)


@pytest.mark.parametrize("radius", [0, 2])
def test_labels_without_scores_are_the_same(radius: int) -> None:
    maps = torch.rand(6, 21, 19, generator=torch.Generator().manual_seed(8)).softmax(0)
    guide = flat_guide((84, 73), radius=radius)
    assert (winning_labels(maps, guide) == label_map(maps, guide).labels).mean() > 0.9999
    one = torch.ones(1, 21, 19)
    np.testing.assert_array_equal(winning_labels(one, guide), np.zeros((84, 73)))


@pytest.mark.parametrize("radius", [0, 2])
def test_of_some_classes_alone_pixels_are_the_same(radius: int) -> None:
    maps = (4 * torch.rand(5, 40, 84, generator=torch.Generator().manual_seed(3))).softmax(0)
    guide, values = flat_guide((160, 336), radius=radius), np.array([7, 5, 3, -1, 9])
    limits = np.array([0, 0.4, 0, 0, 0.3], np.float32)
    whole = label_map(maps, guide, limits)
    part = label_map(maps, guide, limits, values=values, only=[1])
    there = whole.labels == 1
    assert there.any()
    np.testing.assert_array_equal(part.labels == 5, there)
    np.testing.assert_array_equal(part.scores[there], whole.scores[there])
    winners = winning_labels(maps, guide, values=values, only=[1])
    np.testing.assert_array_equal(winners == 5, winning_labels(maps, guide) == 1)
    renamed = label_map(maps, guide, limits, values=values)
    np.testing.assert_array_equal(renamed.labels, np.append(values, -1)[whole.labels])
    far = torch.zeros(2, 64, 8)
    far[0, :32] = far[1, 32:] = 1
    half = label_map(far, flat_guide((256, 32), radius=radius), only=[1])
    assert half.labels[:16].max() == -1  # no tile in which it could win
    assert half.labels[192:].min() == 1


def test_only_a_label_that_wins_somewhere_is_painted() -> None:
    # In the middle between two places, 0.5 of each winner, the third label has 0.46 + 0.08.
    maps = torch.tensor([[[0.54, 0.0]], [[0.0, 0.54]], [[0.46, 0.46]]])
    made = label_map(maps, flat_guide((4, 8)))
    assert set(np.unique(made.labels)) == {0, 1}
    np.testing.assert_array_equal(made.labels[0], [0, 0, 0, 0, 1, 1, 1, 1])


def test_a_permutation_of_classes_permutes_the_label_map() -> None:
    maps = torch.rand(5, 8, 11, generator=torch.Generator().manual_seed(4)).softmax(0)
    order = [3, 0, 4, 1, 2]
    guide = flat_guide((32, 44), radius=2)
    plain, shuffled = label_map(maps, guide), label_map(maps[order], guide)
    np.testing.assert_array_equal(np.array(order)[shuffled.labels], plain.labels)
    np.testing.assert_array_equal(shuffled.scores, plain.scores)


def test_scores_lie_between_0_and_1_however_the_guide_swings() -> None:
    maps = torch.rand(3, 8, 11, generator=torch.Generator().manual_seed(5)).round()
    made = label_map(maps, GuidedFilter(flat_guide((32, 44)).rgb, (32, 44), 4, 1, 1e-6))
    assert made.scores.min() >= 0
    assert made.scores.max() <= 1


def test_many_classes_need_wider_numbers() -> None:
    maps = torch.zeros(2**15, 1, 2)
    maps[2**15 - 1, 0, 0] = maps[7, 0, 1] = 1
    made = label_map(maps, flat_guide((4, 8)))
    assert made.labels.dtype == np.int32
    assert made.labels[0].tolist() == [2**15 - 1] * 4 + [7] * 4


def peak_of_labelling(classes: int, size_hw: tuple[int, int]) -> int:
    """The most memory, in bytes, that NumPy and Python hold at once beside the arguments."""
    h, w = 24, 32
    maps = torch.rand(classes, h, w, generator=torch.Generator().manual_seed(6))
    guide = GuidedFilter(np.zeros((*size_hw, 3), np.uint8), (96, 128), 4, 2, 1e-3)
    tracemalloc.start()
    label_map(maps, guide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_words_times_pixels() -> None:
    size_hw = (600, 800)
    few, many = peak_of_labelling(2, size_hw), peak_of_labelling(62, size_hw)
    # Planes of the 60 further words would be 240 bytes a pixel.
    assert many - few < 8 * size_hw[0] * size_hw[1]
    assert many < 40e6


@pytest.mark.slow
def test_12_megapixels_and_200_words_fit_into_little_memory() -> None:
    assert peak_of_labelling(200, (3000, 4000)) < 150e6  # the result alone takes 48 MB
