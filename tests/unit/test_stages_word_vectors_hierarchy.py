"""Words within words: what each level of the competition gives to whom."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lexiseg.masks import Masks
from lexiseg.methods.dense import Config, Segmenter
from lexiseg.prompts import Vocabulary
from lexiseg.prompts.lexicon import Relation
from lexiseg.stages import word_vectors as stage
from lexiseg.stages.word_vectors import FLAT, Hierarchy, word_hierarchy

PERSON, FACE, EYE, SKY = range(4)
PARTS = Hierarchy((Relation(FACE, PERSON, False), Relation(EYE, FACE, False)))


def test_heights_and_ancestors() -> None:
    assert PARTS.heights == {PERSON: 2, FACE: 1}
    assert PARTS.coarser == {FACE: {PERSON}, EYE: {FACE, PERSON}}
    assert not FLAT
    assert FLAT.heights == {}


def test_levels_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_OWN", 0.1)
    # One place: person 0.6, face 0.1, eye 0.1, sky 0.2.
    flat = torch.tensor([0.6, 0.1, 0.1, 0.2])[:, None]
    finest, faces, persons = PARTS.levels(flat)
    # The person has 0.8 in all: her own counts 0.06, the face with its eye 0.2. Of the face's share
    # its own counts 0.01 and the eye's 0.1.
    face = 0.8 * 0.2 / 0.26
    wanted = [0.8 - face, face * 0.01 / 0.11, face * 0.1 / 0.11, 0.2]
    torch.testing.assert_close(finest.probabilities[:, 0], torch.tensor(wanted))
    assert finest.class_ids == (EYE, SKY)
    torch.testing.assert_close(faces.probabilities[:, 0], torch.tensor([0.8 - face, face, 0, 0.2]))
    assert faces.class_ids == (FACE,)
    torch.testing.assert_close(persons.probabilities[:, 0], torch.tensor([0.8, 0, 0, 0.2]))
    assert persons.class_ids == (PERSON,)


def test_nothing_is_lost_or_made_up() -> None:
    draw = torch.Generator().manual_seed(3)
    flat = torch.rand(6, 5, 7, generator=draw).softmax(0)
    related = Hierarchy(
        (Relation(1, 0, True), Relation(2, 1, False), Relation(3, 0, False), Relation(3, 4, False))
    )
    before = flat.clone()
    finest, *coarser = related.levels(flat)
    torch.testing.assert_close(finest.probabilities.sum(0), torch.ones(5, 7))
    for level in coarser:
        assert (level.probabilities >= 0).all()
        assert (level.probabilities.sum(0) <= 1 + 1e-6).all()
    # A kind counts wholly for what it is a kind of.
    assert (coarser[-1].probabilities[0] >= flat[0] + flat[1] - 1e-6).all()
    assert torch.equal(flat, before)


def test_a_hat_on_a_table_is_no_person() -> None:
    hat = Hierarchy((Relation(1, 0, False),))
    worn = torch.tensor([0.3, 0.5, 0.2])[:, None]
    on_table = torch.tensor([0.1, 0.5, 0.4])[:, None]
    for flat, person in ((worn, 0.8), (on_table, 0.1)):
        finest, persons = hat.levels(flat)
        assert finest.probabilities.argmax() == 1
        torch.testing.assert_close(persons.probabilities[0], torch.tensor([person]))
    assert hat.levels(on_table)[1].probabilities.argmax() == 2


def test_a_part_of_two_wholes_counts_for_the_one_that_is_there() -> None:
    wheel = Hierarchy((Relation(2, 0, False), Relation(2, 1, False)))
    flat = torch.tensor([[0.2, 0.1], [0.1, 0.2], [0.6, 0.6], [0.1, 0.1]])  # two places
    _, wholes = wheel.levels(flat)
    torch.testing.assert_close(wholes.probabilities[0], torch.tensor([0.8, 0.1]))
    torch.testing.assert_close(wholes.probabilities[1], torch.tensor([0.1, 0.8]))


def test_zeros_stay_numbers() -> None:
    flat = torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None]
    for level in PARTS.levels(flat):
        assert level.probabilities[:, 0].tolist() == [0, 0, 0, 1]


def test_which_vocabularies_have_levels(colours: Any) -> None:
    assert word_hierarchy(colours, Vocabulary.parse("person; face"))
    assert not word_hierarchy(colours, Vocabulary.parse("person; face", flat=True))
    assert not word_hierarchy(colours, Vocabulary.parse("person; dog"))
    # What is excluded takes its pixels away, as it is asked to.
    assert not word_hierarchy(colours, Vocabulary.parse("person -hat"))
    assert not word_hierarchy(colours, Vocabulary.parse("background; person"))


class Neighbours:
    """An encoder to which a goldendingle is a poodle."""

    known_words = ("poodle",)

    def nearest_known(self, words: list[str]) -> tuple[tuple[str, float], ...]:
        return tuple(("poodle", 0.9 if word == "goldendingle" else 0.3) for word in words)


def test_a_word_without_an_entry_stands_with_its_nearest_known_word() -> None:
    made = word_hierarchy(Neighbours(), Vocabulary.parse("goldendingle; dog; frobnicator"))
    assert [(one.finer, one.coarser, one.is_kind) for one in made.relations] == [(0, 1, True)]


def test_a_result_with_a_whole_and_its_part(colours: Any, stripes: Any) -> None:
    """Red is "person", green is "face": to this encoder green is half red."""
    text = colours.text

    def with_parts(words: list[str], templates: Any = ("{}",)) -> torch.Tensor:
        names = {"person": "red", "face": "green"}
        return text([names.get(word, word) for word in words], templates)

    colours.text = with_parts
    segmenter = Segmenter(colours, Config(encoder="colours", refine="none", paint_unknown=True))
    out = segmenter(stripes, ["face", "person", "blue"], background="grey")
    # Stripes: red to 40, green to 64, grey to 80, blue. Green is no person's: grey scores better.
    assert sorted(set(out.labels.tolist())) == ["blue", "face", "person"]
    assert (out.label_map[0, :40] == 1).all()
    assert (out.label_map[0, 40:64] == 0).all()
    assert set(out.wholes) == {"person"}
    assert out.mask("person")[:, :40].all()
    assert out.share("person") == out.wholes["person"].areas[0] / out.label_map.size
    flat = Segmenter(
        colours, Config(encoder="colours", refine="none", flat=True, paint_unknown=True)
    )
    assert flat(stripes, ["face", "person", "blue"], background="grey").wholes == {}


def test_words_alone_are_shown_whole(colours: Any, stripes: Any) -> None:
    from dataclasses import replace

    out = Segmenter(colours, Config(encoder="colours", refine="none"))(stripes, ["red", "green"])
    whole = Masks.from_dense((out.label_map >= 0)[None])
    out = replace(out, wholes={"red": whole})
    assert out.share("red") == 64 / 96
    assert (out.shown(["red"])[:, :64] == 0).all()
    assert (out.shown(["red", "green"]) == out.label_map).all()
    assert out.mask("green").sum() == 24 * 64
    assert out.found == ("red", "green")
