"""What phrases mean on drawn pictures: colours, sizes, places and relations, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary
from lexiseg.prompts.phrases import noun_vocabulary, read_phrase
from lexiseg.results import Provenance, ScoreMap, Segmentation
from lexiseg.stages.named_colours import (
    BASIC_COLOURS,
    colour_shares,
    has_colour,
    leading_colours,
    name_colours,
    wears_colour,
)
from lexiseg.stages.phrase_results import select_phrases
from lexiseg.stages.phrase_selection import Things, choose
from lexiseg.stages.spatial_relations import belongs_to, relation_holds, shapes

SIZE = (120, 200)
FOCAL = {
    "black": "#141414", "white": "#f4f4f4", "grey": "#808080", "red": "#c21e28",
    "orange": "#f28c1e", "yellow": "#f5d327", "green": "#2f8f3a", "blue": "#2456b8",
    "purple": "#7b3a9c", "pink": "#f4a0b8", "brown": "#6e4527",
}  # fmt: skip


def rgb_of(colour: str) -> tuple[int, int, int]:
    text = FOCAL[colour]
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


Box = tuple[int, int, int, int]


def things(*boxes: tuple[str, Box, str], worst: float = 0.85) -> Things:
    """Things of (noun, box x0 y0 x1 y1, colour) on light grey, with scores from 0.9 to worst."""
    rgb = np.full((*SIZE, 3), 200, np.uint8)
    dense = np.zeros((len(boxes), *SIZE), np.bool_)
    nouns: dict[str, list[int]] = {}
    for i, (noun, (x0, y0, x1, y1), colour) in enumerate(boxes):
        rgb[y0:y1, x0:x1] = rgb_of(colour)
        dense[i, y0:y1, x0:x1] = True
        nouns.setdefault(noun, []).append(i)
    scores = np.linspace(0.9, worst, len(boxes)).astype(np.float32)
    return Things(rgb, Masks.from_dense(dense), scores, nouns)


THREE = things(
    ("dog", (10, 60, 50, 100), "brown"),
    ("dog", (80, 20, 100, 50), "black"),
    ("dog", (130, 40, 190, 110), "white"),
)


@pytest.mark.parametrize(
    ("phrase", "kept"),
    [
        ("largest dog", {2}), ("second largest dog", {0}), ("smallest dog", {1}),
        ("left dog", {0}), ("dog on the right", {2}), ("middle dog", {1}), ("top dog", {1}),
        ("dog at the bottom", {0}), ("second dog from the right", {1}), ("first dog", {0}),
        ("dog in the foreground", {2}), ("dog in the background", {1}),
        ("two largest dogs", {0, 2}), ("two dogs on the right", {1, 2}), ("dogs", {0, 1, 2}),
        ("dogs on the left", {0, 1}), ("big dogs", {2}), ("small dogs", {0, 1}),
        ("tallest dog", {2}), ("largest dog on the left", {0}), ("brown dog", {0}),
        ("black or white dog", {1, 2}), ("dog that is not white", {0, 1}),
        ("dogs but not the black one", {0, 2}), ("dogs but not the one on the left", {1, 2}),
        ("dog next to (white dog)", set()), ("dog between dogs", {1}),
        ("dog left of (white dog)", {0, 1}), ("three dogs", {0, 1, 2}), ("last dog", {2}),
        ("last two dogs", {1, 2}), ("dog nearest to (white dog)", {1}),
        ("dog farthest from (white dog)", {0}), ("dog right of the other dogs", {1, 2}),
    ],
)  # fmt: skip
def test_attributes_choose(phrase: str, kept: set[int]) -> None:
    assert set(choose(read_phrase(phrase), THREE).kept) == kept


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ("red dog", "3 dogs, none of them red: brown, black, white"),
        ("four dogs", "3 dogs, not 4"),
        ("fourth dog from the left", "3 dogs, so none is fourth from the left"),
        ("dog on the cat", "no cat was found"),
        ("cat", "no cat was found"),
        ("dog in front of (red dog)", "3 dogs, none of them red: brown, black, white"),
    ],
)
def test_a_phrase_that_nothing_meets_says_why(phrase: str, reason: str) -> None:
    choice = choose(read_phrase(phrase), THREE)
    assert choice.kept == ()
    assert choice.reason == reason


def test_one_thing_alone_is_on_a_side_by_its_place_in_the_picture() -> None:
    alone = things(("dog", (140, 40, 190, 100), "brown"))
    assert choose(read_phrase("dog on the right"), alone).kept == (0,)
    assert choose(read_phrase("dog on the left"), alone).reason == "1 dog, not on the left"
    assert choose(read_phrase("largest dog"), alone).kept == (0,)


def test_fragments_do_not_count_as_things() -> None:
    pieces = things(("dog", (60, 20, 120, 80), "brown"), ("dog", (2, 2, 7, 7), "brown"))
    assert choose(read_phrase("left dog"), pieces).kept == (0,)
    assert choose(read_phrase("smallest dog"), pieces).kept == (0,)


def test_a_small_thing_far_from_larger_ones_counts() -> None:
    far = things(("car", (60, 20, 120, 80), "grey"), ("car", (180, 90, 191, 101), "red"))
    near = things(("car", (60, 20, 120, 80), "grey"), ("car", (122, 60, 133, 71), "red"))
    assert choose(read_phrase("red car"), far).kept == (1,)
    assert choose(read_phrase("red car"), near).reason == "1 car, not red: grey"


def test_small_things_count_unless_they_score_weakly() -> None:
    both = ("dog", (60, 20, 120, 80), "brown"), ("dog", (2, 2, 27, 27), "brown")
    assert choose(read_phrase("left dog"), things(*both)).kept == (1,)
    assert choose(read_phrase("left dog"), things(*both, worst=0.5)).kept == (0,)


SCENE = things(
    ("person", (20, 20, 50, 110), "blue"),
    ("hat", (22, 8, 48, 22), "red"),
    ("person", (100, 30, 130, 110), "green"),
    ("table", (140, 80, 195, 110), "brown"),
    ("cup", (150, 62, 165, 82), "white"),
    ("cup", (60, 20, 75, 40), "white"),
)


@pytest.mark.parametrize(
    ("phrase", "kept"),
    [
        ("person with a hat", {0}), ("person wearing a hat", {0}), ("person without a hat", {2}),
        ("person with a red hat", {0}), ("person with a blue hat", set()), ("hat on person", {1}),
        ("cup on the table", {4}), ("cup not on the table", {5}), ("person next to a table", {2}),
        ("cup above the table", {4}), ("table under the cup", {3}), ("person in blue", {0}),
        ("person left of the table", {0, 2}), ("hat of the person", {1}),
        ("person between the person and the table", {2}), ("person with hat or cup", {0}),
    ],
)  # fmt: skip
def test_relations_choose(phrase: str, kept: set[int]) -> None:
    assert set(choose(read_phrase(phrase), SCENE).kept) == kept


def test_what_is_worn_is_a_part_of_who_wears_it() -> None:
    assert choose(read_phrase("person with a hat"), SCENE).parts == {0: (1,)}
    assert choose(read_phrase("person next to a table"), SCENE).parts == {}


def test_a_hat_belongs_to_one_person() -> None:
    at = shapes(SCENE.masks)
    assert belongs_to([at[0], at[2]], [at[1]]) == [0]
    assert belongs_to([at[2]], [at[1]]) == [-1]


def test_what_is_near_for_its_size_is_held() -> None:
    """A mask that lacks the hand: the gap is less than a sixth of the person's width and height."""
    people = [("person", (20, 20, 60, 110), "blue"), ("person", (120, 20, 160, 110), "blue")]
    near = things(*people, ("ball", (67, 90, 77, 100), "red"))
    far = things(*people, ("ball", (84, 90, 94, 100), "red"))
    assert choose(read_phrase("person with a ball"), near).kept == (0,)
    assert choose(read_phrase("person with a ball"), far).kept == ()


