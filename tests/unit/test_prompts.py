"""What users write, and what it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from lexiseg.errors import PromptError
from lexiseg.prompts import DEFAULT_BACKGROUND, TEMPLATES, Query, Vocabulary, Word


def test_a_list_and_a_text_say_the_same() -> None:
    expected = (Word("red car", ("red car",)), Word("sky", ("sky",)))
    assert Vocabulary.parse(["red car", "sky"]).words == expected
    assert Vocabulary.parse("red car; sky").words == expected
    assert Vocabulary.parse(" red   car;sky ; ").words == expected
    assert Vocabulary.parse(("red car", "sky")) == Vocabulary.parse("red car;sky")


def test_one_word() -> None:
    assert Vocabulary.parse("sky").names == ("sky",)
    assert Vocabulary.parse(["sky"]).names == ("sky",)


def test_synonyms_are_one_word_named_by_the_first() -> None:
    words = Vocabulary.parse("sofa | couch|settee; lamp").words
    assert words == (Word("sofa", ("sofa", "couch", "settee")), Word("lamp", ("lamp",)))


def test_a_synonym_written_twice_counts_once_in_its_first_spelling() -> None:
    assert Vocabulary.parse("Sofa|couch|sofa").words == (Word("Sofa", ("Sofa", "couch")),)


def test_excluded_words_stand_behind_a_minus() -> None:
    parsed = Vocabulary.parse("person -helmet -hat|cap; dog")
    assert parsed.names == ("person", "dog")
    assert parsed.excluded == (Word("helmet", ("helmet",)), Word("hat", ("hat", "cap")))


def test_an_entry_may_hold_excluded_words_alone() -> None:
    parsed = Vocabulary.parse(["person", "-helmet"])
    assert (parsed.names, parsed.excluded) == (("person",), (Word("helmet", ("helmet",)),))


def test_two_words_may_exclude_the_same() -> None:
    parsed = Vocabulary.parse(["person -helmet", "dog -Helmet|hard hat"])
    assert parsed.excluded == (Word("helmet", ("helmet", "hard hat")),)


def test_a_dash_inside_a_word_excludes_nothing() -> None:
    assert Vocabulary.parse("traffic-light; x - ray").names == ("traffic-light", "x - ray")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (";", "empty"),
        ([], "none"),
        ([""], "empty"),
        ("sky;;tree", "empty"),
        ("sofa|", "empty"),
        ("|sofa", "empty"),
        ("-helmet", "only excluded ones (helmet)"),
        (["sky", 3], "3"),
        (["sky", None], "None"),
        (7, "7"),
        (None, "None"),
        ("...", "no letter or digit"),
        ("x" * 201, "201 letters"),
        ("dog; cat; Dog", "'Dog' is given twice"),
        ("sofa|couch; couch|settee", "'couch' stands for both 'sofa' and 'couch'"),
        ("sofa|bench; chair|Bench", "'Bench' stands for both 'sofa' and 'chair'"),
        ("helmet; person -helmet", "'helmet' is given twice"),
        ("background; Background", "given twice"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_one_line(words: Any, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        Vocabulary.parse(words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_word_may_have_200_letters_and_any_script() -> None:
    names = ("x" * 200, "собака", "犬", "niño", "7")
    assert Vocabulary.parse(list(names)).names == names


# The background


def test_the_background_is_the_default_list_unless_given() -> None:
    assert Vocabulary.parse("dog").background == DEFAULT_BACKGROUND
    parsed = Vocabulary.parse("dog", default_background=("wall", "floor"))
    assert parsed.background == ("wall", "floor")
    assert (parsed.num_classes, parsed.background_class) == (2, 1)


def test_a_list_of_ones_own_replaces_it() -> None:
    assert Vocabulary.parse("dog", background=["wall"]).background == ("wall",)
    assert Vocabulary.parse("dog", background="wall; sea|ocean;").background == (
        "wall",
        "sea",
        "ocean",
    )


def test_the_default_may_be_one_text_too() -> None:
    parsed = Vocabulary.parse("dog", default_background="wall; floor")
    assert parsed.background == ("wall", "floor")


def test_no_background_is_a_closed_vocabulary() -> None:
    parsed = Vocabulary.parse("dog; cat -hat", background=None)
    assert (parsed.background, parsed.background_class, parsed.num_classes) == (None, None, 3)


def test_a_background_word_given_twice_counts_once() -> None:
    assert Vocabulary.parse("dog", background=["wall", "Wall", "wall"]).background == ("wall",)


@pytest.mark.parametrize("background", [[], "", [""], ["wall", 3], 3, ["?"]])
def test_a_background_of_nothing_is_refused(background: Any) -> None:
    with pytest.raises(PromptError):
        Vocabulary.parse("dog", background=background)


@pytest.mark.parametrize("words", ["sky", "tree|sky", "tree -sky"])
def test_a_background_that_is_asked_for_in_full_is_refused(words: str) -> None:
    with pytest.raises(PromptError, match="every background word"):
        Vocabulary.parse(words, background=["Sky"])


def test_the_literal_word_background_stands_for_the_background_words() -> None:
    parsed = Vocabulary.parse("dog; Background; cat -hat", default_background=("wall", "floor"))
    assert (parsed.background_index, parsed.background_class, parsed.num_classes) == (1, 1, 4)
    assert parsed.names == ("dog", "Background", "cat")
    assert parsed.queries() == (
        Query("dog", 0),
        Query("cat", 2),
        Query("hat", 3),
        Query("wall", 1),
        Query("floor", 1),
    )


def test_the_literal_word_background_needs_a_background() -> None:
    parsed = Vocabulary.parse("dog; background", background=None, default_background=("wall",))
    assert (parsed.background, parsed.background_class, parsed.num_classes) == (("wall",), 1, 2)


def test_synonyms_of_the_literal_background_are_background_words() -> None:
    parsed = Vocabulary.parse("dog; background|backdrop|wall", background=["wall", "floor"])
    assert parsed.background == ("backdrop", "wall", "floor")
    assert [q.text for q in parsed.queries()] == ["dog", "backdrop", "wall", "floor"]


# Queries


def test_queries_name_their_owner() -> None:
    parsed = Vocabulary.parse("sofa|couch; person -helmet", background="wall; floor")
    assert parsed.num_classes == 4
    assert parsed.queries() == (
        Query("sofa", 0),
        Query("couch", 0),
        Query("person", 1),
        Query("helmet", 2),
        Query("wall", 3),
        Query("floor", 3),
    )


def test_a_background_word_that_is_asked_for_or_excluded_steps_back() -> None:
    parsed = Vocabulary.parse("roof|Sky; person -wall", background="sky; wall; floor")
    assert [q.text for q in parsed.queries() if q.class_id == 3] == ["floor"]
    assert parsed.background == ("sky", "wall", "floor")


def test_every_template_has_a_place_for_the_word() -> None:
    for sentences in TEMPLATES.values():
        assert all(sentence.format("dog").count("dog") == 1 for sentence in sentences)


def test_vocabularies_of_data_sets_are_flat_and_others_as_asked() -> None:
    assert Vocabulary.named("ade20k").flat
    assert Vocabulary.parse("@voc21").flat
    assert not Vocabulary.parse("person; face").flat
    assert Vocabulary.parse("person; face", flat=True).flat
