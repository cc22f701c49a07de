"""Colours for words: distinct, bright enough, and the same from one vocabulary to the next."""

from __future__ import annotations

import numpy as np

from lexiseg.visualize import palette


def test_colours_are_distinct_up_to_120_words() -> None:
    colours = palette([f"word {index}" for index in range(120)])
    assert colours.shape == (120, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 120


def test_a_dozen_words_are_far_apart_on_the_screen() -> None:
    for seed in range(20):
        colours = palette([f"{seed}-{index}" for index in range(12)]).astype(int)
        apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
        assert apart[~np.eye(12, dtype=bool)].min() > 30


def test_no_colour_is_grey_or_nearly_black_or_white() -> None:
    colours = palette([str(index) for index in range(120)]).astype(int)
    assert (colours.max(1) - colours.min(1)).min() >= 40
    assert colours.max(1).min() >= 90


def test_a_word_keeps_its_colour_where_none_before_it_takes_it() -> None:
    alone = palette(["sky"])[0]
    assert (palette(["sky", "dog", "tree"])[0] == alone).all()
    assert (palette(["Sky"])[0] == alone).all()
    words = ["sky", "dog", "tree", "sofa", "red car"]
    assert (palette([*words, "猫"])[:5] == palette(words)).all()


def test_more_words_than_colours_start_over() -> None:
    colours = palette([str(index) for index in range(500)])
    assert colours.shape == (500, 3)
    _, counts = np.unique(colours, axis=0, return_counts=True)
    assert counts.max() <= 5
    assert palette([]).shape == (0, 3)
