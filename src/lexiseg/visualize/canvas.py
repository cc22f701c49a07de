"""What drawings stand on: the photo, its size, colours, and text in every script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PictureError
from lexiseg.visualize.shaping import shaped_width, split_runs, write_shaped

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.results import Segmentation

__all__ = [
    "Pen", "check_fraction", "figure_size", "photo", "printable", "resize", "text_width",
    "word_indices",
]  # fmt: skip


_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

# A figure's picture is about as long as the first (enlarged by a whole factor), so that text of a
# readable size does not dwarf it, and at most as long as the second, so that it opens at once.
_SHORT, _LONG = 640, 2048


def photo(seg: Segmentation, image: Source | None) -> NDArray[np.uint8]:
    """Return the photo, (H, W, 3) uint8: `image`, or the one that `seg` keeps.

    Raises PictureError where there is neither, and for a photo of another size.
    """
    if image is None:
        if seg.image is None:
            raise PictureError(
                "this result keeps no photo to draw on; give it as image= (a path, a PIL image or "
                "an array), or segment with keep_image=True"
            )
        return seg.image
    from lexiseg.imaging import read

    rgb = read(image).rgb
    if rgb.shape[:2] != seg.label_map.shape:
        raise PictureError(
            "the picture is not the one that was segmented: "
            f"{rgb.shape[1]}x{rgb.shape[0]} pixels, the masks have "
            f"{seg.label_map.shape[1]}x{seg.label_map.shape[0]}; pass that picture"
        )
    return rgb


def word_indices(seg: Segmentation, only: Sequence[str] | None) -> list[int]:
    """Return the indices of the words to draw, ascending; WordNotAsked for another word."""
    if only is None:
        return list(range(len(seg.words)))
    return sorted({seg.index(word) for word in only})


def check_fraction(name: str, value: float) -> None:
    """Refuse a value outside [0, 1] with an OptionError."""
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{name} must be in [0, 1], got {value!r}")


def figure_size(size_hw: tuple[int, ...]) -> tuple[int, int]:
    """Return the size, (h, w), at which a photo of `size_hw` is drawn in a figure."""
    height, width = size_hw
    longest = max(height, width)
    if longest > _LONG:
        return max(1, round(height * _LONG / longest)), max(1, round(width * _LONG / longest))
    factor = max(1, round(_SHORT / longest))
    return height * factor, width * factor


def resize(pixels: NDArray[_Pixel], size_hw: tuple[int, ...]) -> NDArray[_Pixel]:
    """Return a photo (H, W, 3) or map (H, W) at another size, smoothly, in its own type."""
    import cv2

    if pixels.shape[:2] == tuple(size_hw):
        return pixels
    larger = size_hw[0] > pixels.shape[0]
    if pixels.ndim == 2:  # scores: nothing that overshoots
        how = cv2.INTER_LINEAR
    else:
        how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    out: NDArray[_Pixel] = cv2.resize(pixels, (size_hw[1], size_hw[0]), interpolation=how).astype(
        pixels.dtype, copy=False
    )
    return out


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
        return text_width(printable(text), self.size, self.weight)

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
        for run, path in split_runs(text):
            if path is None:
                cv2.putText(canvas, run, (x, xy[1]), colour, _face(), self.size, self.weight)
            else:
                write_shaped(canvas, run, (x, xy[1]), colour, path, self.size)
            x += _run_width(run, path, self.size, self.weight) + _space(self.size)


def _face() -> Any:
    import cv2

    return cv2.FontFace("sans")


@lru_cache(maxsize=4096)
def text_width(text: str, size: int, weight: int) -> int:
    """Return how many pixels wide a text is, of a size in pixels and a font's weight."""
    runs = split_runs(text)
    wide = sum(_run_width(run, path, size, weight) for run, path in runs)
    return wide + (len(runs) - 1) * _space(size)


def _run_width(run: str, path: str | None, size: int, weight: int) -> int:
    import cv2

    if path is not None:
        return shaped_width(run, path, size)
    return int(cv2.getTextSize((0, 0), run, (0, 0), _face(), size, weight)[2]) if run else 0


def _space(size: int) -> int:
    """The gap between words of two fonts."""
    return round(0.28 * size)


def printable(text: str) -> str:
    """`text` on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