@pytest.mark.parametrize("name", ["on", "in", "under", "above", "next to", "left of", "right of",
                                  "in front of", "behind"])  # fmt: skip
def test_relations_of_things_are_antisymmetric_but_for_nearness(name: str) -> None:
    cup, table = (shapes(SCENE.masks)[i] for i in (4, 3))
    both = relation_holds(name, cup, table) and relation_holds(name, table, cup)
    assert both is (name == "next to")


# Colours


@pytest.mark.parametrize("colour", BASIC_COLOURS)
def test_focal_colours_have_their_names_under_any_shading(colour: str) -> None:
    """A ball of the colour: light from one side, a highlight, a shadow."""
    y, x = np.mgrid[:80, :90].astype(np.float64)
    mask = np.hypot(x - 45, y - 40) < 36
    shade = np.clip(1.05 - 0.5 * ((x - 30) ** 2 + (y - 25) ** 2) / 45**2, 0.35, 1)
    image = np.array(rgb_of(colour)) * shade[..., None]
    image[np.hypot(x - 30, y - 25) < 6] = 250
    shares = colour_shares(image.clip(0, 255).astype(np.uint8), mask)
    assert shares.sum() == pytest.approx(1)
    assert BASIC_COLOURS[int(shares.argmax())] == colour
    assert has_colour(shares, colour)
    assert leading_colours(shares).startswith(colour)


