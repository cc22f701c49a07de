"""Scores of words at places, and label maps, against slow loops."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lexiseg.prompts import Vocabulary
from lexiseg.stages.dense import WordVectors, label_map, probabilities, word_vectors
from lexiseg.stages.guided_filter import GuidedFilter


def flat_guide(size_hw: tuple[int, int], cell: int = 4, radius: int = 0) -> GuidedFilter:
    rgb = np.random.default_rng(9).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    return GuidedFilter(rgb, size_hw, cell, radius, 1e-3)


# Vectors of words


def owned(encoder: Any, words: str, **options: Any) -> tuple[list[int], WordVectors]:
    vocabulary = Vocabulary.parse(words, **options)
    vectors = word_vectors(encoder, vocabulary, ("{}",))
    assert vectors.vectors.shape == (len(vectors.class_ids), 8)
    assert vectors.count == vocabulary.num_classes
    return vectors.class_ids.tolist(), vectors


def test_each_phrase_has_a_vector_and_an_owner(colours: Any) -> None:
    owners, vectors = owned(colours, "red|yellow; green -black", background="grey; white")
    assert owners == [0, 0, 1, 2, 3, 3]
    assert vectors.background == 3
    assert vectors.vectors.argmax(1).tolist() == [0, 3, 1, 4, 6, 5]


def test_a_background_word_that_means_an_asked_word_steps_back(colours: Any) -> None:
    # Scarlet is red to this encoder (cosine 0.958 of at least 0.85), orange is not (0.707).
    owners, vectors = owned(colours, "red; green", background="scarlet; grey; orange")
    assert owners == [0, 1, 2, 2]
    assert vectors.vectors[2].argmax() == 6
    owners, _ = owned(colours, "green -red", background="scarlet; grey")
    assert owners == [0, 1, 2]
    owners, _ = owned(colours, "green|red", background="crimson; grey")
    assert owners == [0, 0, 1]


def test_the_last_background_words_stay(colours: Any) -> None:
    # Otherwise everything would be red: whoever gives a near word wants the difference.
    owners, _ = owned(colours, "red", background="scarlet; crimson")
    assert owners == [0, 1, 1]


def test_asked_words_that_mean_the_same_both_stay(colours: Any) -> None:
    owners, _ = owned(colours, "red; scarlet", background=None)
    assert owners == [0, 1]


def test_silent_words_have_no_vector_and_no_probability(colours: Any) -> None:
    vocabulary = Vocabulary.parse("red; green|blue; yellow -black", background="grey")
    vectors = word_vectors(colours, vocabulary, ("{}",), {"green", "yellow", "black"})
    # Only asked words fall silent: an excluded one takes its pixels away whatever it is.
    assert vectors.class_ids.tolist() == [0, 3, 4]
    grid = F.normalize(torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    made = probabilities(grid, vectors, 20.0)
    assert made.shape == (5, 2, 3)
    assert not made[1:3].any()
    torch.testing.assert_close(made.sum(0), torch.ones(2, 3))


def test_the_literal_background_owns_what_is_left(colours: Any) -> None:
    owners, vectors = owned(colours, "red; background; green", background="scarlet; grey")
    assert owners == [0, 2, 1]
    assert vectors.background == 1


def test_templates_reach_the_encoder(colours: Any) -> None:
    vocabulary = Vocabulary.parse("thing", background=None)
    vectors = word_vectors(colours, vocabulary, ("red {}", "green {}")).vectors[0]
    assert vectors[:2].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


# Probabilities


def test_probabilities_are_the_softmax_of_best_synonyms_and_summed_background() -> None:
    rng = torch.Generator().manual_seed(0)
    grid = F.normalize(torch.randn(3, 5, 6, generator=rng), dim=-1)
    vectors = F.normalize(torch.randn(7, 6, generator=rng), dim=-1)
    owners, background = [0, 0, 2, 1, 3, 3, 3], 3
    made = probabilities(grid, WordVectors(vectors, torch.tensor(owners), 4, background), 12.5)
    assert made.shape == (4, 3, 5)
    for y in range(3):
        for x in range(5):
            logits = [12.5 * float(grid[y, x] @ v) for v in vectors]
            weight = [0.0] * 4
            for owner in range(3):
                weight[owner] = np.exp(
                    max(v for v, o in zip(logits, owners, strict=True) if o == owner)
                )
            weight[3] = sum(np.exp(v) for v in logits[4:])
            for owner in range(4):
                expected = weight[owner] / sum(weight)
                assert float(made[owner, y, x]) == pytest.approx(expected, rel=1e-4)


def test_probabilities_do_not_depend_on_the_order_of_words() -> None:
    rng = torch.Generator().manual_seed(1)
    grid = F.normalize(torch.randn(4, 3, 6, generator=rng), dim=-1)
    vectors = F.normalize(torch.randn(4, 6, generator=rng), dim=-1)
    plain = probabilities(grid, WordVectors(vectors, torch.arange(4), 4, None), 20.0)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = probabilities(grid, WordVectors(vectors[order], torch.arange(4), 4, None), 20.0)
    torch.testing.assert_close(shuffled, plain[order])


def test_a_single_word_without_background_is_certain() -> None:
    grid = F.normalize(torch.randn(2, 3, 6), dim=-1)
    one = WordVectors(F.normalize(torch.randn(1, 6), dim=-1), torch.tensor([0]), 1, None)
    assert probabilities(grid, one, 20.0).tolist() == torch.ones(1, 2, 3).tolist()


# Label maps


def slow_labels(
    maps: NDArray[np.float32], guide: GuidedFilter, thresholds: NDArray[np.float32] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bilinear values, arg-max over the owners that win in the tile or one cell from it."""
    height, width = guide.size_hw
    _, h, w = maps.shape
    first = maps.argmax(0)
    owner, score = np.zeros((height, width), int), np.zeros((height, width))
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
            owner[y, x], score[y, x] = best if sure else -1, values[best]
    return owner, score


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
    owner, score = slow_labels(maps, guide, limits)
    assert made.class_id.shape == made.score.shape == size_hw
    assert (made.class_id.dtype, made.score.dtype) == (np.int16, np.float16)
    np.testing.assert_array_equal(made.class_id, owner)
    np.testing.assert_allclose(made.score, score, atol=2e-3)


