"""Vectors of words, the probabilities of their classes, and words that nobody knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.prompts import Vocabulary
from lexiseg.results import UnknownWord
from lexiseg.stages.word_vectors import (
    WordVectors,
    class_probabilities,
    unknown_words,
    word_vectors,
)


def encoded(encoder: Any, words: str, **options: Any) -> tuple[list[int], WordVectors]:
    vocabulary = Vocabulary.parse(words, **options)
    vectors = word_vectors(encoder, vocabulary, ("{}",))
    assert vectors.vectors.shape == (len(vectors.class_ids), 8)
    assert vectors.num_classes == vocabulary.num_classes
    return vectors.class_ids.tolist(), vectors


def test_each_phrase_has_a_vector_and_a_class(colours: Any) -> None:
    class_ids, vectors = encoded(colours, "red|yellow; green -black", background="grey; white")
    assert class_ids == [0, 0, 1, 2, 3, 3]
    assert vectors.background == 3
    assert vectors.vectors.argmax(1).tolist() == [0, 3, 1, 4, 6, 5]


def test_a_background_word_that_means_an_asked_word_steps_back(colours: Any) -> None:
    # Scarlet is red to this encoder (cosine 0.958 of at least 0.85), orange is not (0.707).
    class_ids, vectors = encoded(colours, "red; green", background="scarlet; grey; orange")
    assert class_ids == [0, 1, 2, 2]
    assert vectors.vectors[2].argmax() == 6
    class_ids, _ = encoded(colours, "green -red", background="scarlet; grey")
    assert class_ids == [0, 1, 2]
    class_ids, _ = encoded(colours, "green|red", background="crimson; grey")
    assert class_ids == [0, 0, 1]


def test_the_last_background_words_stay(colours: Any) -> None:
    # Otherwise everything would be red: whoever gives a near word wants the difference.
    class_ids, _ = encoded(colours, "red", background="scarlet; crimson")
    assert class_ids == [0, 1, 1]


def test_asked_words_that_mean_the_same_both_stay(colours: Any) -> None:
    class_ids, _ = encoded(colours, "red; scarlet", background=None)
    assert class_ids == [0, 1]


def test_silent_words_have_no_vector_and_no_probability(colours: Any) -> None:
    vocabulary = Vocabulary.parse("red; green|blue; yellow -black", background="grey")
    vectors = word_vectors(colours, vocabulary, ("{}",), {"green", "yellow", "black"})
    # Only asked words fall silent: an excluded one takes its pixels away whatever it is.
    assert vectors.class_ids.tolist() == [0, 3, 4]
    grid = F.normalize(torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    made = grid_probabilities(grid, vectors, 20.0)
    assert made.shape == (5, 2, 3)
    assert not made[1:3].any()
    torch.testing.assert_close(made.sum(0), torch.ones(2, 3))


def test_the_literal_background_has_what_is_left(colours: Any) -> None:
    class_ids, vectors = encoded(colours, "red; background; green", background="scarlet; grey")
    assert class_ids == [0, 2, 1]
    assert vectors.background == 1


def test_templates_reach_the_encoder(colours: Any) -> None:
    vocabulary = Vocabulary.parse("thing", background=None)
    vectors = word_vectors(colours, vocabulary, ("red {}", "green {}")).vectors[0]
    assert vectors[:2].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


# Probabilities


def grid_probabilities(grid: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Of cells (h, w, D), (C, h, w)."""
    return class_probabilities((grid @ words.vectors.T).permute(2, 0, 1), words, scale)


def test_probabilities_are_the_softmax_of_best_synonyms_and_summed_background() -> None:
    rng = torch.Generator().manual_seed(0)
    grid = F.normalize(torch.randn(3, 5, 6, generator=rng), dim=-1)
    vectors = F.normalize(torch.randn(7, 6, generator=rng), dim=-1)
    class_ids, background = [0, 0, 2, 1, 3, 3, 3], 3
    words = WordVectors(vectors, torch.tensor(class_ids), 4, background)
    made = grid_probabilities(grid, words, 12.5)
    assert made.shape == (4, 3, 5)
    for y in range(3):
        for x in range(5):
            logits = [12.5 * float(grid[y, x] @ v) for v in vectors]
            weight = [0.0] * 4
            for class_id in range(3):
                weight[class_id] = np.exp(
                    max(v for v, o in zip(logits, class_ids, strict=True) if o == class_id)
                )
            weight[3] = sum(np.exp(v) for v in logits[4:])
            for class_id in range(4):
                expected = weight[class_id] / sum(weight)
                assert float(made[class_id, y, x]) == pytest.approx(expected, rel=1e-4)


def test_probabilities_do_not_depend_on_the_order_of_words() -> None:
    rng = torch.Generator().manual_seed(1)
    grid = F.normalize(torch.randn(4, 3, 6, generator=rng), dim=-1)
    vectors = F.normalize(torch.randn(4, 6, generator=rng), dim=-1)
    plain = grid_probabilities(grid, WordVectors(vectors, torch.arange(4), 4, None), 20.0)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = grid_probabilities(grid, WordVectors(vectors[order], torch.arange(4), 4, None), 20.0)
    torch.testing.assert_close(shuffled, plain[order])


def test_a_single_word_without_background_is_certain() -> None:
    grid = F.normalize(torch.randn(2, 3, 6), dim=-1)
    one = WordVectors(F.normalize(torch.randn(1, 6), dim=-1), torch.tensor([0]), 1, None)
    assert grid_probabilities(grid, one, 20.0).tolist() == torch.ones(1, 2, 3).tolist()


def test_probabilities_of_masks_are_those_of_places() -> None:
    vectors = F.normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(3)), dim=-1)
    words = WordVectors(vectors, torch.tensor([0, 0, 1, 2, 2]), 4, 2)
    cosines = torch.rand(5, 3, 2, generator=torch.Generator().manual_seed(4))
    places = class_probabilities(cosines, words, 9.0)
    masks = class_probabilities(cosines.flatten(1), words, 9.0)
    torch.testing.assert_close(masks.view(4, 3, 2), places)
    assert not places[3].any()  # a class that has no query


# Unknown words


class Knows:
    """Knows some words; how near others come is the part of their letters that are e."""

    def unknown(self, words: list[str]) -> list[UnknownWord]:
        return [
            UnknownWord(word, ("tree",), word.count("e") / len(word))
            for word in words
            if word not in ("tree", "sea")
        ]


def test_a_word_is_unknown_where_all_its_synonyms_are() -> None:
    vocabulary = Vocabulary.parse("tree|zzz; xyz|bee|eel; qqq; background -www", background="vvv")
    got = unknown_words(Knows(), vocabulary)
    assert [one.word for one in got] == ["xyz", "qqq"]
    assert got[0].similarity == pytest.approx(2 / 3)  # "bee" and "eel" are nearest
    assert unknown_words(object(), vocabulary) == ()
    assert unknown_words(Knows(), Vocabulary.parse("sea")) == ()
