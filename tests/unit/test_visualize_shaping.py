"""Scripts that join, stack or run from right to left; what depends on fonts is skipped without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.visualize import canvas, shaping
from lexiseg.visualize.canvas import Pen
from lexiseg.visualize.shaping import missing_scripts, shaped_width, split_runs

ARABIC, HEBREW, THAI, HINDI = "كلب أحمر", "שלום עולם", "หมา", "कुत्ता"


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = (shaping.split_runs, shaping.font_for, canvas.text_width)
    monkeypatch.setattr(shaping, "installed_fonts", lambda: ())
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


def font_of(text: str) -> str:
    ((run, path),) = split_runs(text)
    assert run == text
    if path is None:
        pytest.skip("no font here has these letters")
    return path


def ink(text: str, size: int = 40) -> NDArray[np.bool_]:
    """The columns that are drawn of a text, from its first to its last."""
    paper = np.full((100, 900, 3), 255, np.uint8)
    Pen(size).write(paper, text, (100, 60), (0, 0, 0))
    drawn = (paper < 128).any(2)
    columns = np.flatnonzero(drawn.any(0))
    return drawn[:, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("text", ["dog", "猫 cat", "кошка", "Straße", "×2", "", "a  b"])
def test_other_scripts_are_left_to_opencv(text: str) -> None:
    assert split_runs(text) == ((text, None),)
    assert missing_scripts([text]) is None


def test_runs_keep_all_words_in_their_order() -> None:
    text = f"not found: {ARABIC} dog {THAI} 7"
    assert " ".join(run for run, _ in split_runs(text)) == text
    assert Pen(20).width(text) > Pen(20).width("not found: dog 7")


def test_letters_join() -> None:
    path = font_of("ببب")
    alone = shaped_width("ب", path, 60)
    assert shaped_width("ببب", path, 60) < 3 * alone  # the first and the middle form are short


@pytest.mark.parametrize("word", ["אב", "שלום"])
def test_the_first_letter_stands_on_the_right(word: str) -> None:
    font_of(word)
    whole, first = ink(word), ink(word[0])
    wide = first.shape[1]
    np.testing.assert_array_equal(whole[:, -wide:], first)


def test_text_is_cut_at_the_edges_of_the_paper() -> None:
    for text in (ARABIC, HEBREW, THAI, HINDI):
        for xy in ((-50, 10), (95, 45), (10, 0), (500, 500), (20, 60)):
            paper = np.full((50, 100, 3), 255, np.uint8)
            Pen(24).write(paper, text, xy, (10, 20, 30))
            Pen(24).write(paper, text, xy, (10, 20, 30), right=True)


def test_without_a_font_one_remark_names_the_scripts(no_fonts: None) -> None:
    remark = missing_scripts(["dog", THAI, HINDI, ARABIC, HEBREW])
    assert remark is not None
    assert "the letters of Arabic and Devanagari and Hebrew and Thai" in remark
    assert "\n" not in remark
    paper = np.full((50, 300, 3), 255, np.uint8)
    for text in (THAI, HINDI, ARABIC):  # drawn as well as can be
        Pen(20).write(paper, text, (5, 30), (0, 0, 0))
        assert Pen(20).width(text) > 0
    assert (paper < 255).any()
