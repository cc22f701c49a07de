"""The legend: names, shares and scores on a panel of its own, beside or under the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize.canvas import Pen

__all__ = ["FAINT", "INK", "PAPER", "Entry", "attach", "pen_for", "percent"]

PAPER = (252, 252, 250)
INK = (28, 30, 34)
FAINT = (122, 126, 134)
_RULE = (226, 227, 230)
_BOLD = 500  # weight of names


@dataclass(frozen=True)
class Entry:
    """One word of the legend. share: of the picture, in [0, 1]; score: in [0, 1]."""

    name: str
    colour: tuple[int, int, int]
    share: float
    score: float
    count: int = 1


def attach(
    picture: NDArray[np.uint8], entries: Sequence[Entry], notes: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Return `picture` (H, W, 3) with the legend beside or under it: (H', W', 3), no pixel hidden.

    The layout is the one that shows most entries, then the one that needs little paper, is neither
    tall nor flat, and cuts few names. What does not fit is counted in a last line, "+12 more".
    `notes` are set below the entries.
    """
    size_hw = (picture.shape[0], picture.shape[1])
    plans = [
        _Plan.make(size_hw, entries, notes, beside=beside, columns=columns, longest=longest)
        for beside in (True, False)
        for columns in (1, 2, 3, 4, 5, 6)
        for longest in (18, 10)
    ]
    best = min(plans, key=lambda plan: (not plan.fits, plan.hidden, plan.cost))
    return best.draw(picture, entries)