def test_colours_are_named_like_their_prototypes() -> None:
    rgb = np.array([rgb_of(c) for c in BASIC_COLOURS], np.float32)[None] / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0]
    assert [BASIC_COLOURS[i] for i in name_colours(lab)] == list(BASIC_COLOURS)


def test_a_school_bus_is_yellow_and_a_lime_green() -> None:
    rgb = np.array([[(224, 158, 36), (130, 160, 40), (240, 128, 32)]], np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0]
    assert [BASIC_COLOURS[i] for i in name_colours(lab)] == ["yellow", "green", "orange"]


def test_every_colour_has_a_name() -> None:
    steps = np.linspace(0, 1, 18, dtype=np.float32)
    rgb = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    named = name_colours(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0])
    assert set(named.tolist()) == set(range(len(BASIC_COLOURS)))


def shaded(colour: str, *lights: float) -> NDArray[np.float64]:
    """The shares of bands of one colour, as bright as lights says: above 1 it goes to white."""
    linear = (np.array(rgb_of(colour)) / 255) ** 2.2
    bands = [linear * min(x, 1) + (1 - linear) * (1 - 1 / max(x, 1)) for x in lights]
    rows = np.repeat((np.array(bands) ** (1 / 2.2) * 255).astype(np.uint8), 8, axis=0)
    image = np.repeat(rows[:, None], 30, axis=1)
    return colour_shares(image, np.ones(image.shape[:2], np.bool_))


@pytest.mark.parametrize(
    ("colour", "other"),
    [("orange", "brown"), ("red", "pink"), ("pink", "red"), ("brown", "orange"), ("black", "grey")],
)
def test_neither_shade_nor_light_is_another_colour(colour: str, other: str) -> None:
    shares = shaded(colour, 0.4, 0.5, 0.6, 0.7, 0.9, 1, 1.1, 1.2, 1.3)
    assert has_colour(shares, colour)
    assert wears_colour(shares, colour)
    assert not has_colour(shares, other)
    assert not wears_colour(shares, other)


def test_ginger_fur_is_orange_and_brown_fur_is_not() -> None:
    ginger = np.zeros(11)
    ginger[[BASIC_COLOURS.index("orange"), BASIC_COLOURS.index("brown")]] = 0.2, 0.8
    assert has_colour(ginger, "orange", "cat")
    assert not has_colour(ginger, "orange", "table")
    assert not has_colour(shaded("brown", 0.5, 0.8, 1, 1.2), "orange", "cat")


def test_red_hair_is_orange() -> None:
    rgb = np.full((30, 40, 3), (178, 92, 40), np.uint8)
    shares = colour_shares(rgb, np.ones((30, 40), np.bool_))
    assert has_colour(shares, "red", "hair")
    assert not has_colour(shares, "red", "car")


# Results


def found(scene: Things, words: tuple[str, ...]) -> Segmentation:
    """What a segmenter would have found of the nouns."""
    labels = np.full(SIZE, -1, np.int16)
    names = np.empty(len(scene.masks), "<U20")
    for noun in sorted(set(words) & set(scene.by_noun)):
        for i in scene.by_noun[noun]:
            labels[scene.masks.mask(i)] = words.index(noun)
            names[i] = noun
    keep = [i for i, name in enumerate(names) if name in words]
    present = [w in names for w in words]
    grid = np.stack([labels[::4, ::4] == k for k in range(len(words))]).astype(np.float16)
    return Segmentation(
        words=words,
        labels=names[keep],
        scores=scene.scores[keep],
        masks=scene.masks[keep],
        label_map=labels,
        word_scores=np.array(present, np.float32),
        score_map=ScoreMap(grid, SIZE),
        provenance=Provenance(method="drawn", encoder="eye", config={}, seconds={}),
    )


