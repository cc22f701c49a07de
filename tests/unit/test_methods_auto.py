"""Vocabularies that nobody gave: the known words that an image shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lexiseg.methods._auto import Evidence, choose_words, find_evidence, known_words
from lexiseg.methods.dense import Config, Segmenter
from lexiseg.prompts import general_terms, group_synonyms

PLAIN = Config(encoder="colours", refine="none", background=("grey",))


@pytest.fixture
def knowing(colours: Any) -> Any:
    """The encoder of colours, which knows four words."""
    colours.known_words = ("red", "green", "blue", "yellow")
    colours.nearest_known = lambda words: tuple(("red", 0.0) for _ in words)
    return colours


def test_words_that_mean_the_same_are_one() -> None:
    words = ["aeroplane", "sofa", "diningtable", "dog", "airplane", "couch", "dining table"]
    assert group_synonyms(words) == [
        ("airplane", "aeroplane"), ("couch", "sofa"), ("dining table", "diningtable"), ("dog",),
    ]  # fmt: skip
    assert group_synonyms(["left eye", "right eye"]) == [("left eye",), ("right eye",)]


def test_general_terms_go_up_in_steps() -> None:
    assert general_terms("toy poodle")[:2] == ["toy poodle", "poodle"]
    assert "dog" in general_terms("toy poodle")
    assert general_terms("frobnicator") == ["frobnicator"]


def test_small_and_unsure_words_are_left_out() -> None:
    found = [Evidence("sky", 0.5, 0.9), Evidence("dog", 0.3, 0.1), Evidence("cat", 0.0005, 0.9)]
    assert choose_words(found) == ["sky"]
    assert choose_words(found[1:]) == ["dog"]  # better than nothing
    assert choose_words([]) == []
    many = [Evidence(f"word {i}", 0.02, 0.9) for i in range(40)]
    assert len(choose_words(many)) == 12


def test_known_words_of_a_model_that_has_none_are_a_data_set() -> None:
    words = known_words(object())
    assert "sky" in words
    assert len(words) > 100


def test_an_image_without_words_is_named(knowing: Any, stripes: Any) -> None:
    out = Segmenter(knowing, PLAIN)(stripes)
    assert out.words == ("red", "green", "blue")  # by size; yellow is nowhere
    assert (out.label_map[0, :40] == 0).all()
    again = Segmenter(knowing, PLAIN)(stripes, "@auto")
    np.testing.assert_array_equal(again.label_map, out.label_map)


def test_all_known_words(knowing: Any, stripes: Any) -> None:
    out = Segmenter(knowing, PLAIN)(stripes, "@known")
    assert out.words == ("red", "green", "blue", "yellow")
    assert out.found == ("red", "green", "blue")


def test_evidence_is_by_size(knowing: Any, stripes: Any) -> None:
    found = find_evidence(Segmenter(knowing, PLAIN)(stripes, ["blue", "red", "green"])).copy()
    found.pop(1)
    assert [one.word for one in found] == ["red", "blue"]
    assert found[0].share == 40 / 96
    assert 0.5 < found[0].score <= 1
