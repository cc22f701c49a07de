"""Tables of relations and the dictionary, made from a WordNet of a dozen nouns."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexiseg.prompts.lexicon import hash_words, unpack_hashes
from lexiseg.training.word_tables import dictionary_words, relation_lines, write_tables
from lexiseg.training.wordnet import Nouns

# Number -> field, lemmas, pointers.
SYNSETS = {
    1930: (3, ["physical_entity"], []),
    2010: (18, ["person", "someone"], [("@", 1930)]),
    2020: (5, ["animal"], [("@", 1930)]),
    2030: (5, ["dog"], [("@", 2020)]),
    2040: (5, ["poodle"], [("@", 2030)]),
    2050: (6, ["vehicle"], [("@", 1930)]),
    2060: (6, ["car", "auto"], [("@", 2050)]),
    2070: (6, ["wheel"], [("@", 1930), ("#p", 2050)]),
    2080: (8, ["face"], [("@", 1930)]),
    2090: (5, ["Rex"], [("@i", 2030)]),
    2100: (6, ["clothing"], [("@", 1930)]),
    2110: (6, ["hat"], [("@", 2100)]),
    2120: (9, ["idea"], []),
    2130: (6, ["table"], [("@", 1930)]),
}


@pytest.fixture
def nouns(tmp_path: Path) -> Nouns:
    lines, index = [], []
    for number, (field, lemmas, pointers) in SYNSETS.items():
        words = " ".join(f"{lemma} 0" for lemma in lemmas)
        targets = "".join(f" {kind} {target:08} n 0000" for kind, target in pointers)
        count = f"{len(lemmas):02x}"
        lines.append(
            f"{number:08} {field:02} n {count} {words} {len(pointers):03}{targets} | a gloss  "
        )
        index += [f"{lemma.lower()} n 1 1 @ 1 0 {number:08}  " for lemma in lemmas]
    # The only sense of a table that WordNet of this size has stands in second place.
    index = [line.replace("1 1 @ 1 0 00002130", "2 1 @ 2 0 00002120 00002130") for line in index]
    (tmp_path / "data.noun").write_text("\n".join(lines) + "\n")
    (tmp_path / "index.noun").write_text("\n".join(sorted(index)) + "\n")
    (tmp_path / "index.adj").write_text("red a 1 0 1 0 00000001  \n")
    (tmp_path / "noun.exc").write_text("mans man\n")
    (tmp_path / "cntlist.rev").write_text("dog%1:00:00:: 1 9\n")
    return Nouns(tmp_path)


def test_relations_are_kinds_wholes_and_what_is_worn(nouns: Nouns) -> None:
    lines = relation_lines(nouns, ["poodle", "wheels", "auto", "face", "hat", "person", "animal"])
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
    assert rows["poodle"] == ["dog"]
    assert rows["dog"] == ["animal"]
    assert rows["auto|car"] == ["vehicle"]
    assert rows["wheel"] == ["", "vehicle"]
    assert rows["face"] == ["", "person|animal"]
    assert rows["hat"] == ["clothing", "person"]
    assert rows["person|someone|people|persons"] == []
    assert "physical entity" not in rows  # too general
    assert "Rex" not in "".join(lines)


def test_the_dictionary_has_kinds_of_things_and_no_single_ones(nouns: Nouns) -> None:
    things, tokens = dictionary_words(nouns, ["Smartphone"])
    assert {"dog", "hat", "table", "smartphone"} <= things
    assert not {"rex", "idea"} & things
    assert {"idea", "red", "dog"} <= tokens
    assert "rex" not in tokens


def test_tables_are_files(nouns: Nouns, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    write_tables(folder, nouns)
    assert "dog\tanimal" in (folder / "relations.txt").read_text("utf-8")
    hashes = unpack_hashes((folder / "nouns.bin").read_bytes())
    assert set(hash_words(["dog", "hat"]).tolist()) <= set(hashes.tolist())
