"""The legend: every entry or its count, nothing over the picture, no text over another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.visualize.canvas import Pen
from lexiseg.visualize.legend import PAPER, Entry, attach, percent

NAMES = ("sky", "red car", "猫", "кошка", "Straße", "a person who is wearing a very long red hat")


@dataclass
class Paper:
    """What was written, and the box (x0, y0, x1, y1) of each text."""

    texts: list[str] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Paper:
    seen = Paper()
    write = Pen.write

    def record(
        pen: Pen,
        canvas: NDArray[np.uint8],
        text: str,
        xy: tuple[int, int],
        colour: tuple[int, int, int],
        *,
        right: bool = False,
    ) -> None:
        wide = pen.width(text)
        x = xy[0] - wide if right else xy[0]
        seen.texts.append(text)
        seen.boxes.append((x, xy[1] - round(0.75 * pen.size), x + wide, xy[1]))
        write(pen, canvas, text, xy, colour, right=right)

    monkeypatch.setattr(Pen, "write", record)
    return seen


def entries(count: int) -> list[Entry]:
    return [
        Entry(f"{NAMES[k % 6]} {k}", (200, 40, 40), share=0.5 / (k + 1), score=0.9, count=1 + k % 3)
        for k in range(count)
    ]


def picture(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [0, 1, 8, 60, 300])
@pytest.mark.parametrize(
    "size_hw", [(480, 640), (640, 480), (1536, 2048), (60, 900), (900, 30), (352, 512), (640, 640)]
)
def test_nothing_is_hidden_or_lost(size_hw: tuple[int, int], count: int, paper: Paper) -> None:
    rgb = picture(size_hw)
    out = attach(rgb, entries(count), ["not found: zebra, " + "umbrella, " * 40])
    height, width = size_hw
    beside = out.shape[0] == height or (out[:height, :width] == rgb).all()
    left = 0 if beside else (out.shape[1] - width) // 2
    assert (out[:height, left : left + width] == rgb).all()

    dropped = [text for text in paper.texts if text.startswith("+")]
    shown = sum(text.endswith("%") for text in paper.texts)
    if dropped:
        assert dropped == [f"+{count - shown} more"]
    else:
        assert shown == count

    boxes = np.array(paper.boxes)
    assert boxes[:, :2].min() >= 0
    assert (boxes[:, 2] <= out.shape[1]).all()
    assert (boxes[:, 3] <= out.shape[0]).all()
    over = (
        (boxes[:, 0] < left + width)
        & (boxes[:, 2] > left)
        & (boxes[:, 1] < height)
        & (boxes[:, 3] > 0)
    )
    assert not over.any()
    x0, y0, x1, y1 = boxes.T
    apart = (
        (x1[:, None] <= x0[None])
        | (x1[None] <= x0[:, None])
        | (y1[:, None] <= y0[None])
        | (y1[None] <= y0[:, None])
    )
    assert apart[~np.eye(len(boxes), dtype=bool)].all()


def test_sixty_words_all_get_a_row(paper: Paper) -> None:
    for size_hw in ((480, 640), (1536, 2048), (929, 512)):
        paper.texts.clear()
        attach(picture(size_hw), entries(60))
        assert sum(text.endswith("%") for text in paper.texts) == 60


def test_a_row_says_name_count_share_and_score(paper: Paper) -> None:
    out = attach(picture((480, 640)), [Entry("red car", (10, 200, 30), 0.4125, 0.876, count=2)])
    for text in ("red car", " ×2", "41.2 %", "0.88", "share", "score"):
        assert text in paper.texts
    assert (out == (10, 200, 30)).all(axis=-1).any()  # the swatch
    assert (out[-1, -1] == PAPER).all()


def test_share_as_people_read_it() -> None:
    assert percent(0.0) == "0.0 %"
    assert percent(0.0001) == "<0.1 %"
    assert percent(0.0005) == "0.1 %"
    assert percent(1.0) == "100.0 %"


def test_text_is_cut_to_the_width_it_has() -> None:
    pen = Pen(16)
    assert pen.fit("dog", 500) == "dog"
    cut = pen.fit("a very long name of a thing", 90)
    assert cut.endswith("…")
    assert cut[:-1] in "a very long name of a thing"
    assert pen.width(cut) <= 90
    longer = "a very long name of a thing"[: len(cut)]
    assert pen.width(longer + "…") > 90
    assert pen.fit("dog\n\tcat\x00", 500) == "dog cat"


def test_wrapped_lines_keep_every_word_until_the_last_line() -> None:
    pen = Pen(16)
    lines = pen.wrap("one two three four five six seven", 80, 99)
    assert " ".join(lines) == "one two three four five six seven"
    assert len(lines) > 1
    assert max(pen.width(line) for line in lines) <= 80
    short = pen.wrap("one two three four five six seven", 80, 2)
    assert len(short) == 2
    assert short[1].endswith("…")
    assert pen.wrap("", 80, 2) == []


@pytest.mark.parametrize("text", ["dog", "é", "ß", "猫", "кошка", "α", "한", "ع"])
def test_scripts_of_the_world_leave_ink(text: str) -> None:
    ink, unknown = (np.zeros((40, 120, 3), np.uint8) for _ in range(2))
    Pen(24).write(ink, text, (4, 30), (255, 255, 255))
    Pen(24).write(unknown, "?" * len(text), (4, 30), (255, 255, 255))
    assert ink.any()
    assert (ink != unknown).any()  # "?" stands for what the font lacks