def selected(text: str, scene: Things = SCENE, **thresholds: float) -> Segmentation:
    asked = noun_vocabulary(Vocabulary.parse(text), frozenset())
    assert asked is not None
    result: Any = found(scene, asked.nouns.names)
    return select_phrases(result, asked, scene.rgb, thresholds)


def region(*indices: int) -> NDArray[np.bool_]:
    return SCENE.masks[list(indices)].union()


def test_a_result_is_over_the_words_that_were_asked() -> None:
    out = selected("table; person with a hat; person; blue cup")
    assert out.words == ("table", "person with a hat", "person", "blue cup")
    assert out.labels.tolist() == ["table", "person with a hat", "person", "person"]
    assert out.found == ("table", "person with a hat", "person")
    assert (out.label_map == 1).sum() == region(0, 1).sum()  # with the hat
    assert (out["person with a hat"].union() == region(0, 1)).all()
    assert (out["person"].union() == region(0, 2)).all()
    assert (out.label_map == 2).sum() == region(2).sum()  # the phrase lies over its noun
    assert (out.mask("person") == region(0, 2)).all()
    hats, cups = out.readings
    assert (hats.read_as, hats.num_instances, hats.num_kept) == ("person with hat", 2, 1)
    assert [one.reason for one in hats.dropped] == ["not with hat"]
    assert cups.reason == "2 cups, none of them blue: white"
    assert out.word_scores[3] == 0


def test_a_missing_noun_leaves_the_word_to_the_whole_phrase() -> None:
    """No horse was found: the model, asked for "person on horse", sees the second one."""
    vocabulary = Vocabulary.parse("person on horse; person on table; person with hat")
    asked = noun_vocabulary(vocabulary, frozenset())
    assert asked is not None
    before = found(SCENE, asked.nouns.names)
    calls = []

    def segment(words: Vocabulary) -> Segmentation:
        calls.append(words.names)
        labels = np.full(SIZE, -1, np.int16)
        labels[:, 95:128] = 0  # most of the second person
        labels[:, 20:30] = 0  # some of the first one
        return replace(
            before, words=words.names, labels=before.labels[:0], scores=before.scores[:0],
            masks=before.masks[[]], label_map=labels, score_map=None,
            word_scores=np.array([1, 0], np.float32),
        )  # fmt: skip

    out = select_phrases(before, asked, SCENE.rgb, {}, segment)
    assert calls == [("person on horse", "horse")]
    assert (out["person on horse"].union() == region(2)).all()
    assert [one.by_whole for one in out.readings] == [True, False, False]
    assert [one.num_kept for one in out.readings] == [1, 0, 1]


def test_everything_but_lies_below_other_words() -> None:
    out = selected("everything but the person; table")
    assert (out.label_map == 1).sum() == region(3).sum()
    rest = ~region(0, 2)
    assert (out["everything but the person"].union() == rest).all()
    assert (out.label_map == 0).sum() == (rest & ~region(3)).sum()
    assert (out.mask("everything but the person") == rest).all()


def test_excluded_phrases_have_no_pixel() -> None:
    out = selected("person -(person on the left)")
    assert (out.label_map == 0).sum() == region(2).sum()
    assert len(out["person"]) == 1


def test_and_joins_what_both_mean() -> None:
    out = selected("hat and cup")
    assert len(out["hat and cup"]) == 3
    assert (out.label_map == 0).sum() == region(1, 4, 5).sum()


def test_thresholds_hold_for_phrases() -> None:
    out = selected("largest cup", **{"largest cup": 0.99})
    assert out.found == ()
    assert out.readings[0].reason == "none scores 0.99"


def test_a_phrase_has_its_nouns_probability_near_its_own_instances_alone() -> None:
    grid = selected("left person").score_map
    assert grid is not None
    assert grid.grid[0, 15, 8] == 1  # of the left one
    assert grid.grid[0, 15, 28] == 0


def test_a_result_stays_as_it_was() -> None:
    before = found(SCENE, ("person", "hat"))
    copy = before.label_map.copy()
    asked = noun_vocabulary(Vocabulary.parse("person with hat"), frozenset())
    assert asked is not None
    select_phrases(before, asked, SCENE.rgb, {})
    assert (before.label_map == copy).all()
