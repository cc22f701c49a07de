"""Writing on pictures, in any script.

OpenCV 5 carries its own scalable font, which knows Latin, Greek, Cyrillic, Arabic, Hebrew and
the scripts of East Asia; Pillow's built-in one stops at ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pen", "printable"]


@dataclass(frozen=True)
class Pen:
    """A font at one size.

    size: height in pixels of the space that a line of text needs above its baseline.
    weight: 400 is regular, 600 is bold.
    """

    size: int
    weight: int = 400

    def width(self, text: str) -> int:
        """Return how many pixels wide `text` is."""
        return _width(printable(text), self.size, self.weight)

    def fit(self, text: str, width: int) -> str:
        """Return `text`, or as much of its start as fits `width` pixels, with an ellipsis."""
        text = printable(text)
        if self.width(text) <= width:
            return text
        low, high = 0, len(text)  # the longest prefix that fits lies in [low, high)
        while low < high - 1:
            middle = (low + high) // 2
            if self.width(text[:middle].rstrip() + "…") <= width:
                low = middle
            else:
                high = middle
        return text[:low].rstrip() + "…"

    def wrap(self, text: str, width: int, lines: int) -> list[str]:
        """Break `text` at spaces into at most `lines` lines of `width` pixels; the rest is cut."""
        rows: list[str] = []
        for token in printable(text).split():
            longer = f"{rows[-1]} {token}" if rows else token
            if rows and (len(rows) == lines or self.width(longer) <= width):
                rows[-1] = longer
            else:
                rows.append(token)
        return [self.fit(row, width) for row in rows]

    def write(
        self,
        canvas: NDArray[np.uint8],
        text: str,
        xy: tuple[int, int],
        colour: tuple[int, int, int],
        *,
        right: bool = False,
    ) -> None:
        """Write on `canvas` (H, W, 3) from the baseline point `xy`, or up to it if `right`."""
        import cv2

        text = printable(text)
        if not text:
            return
        x = xy[0] - self.width(text) if right else xy[0]
        cv2.putText(canvas, text, (x, xy[1]), colour, _face(), self.size, self.weight)


def _face() -> Any:
    import cv2

    return cv2.FontFace("sans")


@lru_cache(maxsize=4096)
def _width(text: str, size: int, weight: int) -> int:
    import cv2

    return int(cv2.getTextSize((0, 0), text, (0, 0), _face(), size, weight)[2]) if text else 0


def printable(text: str) -> str:
    """`text` on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
