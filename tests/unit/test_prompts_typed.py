"""Lists as people type and paste them, what cannot be seen, boxes that slip over the border."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lexiseg.errors import PromptError
from lexiseg.prompts import Clicks, Vocabulary, clean, find_word, split_words
from lexiseg.prompts.clicks import clip_box


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog", ["dog"]),
        ("dog, grass", ["dog", "grass"]),
        ("dog;grass ;", ["dog", "grass"]),
        ("dog . grass .", ["dog", "grass"]),
        ("dog . grass", ["dog", "grass"]),
        ("a dog. a cat.", ["a dog", "a cat"]),
        ("dog.", ["dog"]),
        ("St. Bernard", ["St. Bernard"]),
        ("St. Bernard, dog.", ["St. Bernard", "dog"]),
        ("dog\n\n  cat ,\r\n- cow\n* hen\n", ["dog", "cat", "cow", "hen"]),
        ("1. dog\n2) red cat\n10. 3 hens", ["dog", "red cat", "3 hens"]),
        ("1.5 ton truck", ["1.5 ton truck"]),
        ('"red, white and blue", dog', ["red, white and blue", "dog"]),
        ("“red; white” car, „a, b“, «c . d»", ["red; white car", "a, b", "c . d"]),
        ('person -"a, b"|"c, d"', ["person -a, b|c, d"]),
        ('12" pizza, 10" pizza', ['12" pizza', '10" pizza']),
        ('a "quote', ['a "quote']),
        ("man's best friend", ["man's best friend"]),
        ("狗，草；天空、海。云", ["狗", "草", "天空", "海", "云"]),
        ("كلب، قطة", ["كلب", "قطة"]),
        ("traffic   light\t, sofa | couch", ["traffic light", "sofa | couch"]),
        ("dog,,cat", ["dog", "", "cat"]),
        (",dog", ["", "dog"]),
        ("", [""]),
        (" ;, \n", [""]),
    ],
)
def test_lists_in_one_text(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("d\u200bog\ufeff", "dog"),
        ("\u202adog\u202c \u2060", "dog"),
        ("e\u0301clair", "éclair"),
        ("ｄｏｇ", "dog"),
        ("ﬁre\u00a0truck", "fire truck"),
        ("foot\u00adball\x07", "football"),
        ("\udcc3\udca9clair", "éclair"),  # bytes of an argument in a plain C locale
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("a\u200db", "ab"),
    ],
)
def test_what_looks_the_same_is_the_same(text: str, plain: str) -> None:
    assert clean(text) == plain
    assert clean(plain) == plain
    assert Vocabulary.parse([text]).names == (plain,)
    with pytest.raises(PromptError, match="given twice"):
        Vocabulary.parse([text, plain])


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PromptError, match="not in UTF-8"):
        Vocabulary.parse(["caf\udce9"])


def test_one_text_is_split_and_a_list_is_not() -> None:
    assert Vocabulary.parse("dog, cat\ncow").names == ("dog", "cat", "cow")
    assert Vocabulary.parse(["dog, cat", "cow"]).names == ("dog, cat", "cow")
    assert Vocabulary.parse("dog", background="wall, floor").background == ("wall", "floor")
    excluded = Vocabulary.parse("person –helmet −hat, road")
    assert [word.name for word in excluded.excluded] == ["helmet", "hat"]


def test_a_word_is_found_as_it_is_meant() -> None:
    words = ("Red Car", "éclair")
    assert find_word(" red  car", words) == "Red Car"
    assert find_word("E\u0301CLAIR", words) == "éclair"
    assert find_word("car", words) is None


def test_clicks_that_slip_over_the_border() -> None:
    clicks = Clicks.parse(
        points=[(-0.4, 3), (60, 40.5), (59.7, 0)], boxes=[(-1.5, 5, 60.4, 42)], not_points=[(3, -2)]
    )
    got = clicks.clipped((40, 60))
    assert got.points_xy == ((0, 3), (59, 39), (59.7, 0))
    assert got.not_points_xy == ((3, 0),)
    assert got.boxes_xyxy == ((0, 5, 60, 40),)
    assert got.clipped((40, 60)) == got


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": [(-2.5, 3)]},
        {"points": [(62, 3)]},
        {"not_points": [(3, 42)]},
        {"boxes": [(-5, -5, 20, 20)]},
        {"boxes": [(5, 5, 63, 20)]},
        {"boxes": [(9, 9, 9, 20)]},
        {"boxes": [(20, 9, 9, 20)]},
        {"boxes": [(61, 9, 62, 20)]},
    ],
)
def test_clicks_elsewhere_are_refused(wrong: Any) -> None:
    with pytest.raises(PromptError, match="60 pixels wide and 40 high"):
        Clicks.parse(**wrong).clipped((40, 60))


def test_numbers_that_are_none_are_refused() -> None:
    for box in ((1, 2, 3), (1, 2, 3, math.nan), (1, 2, 3, math.inf), "abcd", None):
        with pytest.raises(PromptError, match="give 4 numbers: x0, y0, x1, y1"):
            Clicks.parse(boxes=[box])  # type: ignore[list-item]
    with pytest.raises(PromptError, match="the box of the example -9,0,3,3"):
        clip_box((-9, 0, 3, 3), (40, 60), "box of the example")