@pytest.mark.parametrize("radius", [0, 2])
def test_what_is_worked_on_at_once_makes_no_difference(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = torch.rand(6, 21, 19, generator=torch.Generator().manual_seed(2)).softmax(0)
    guide = flat_guide((84, 73), radius=radius)
    whole = label_map(maps, guide)
    monkeypatch.setattr("lexiseg.stages.dense._AT_ONCE", 70)
    monkeypatch.setattr("lexiseg.stages.dense._WIDEST", 33)
    banded = label_map(maps, guide)
    np.testing.assert_array_equal(banded.class_id, whole.class_id)
    np.testing.assert_allclose(banded.score, whole.score, atol=1e-3)


def test_only_an_owner_that_wins_somewhere_is_painted() -> None:
    # In the middle between two places, 0.5 of each winner, the third owner has 0.46 + 0.08.
    maps = torch.tensor([[[0.54, 0.0]], [[0.0, 0.54]], [[0.46, 0.46]]])
    made = label_map(maps, flat_guide((4, 8)))
    assert set(np.unique(made.class_id)) == {0, 1}
    np.testing.assert_array_equal(made.class_id[0], [0, 0, 0, 0, 1, 1, 1, 1])


def test_a_permutation_of_owners_permutes_the_label_map() -> None:
    maps = torch.rand(5, 8, 11, generator=torch.Generator().manual_seed(4)).softmax(0)
    order = [3, 0, 4, 1, 2]
    guide = flat_guide((32, 44), radius=2)
    plain, shuffled = label_map(maps, guide), label_map(maps[order], guide)
    np.testing.assert_array_equal(np.array(order)[shuffled.class_id], plain.class_id)
    np.testing.assert_array_equal(shuffled.score, plain.score)


def test_scores_lie_between_0_and_1_however_the_guide_swings() -> None:
    maps = torch.rand(3, 8, 11, generator=torch.Generator().manual_seed(5)).round()
    made = label_map(maps, GuidedFilter(flat_guide((32, 44)).rgb, (32, 44), 4, 1, 1e-6))
    assert made.score.min() >= 0
    assert made.score.max() <= 1


def test_many_owners_need_wider_numbers() -> None:
    maps = torch.zeros(2**15, 1, 2)
    maps[2**15 - 1, 0, 0] = maps[7, 0, 1] = 1
    made = label_map(maps, flat_guide((4, 8)))
    assert made.class_id.dtype == np.int32
    assert made.class_id[0].tolist() == [2**15 - 1] * 4 + [7] * 4


def peak_of_labelling(owners: int, size_hw: tuple[int, int]) -> int:
    """The most memory, in bytes, that NumPy and Python hold at once beside the arguments."""
    h, w = 24, 32
    maps = torch.rand(owners, h, w, generator=torch.Generator().manual_seed(6))
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
