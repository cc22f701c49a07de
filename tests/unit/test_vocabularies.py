"""Vocabularies of data sets, held byte for byte against the files of the papers' code."""

from __future__ import annotations

import hashlib

import pytest

from lexiseg.errors import PromptError, UnknownName
from lexiseg.prompts import Vocabulary, named

# Name -> the first digits of the MD5 of the file in the official code, its separator, its end.
# One file of theirs has a blank behind its last word.
PUBLISHED = {
    "voc20": ("c0a263bf", ", "),
    "voc21": ("66096d7b", ", "),
    "context59": ("de9023e2", ", "),
    "context60": ("478af0e4", ", "),
    "coco-object": ("4eb52259", ", "),
    "coco-stuff164k": ("2d025c42", ", "),
    "cityscapes": ("a8bbbb99", ", "),
    "ade20k": ("e66c13f6", ", "),
    "voc20.clearclip": ("57b05f75", ","),
    "voc21.clearclip": ("b862c522", ","),
    "coco-object.clearclip": ("32263f6b", ","),
    "voc20.proxyclip": ("57b05f75", "; "),
    "voc21.proxyclip": ("ea6e671f", "; "),
    "coco-object.proxyclip": ("14582307", "; "),
    "voc21.trident": ("ea6e671f", "; "),
    "ade20k.trident": ("e66c13f6", "; "),
    "cityscapes.naclip": ("a8bbbb99", ", "),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_words_are_those_of_the_official_files(name: str) -> None:
    digest, separator = PUBLISHED[name]
    classes, _ = named.read(name)
    text = "\n".join(separator.join(phrases) for phrases in classes)
    ends = [hashlib.md5((text + end).encode()).hexdigest()[:8] for end in ("", "\n", " ", " \n")]
    assert digest in ends


def test_there_are_these_sets_with_so_many_classes() -> None:
    """As many as the lines of the official files, a class each."""
    assert {name: len(named.read(name)[0]) for name in named.names() if "." not in name} == {
        "voc20": 20, "voc21": 21, "context59": 59, "context60": 60, "coco-object": 81,
        "coco-stuff164k": 171, "cityscapes": 19, "ade20k": 150,
    }  # fmt: skip


def test_a_set_with_a_background_has_it_first() -> None:
    voc = Vocabulary.named("voc21")
    assert voc.names[:3] == ("background", "aeroplane", "bicycle")
    assert voc.background_class == voc.background_index == 0
    assert voc.num_classes == 21
    assert voc.background is not None
    assert voc.background[0] == "sky"
    assert len(voc.background) == 26
    queries = voc.queries()
    assert [q.text for q in queries if q.class_id == 20] == [
        "television monitor", "tv monitor", "monitor", "television", "screen"
    ]  # fmt: skip
    assert sum(q.class_id == 0 for q in queries) == 26
    assert Vocabulary.named("voc21.clearclip").background == ("background",)


def test_a_set_without_a_background_is_closed() -> None:
    city = Vocabulary.named("cityscapes")
    assert city.background is None
    assert city.num_classes == len(city.queries()) == 19


def test_a_background_word_that_is_a_class_steps_back() -> None:
    queries = Vocabulary.named("coco-object").queries()
    beds = [q.class_id for q in queries if q.text == "bed"]
    assert beds == [Vocabulary.named("coco-object").names.index("bed")]


def test_a_name_behind_an_at_sign_stands_for_the_words() -> None:
    named = Vocabulary.named("voc20")
    for words in ("@voc20", ["@voc20"], " @VOC20 "):
        assert Vocabulary.parse(words) == named
        assert Vocabulary.parse(words, background=None) == named
    own = Vocabulary.parse("@voc21", background=["sky", "grass|lawn"])
    assert own.background == ("sky", "grass", "lawn")
    assert own.words == Vocabulary.named("voc21").words


def test_wrong_vocabularies_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'voc20' or 'voc21'"):
        Vocabulary.parse("@voc22")
    with pytest.raises(UnknownName, match="no vocabulary"):
        Vocabulary.named("voc21.paper")
    with pytest.raises(PromptError, match="stands among 2 words"):
        Vocabulary.parse("@voc20; helmet")
    with pytest.raises(PromptError, match="closed, so it takes no background"):
        Vocabulary.parse("@voc20", background="sky")
