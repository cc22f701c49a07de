"""Which words are parts and kinds of others, and which are names that no dictionary holds."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.prompts.lexicon import (
    hash_words,
    in_table,
    is_name,
    meaning,
    pack_hashes,
    relations,
    singulars,
    unpack_hashes,
)


def found(words: str, **stand_ins: str) -> set[tuple[str, str, str]]:
    names = words.split("; ")
    made = relations([name.split("|") for name in names], stand_ins)
    return {
        (names[one.finer], "kind" if one.is_kind else "part", names[one.coarser]) for one in made
    }


def test_parts_kinds_and_what_is_worn() -> None:
    assert found("person; face; hair") == {("face", "part", "person"), ("hair", "part", "person")}
    assert found("hat; person") == {("hat", "part", "person")}
    assert found("car; wheel; sky") == {("wheel", "part", "car")}
    assert found("dog; poodle; cat") == {("poodle", "kind", "dog")}
    assert found("cloud; sky") == {("cloud", "part", "sky")}


def test_of_a_chain_only_the_steps() -> None:
    assert found("person; left eye; face") == {
        ("left eye", "part", "face"), ("face", "part", "person"),
    }  # fmt: skip
    assert found("animal; toy poodle; dog") == {
        ("toy poodle", "kind", "dog"), ("dog", "kind", "animal"),
    }  # fmt: skip


def test_a_whole_passes_its_parts_on_to_its_kinds() -> None:
    assert found("sports car; wheel") == {("wheel", "part", "sports car")}
    assert found("bicycle; car; wheels") == {
        ("wheels", "part", "bicycle"), ("wheels", "part", "car"),
    }  # fmt: skip
    assert found("dog; tail; table; leg") == {
        ("tail", "part", "dog"), ("leg", "part", "dog"), ("leg", "part", "table"),
    }  # fmt: skip


def test_a_phrase_is_a_kind_of_its_head_noun() -> None:
    assert found("red car; car; blue car") == {
        ("red car", "kind", "car"), ("blue car", "kind", "car"),
    }  # fmt: skip
    assert found("wall; wall of brick") == {("wall of brick", "kind", "wall")}
    assert found("hot dog; dog") == set()
    assert found("children; people") == {("children", "kind", "people")}


@pytest.mark.parametrize(
    "words",
    ["sky; tree; road", "car; automobile", "cup; table", "cat; dog", "chair; table; floor",
     "fork; knife; table", "glass; glasses", "car; traffic light", "eyebrow; hair"],
)  # fmt: skip
def test_words_that_stand_side_by_side(words: str) -> None:
    assert found(words) == set()


def test_synonyms_and_stand_ins_count() -> None:
    assert found("hound thing|poodle; dog") == {("hound thing|poodle", "kind", "dog")}
    assert not in_table("goldendingle")
    assert found("goldendingle; dog") == set()
    assert found("goldendingle; dog", goldendingle="poodle") == {("goldendingle", "kind", "dog")}


def test_synonyms_have_one_meaning_in_either_number() -> None:
    assert meaning("trouser") == meaning("Pants") == meaning("trousers")
    assert meaning("sofa") == meaning("couches") != meaning("bed")
    assert meaning("glass") != meaning("glasses")
    assert meaning("red car") is None
    assert meaning("goldendingle") is None


def test_names_are_no_words() -> None:
    for name in ("Stephen Curry", "LeBron James", "Nike", "Tesla", "Taylor Swift", "Nike shoes",
                 "iPhone", "BMW", "Eiffel Tower", "person in Adidas shoes"):  # fmt: skip
        assert is_name(name), name


def test_capitals_of_sentences_titles_and_shouting_are_words() -> None:
    for word in ("Dog", "DOG", "Sky", "Red Car", "TRAFFIC LIGHT", "German Shepherd", "Dogs", "TV",
                 "T-shirt", "Christmas tree", "Person with a Hat", "Smartphone", "The largest Dog",
                 "Wolves", "Cat's eye", "Hot dog", "Dining Table"):  # fmt: skip
        assert not is_name(word), word


def test_what_is_written_small_or_in_scripts_without_capitals_is_no_name() -> None:
    for word in ("lebron james", "qwertzuiop", "hund", "猫", "कुत्ता", "قطة", "12", ""):
        assert not is_name(word), word


def test_hashes_come_back_from_their_bytes() -> None:
    words = [f"word {i}" for i in range(5000)] + ["Äpfel", "Dog"]
    hashes = hash_words(words)
    assert len(hashes) >= 4990
    assert (np.diff(hashes.astype(np.int64)) > 0).all()
    np.testing.assert_array_equal(unpack_hashes(pack_hashes(hashes)), hashes)
    np.testing.assert_array_equal(hash_words(["DOG"]), hash_words(["dog"]))


def test_singulars() -> None:
    assert "box" in singulars("Boxes")
    assert "puppy" in singulars("puppies")
    assert "knife" in singulars("knives")
    assert "fireman" in singulars("firemen")
    assert singulars("bus") == ["bus", "bu"]