def percent(share: float) -> str:
    """A share of the picture as people read it: 41.2 %, never 0.0 % for something that is there."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %"


@dataclass(frozen=True)
class _Plan:
    """Where everything goes; lengths in pixels."""

    size_hw: tuple[int, int]
    beside: bool
    columns: int
    rows: int
    hidden: int  # entries without a row
    clipped: float  # the part of all names that is cut, in [0, 1]
    name: int  # width of the widest name
    row: int  # height of a row
    pad: int
    panel_hw: tuple[int, int]
    notes: tuple[str, ...]
    fits: bool
    pen: Pen

    @classmethod
    def make(
        cls,
        size_hw: tuple[int, int],
        entries: Sequence[Entry],
        notes: Sequence[str],
        *,
        beside: bool,
        columns: int,
        longest: int,
    ) -> _Plan:
        """Plan for so many columns of names of at most `longest` letter heights."""
        height, width = size_hw
        pen = pen_for(size_hw)
        size = pen.size
        pad, row = round(1.2 * size), round(1.75 * size)
        widths = [_name_width(pen, entry) for entry in entries]
        name = max(6 * size, min(max(widths, default=0), longest * size))
        clipped = sum(max(0, width - name) for width in widths) / max(1, sum(widths))
        step = _numbers(size) + 4 * size + name
        inner = columns * step - 2 * size if entries else 14 * size
        if not beside:
            inner = max(inner, width - 2 * pad)
        lines = tuple(line for note in notes for line in pen.wrap(note, inner, 3))
        fixed = (row if entries else 0) + 2 * pad + len(lines) * row
        fixed += round(0.5 * size) if lines and entries else 0
        # Beside the picture the panel may not outgrow it, save where the picture is a sliver.
        room = max(height, 12 * row) if beside else max(2 * height, 24 * row)
        max_rows = max(1, (room - fixed) // row)
        rows = min(max_rows, ceil(len(entries) / columns)) if entries else 0
        slots = rows * columns
        hidden = 0 if len(entries) <= slots else len(entries) - slots + 1
        tall = fixed + rows * row
        panel_hw = (max(tall, height), inner + 2 * pad) if beside else (tall, inner + 2 * pad)
        limit = max(1.2 * width, 48 * size) if beside else width
        fits = columns == 1 or (columns <= len(entries) and columns * step + 2 * pad <= limit)
        return cls(
            size_hw=size_hw,
            beside=beside,
            columns=columns,
            rows=rows,
            hidden=hidden,
            clipped=clipped,
            name=name,
            row=row,
            pad=pad,
            panel_hw=panel_hw,
            notes=lines,
            fits=fits,
            pen=pen,
        )

    @property
    def canvas_hw(self) -> tuple[int, int]:
        (height, width), (tall, wide) = self.size_hw, self.panel_hw
        if self.beside:
            return max(height, tall), width + wide
        return height + tall, max(width, wide)

    @property
    def cost(self) -> float:
        """The paper used, in pixels, more for names that are cut and for a tall or flat figure."""
        height, width = self.canvas_hw
        return height * width * max(1.0, height / width, width / height / 2) * (1 + self.clipped)

    def draw(self, picture: NDArray[np.uint8], entries: Sequence[Entry]) -> NDArray[np.uint8]:
        height, width = self.size_hw
        canvas = np.empty((*self.canvas_hw, 3), dtype=np.uint8)
        canvas[:] = PAPER
        left = 0 if self.beside else (canvas.shape[1] - width) // 2
        canvas[:height, left : left + width] = picture
        x0, y0 = (width + self.pad, self.pad) if self.beside else (self.pad, height + self.pad)
        size = self.pen.size
        small = Pen(max(11, round(0.8 * size)))
        step = _numbers(size) + 4 * size + self.name
        shown = list(entries[: len(entries) - self.hidden])
        slots = self.rows * self.columns
        # Columns of equal length read better than full ones and a stump.
        per = ceil(min(len(entries), slots) / self.columns) if slots else 0
        for column in range(self.columns if entries else 0):
            x = x0 + column * step
            if column * per < max(1, len(shown)):
                self._headings(canvas, small, x, y0)
            for place, entry in enumerate(shown[column * per : (column + 1) * per]):
                self._row(canvas, entry, x, y0 + (place + 1) * self.row)
        y = y0 + ((self.rows + 1) * self.row if entries else 0)
        if self.hidden:
            place = len(shown)
            x = x0 + (place // per) * step
            base = y0 + (place % per + 1) * self.row + round(1.2 * size)
            self.pen.write(canvas, f"+{self.hidden} more", (x, base), FAINT)
        if self.notes:
            right = canvas.shape[1] - self.pad
            if entries:
                canvas[y + size // 4 : y + size // 4 + max(1, size // 14), x0:right] = _RULE
                y += round(0.5 * size)
            for line in self.notes:
                self.pen.write(canvas, line, (x0, y + round(1.2 * size)), FAINT)
                y += self.row
        return canvas

    def _headings(self, canvas: NDArray[np.uint8], pen: Pen, x: int, y: int) -> None:
        size = self.pen.size
        share_x, score_x = self._edges(x)
        base = y + size
        pen.write(canvas, "share", (share_x, base), FAINT, right=True)
        pen.write(canvas, "score", (score_x, base), FAINT, right=True)

    def _row(self, canvas: NDArray[np.uint8], entry: Entry, x: int, y: int) -> None:
        import cv2

        size = self.pen.size
        middle, radius = y + self.row // 2, round(0.5 * size)
        # cv2 draws with 4 fractional bits: a smooth disc of any size.
        centre = (16 * (x + radius), 16 * middle)
        cv2.circle(canvas, centre, 16 * radius, entry.colour, -1, cv2.LINE_AA, 4)
        share_x, score_x = self._edges(x)
        base = y + round(1.22 * size)
        count = f" ×{entry.count}" if entry.count > 1 else ""
        room = self.name - (self.pen.width(count) + size // 3 if count else 0)
        bold = Pen(size, _BOLD)
        name = bold.fit(entry.name, room)
        name_x = x + round(1.6 * size)
        bold.write(canvas, name, (name_x, base), INK)
        if count:
            self.pen.write(canvas, count, (name_x + bold.width(name) + size // 3, base), FAINT)
        self.pen.write(canvas, percent(entry.share), (share_x, base), INK, right=True)
        self.pen.write(canvas, f"{entry.score:.2f}", (score_x, base), FAINT, right=True)

    def _edges(self, x: int) -> tuple[int, int]:
        """The right edges of the two columns of numbers in the column of entries at `x`."""
        size = self.pen.size
        score = x + 2 * size + self.name + _numbers(size)
        return score - round(2.9 * size), score


def pen_for(size_hw: tuple[int, int]) -> Pen:
    """Text of a size that reads when the whole figure is on a screen or a page."""
    return Pen(int(np.clip(round((size_hw[0] * size_hw[1]) ** 0.5 / 55), 14, 36)))


def _numbers(size: int) -> int:
    """The width that share and score take together."""
    return round(6.6 * size)


def _name_width(pen: Pen, entry: Entry) -> int:
    count = f" ×{entry.count}" if entry.count > 1 else ""
    return Pen(pen.size, _BOLD).width(entry.name) + pen.width(count) + pen.size // 3
