"""Colours for words: expected, distinct for all eyes, and the same from one list to the next."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.visualize import palette

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB without cones for red, for green.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
SCENES = [
    "sky; grass; tree; water; road; person; building",
    "person; face; hair; skin",
    "sky; cloud; sea; sand; person",
    "oak; lawn; river; dog; cat; car",
    "wall; floor; ceiling; window; door; chair; table; person",
    "apple; orange; banana; carrot; broccoli; tomato",
    "snow; mountain; sky; tree; rock; ice; person",
]


def lab(rgb: NDArray[np.uint8], vision: object = ((1, 0, 0), (0, 1, 0), (0, 0, 1))) -> NDArray:
    """CIELAB of sRGB under D65, as an eye of some kind has it."""
    srgb = rgb / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(vision).T, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
         [0.0193339, 0.1191920, 0.9503041]]
    )  # fmt: skip
    xyz = linear @ to_xyz.T / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def ciede2000(one: NDArray, other: NDArray) -> float:
    """The colour difference of Luo, Cui and Rigg 2001, after the formulae of Sharma et al. 2005."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    h = h1 + h2 if not c1 * c2 else (h1 + turn / 2) % 360
    t = (
        1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63))
    )  # fmt: skip
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rt = -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))) * 2
    rt *= np.sqrt(c**7 / (c**7 + 25**7))
    dl, dc = (l2 - l1) / sl, (c2 - c1) / sc
    return float(np.sqrt(dl**2 + dc**2 + (dh / sh) ** 2 + rt * dc * dh / sh))


def closest(words: list[str], vision: object) -> float:
    colours = lab(palette(words), vision)
    return min(ciede2000(colours[i], colours[j]) for i in range(len(words)) for j in range(i))


def test_the_measure_is_that_of_the_published_pairs() -> None:
    pairs = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ]
    for one, other, difference in pairs:
        assert ciede2000(np.array(one), np.array(other)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("scene", SCENES)
def test_words_of_one_picture_are_apart_for_all_eyes(scene: str) -> None:
    words = scene.split("; ")
    assert closest(words, np.eye(3)) > 9
    for vision in (PROTANOPIA, DEUTERANOPIA):
        assert closest(words, vision) > 4


def test_colours_are_what_people_expect() -> None:
    words = ["sky", "grass", "tree", "water", "road", "person"]
    sky, grass, tree, water, road, person = palette(words).astype(int)
    assert sky.argmax() == 2
    assert water.argmax() == 2
    assert grass.argmax() == tree.argmax() == 1
    assert np.ptp(road) < 30
    assert person.argmax() == 0
    # In grey they are apart too: sky over grass over water over tree.
    light = lab(palette(["sky", "grass", "water", "tree"]))[:, 0]
    assert light[0] > light[2] > 0
    assert light[1] > light[3] + 15


def test_kinds_have_the_colour_of_what_they_are() -> None:
    assert (palette(["oak tree"]) == palette(["tree"])).all()
    assert (palette(["blue sky"]) == palette(["sky"])).all()
    assert (palette(["policeman"]) == palette(["person"])).all()


def test_a_colour_belongs_to_a_word_not_to_its_place() -> None:
    words = ["sky", "dog", "tree", "sofa", "red car", "猫"]
    colours = palette(words)
    assert (palette(words[::-1])[::-1] == colours).all()
    assert (palette(["Sky"])[0] == palette(["sky"])[0]).all()
    for word in ("sky", "tree"):
        assert (palette([word])[0] == colours[words.index(word)]).all()


def test_words_that_are_there_come_before_those_that_are_not() -> None:
    words = [f"word {index}" for index in range(60)]
    for word in ("word 7", "word 31"):
        assert (palette(words, [word])[words.index(word)] == palette([word])[0]).all()


def test_colours_are_distinct_up_to_120_words() -> None:
    colours = palette([f"word {index}" for index in range(120)])
    assert colours.shape == (120, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 120


def test_a_dozen_words_are_far_apart_on_the_screen() -> None:
    for seed in range(10):
        assert closest([f"{seed}-{index}" for index in range(12)], np.eye(3)) > 6


def test_no_colour_by_spelling_is_grey_or_nearly_black_or_white() -> None:
    colours = palette([str(index) for index in range(120)]).astype(int)
    assert (colours.max(1) - colours.min(1)).min() >= 40
    assert colours.max(1).min() >= 60


def test_more_words_than_colours_start_over() -> None:
    colours = palette([str(index) for index in range(500)])
    assert colours.shape == (500, 3)
    _, counts = np.unique(colours, axis=0, return_counts=True)
    assert counts.max() <= 5
    assert palette([]).shape == (0, 3)
