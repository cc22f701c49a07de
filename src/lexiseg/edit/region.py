"""Where an edit happens: masks, the weight with which new pixels come in, and windows around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.xmp import EDITED
from lexiseg.errors import OptionError, PromptError
from lexiseg.imaging import Picture
from lexiseg.masks import Masks

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = [
    "Outcome", "Region", "Scene", "Where", "Window", "as_masks", "border_widths", "box_window",
    "crop_with_margin", "label_mask", "places_alike", "removal_mask", "shorter_side",
]  # fmt: skip

Where = Masks | NDArray[np.bool_]
Window = tuple[slice, slice]

_ALIKE = 0.05  # scoring so much for the words, a place may be one of them that was not found
_LEAD = 0.3  # how far behind another word a place may score and still go; at 0 tips of things stay


@dataclass(frozen=True, eq=False)
class Scene:
    """What an operation works on: a picture, and the N masks of what was meant in it.

    alike: (H, W) bool, or None: what is a little like it, and no place to fill a hole from.
    """

    picture: Picture
    masks: Masks
    alike: NDArray[np.bool_] | None = None

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """All masks together, (H, W) bool."""
        return self.masks.union()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an operation hands back: pictures, their digital source type, remarks for the reader."""

    pictures: tuple[Picture, ...]
    source: str = EDITED
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a picture that an edit may change.

    box_xyxy: of the part, half-open; holds every pixel whose weight is above 0.
    weight: (h, w) float32 in [0, 1] over the box, what of the new pixel comes in. Outside of the
        box, and wherever it is exactly 0, the picture stays bit by bit.
    mask: (h, w) bool over the box, what was meant.
    """

    box_xyxy: tuple[int, int, int, int]
    weight: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], *, dilation: int = 0, blur: int = 0) -> Region:
        """Return the region of a mask, (H, W) bool with at least one pixel.

        The weight is 1 on the mask and up to `dilation` pixels away from it, falls smoothly to 0
        over the next `blur` pixels, and is exactly 0 beyond: distances are Euclidean, between the
        centres of pixels. A Gaussian blur of the mask, as is usual, would leave half of the old rim
        inside. Raises OptionError for a width that is not from 0 to 1000.
        """
        import cv2

        for name, value in (("dilation", dilation), ("blur", blur)):
            if not 0 <= value <= 1000:
                raise OptionError(f"{name} is {value}; give pixels from 0 to 1000")
        reach = dilation + blur
        rows, columns = window = box_window(mask, reach)
        part = np.ascontiguousarray(mask[window])
        away = cv2.distanceTransform((~part).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        weight = (away <= dilation).astype(np.float32)
        border = (away > dilation) & (away <= reach)  # few pixels of a large picture
        ramp = (reach + 1 - away[border]) / (blur + 1)
        weight[border] = ramp * ramp * (3 - 2 * ramp)
        return cls((columns.start, rows.start, columns.stop, rows.stop), weight, part)

    @classmethod
    def whole(cls, mask: NDArray[np.bool_]) -> Region:
        """Return the region of all of a picture, (H, W), whose pixels are new where the mask is."""
        height, width = mask.shape
        return cls((0, 0, width, height), mask.astype(np.float32), mask)

    @property
    def window(self) -> Window:
        """Rows and columns of the box, as an index of (H, W, ...) arrays."""
        x0, y0, x1, y1 = self.box_xyxy
        return slice(y0, y1), slice(x0, x1)

    def with_margin(self, size_hw: tuple[int, int], margin: int) -> tuple[Window, Window]:
        """Return the window grown by `margin` pixels inside the picture, and the box within it."""
        x0, y0, x1, y1 = self.box_xyxy
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        outer = (
            slice(top, min(size_hw[0], y1 + margin)),
            slice(left, min(size_hw[1], x1 + margin)),
        )
        return outer, (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))

    def padded(self, size_hw: tuple[int, int], margin: int) -> Region:
        """Return the same region in a larger box: `margin` pixels more, of weight 0."""
        (rows, columns), inner = self.with_margin(size_hw, margin)
        shape = rows.stop - rows.start, columns.stop - columns.start
        weight, mask = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
        weight[inner], mask[inner] = self.weight, self.mask
        return Region((columns.start, rows.start, columns.stop, rows.stop), weight, mask)


def box_window(mask: NDArray[np.bool_], margin: int) -> Window:
    """Return the window of a mask's box, grown by `margin` pixels inside the picture.

    mask: (H, W), with at least one pixel.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return (
        slice(max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)),
    )


def crop_with_margin(
    pixels: NDArray[Any], region: Region, margin: int
) -> tuple[NDArray[Any], Window]:
    """Return the region's pixels with `margin` around them, and the region's box within them."""
    outer, inner = region.with_margin((pixels.shape[0], pixels.shape[1]), margin)
    return np.ascontiguousarray(pixels[outer]), inner


def border_widths(
    dilation: int | None, blur: int | None, size_hw: tuple[int, int], *, generous: bool
) -> tuple[int, int]:
    """Return dilation and blur in pixels; those that are None are chosen.

    generous: where a hole must hold all of a thing, its shadow and an inexact mask: 5 and 8 pixels,
    in photos of more than 640 so much more, since masks are drawn at a few hundred pixels. Else 0
    and 3.
    """
    scale = max(1.0, max(size_hw) / 640)
    usual = (round(5 * scale), round(8 * scale)) if generous else (0, 3)
    return usual[0] if dilation is None else dilation, usual[1] if blur is None else blur


def shorter_side(mask: NDArray[np.bool_]) -> int:
    """Return the shorter side of the box around a mask, in pixels."""
    rows, columns = box_window(mask, 0)
    return min(int(rows.stop - rows.start), int(columns.stop - columns.start))


def as_masks(where: Where, size_hw: tuple[int, int]) -> Masks:
    """Return what was meant as Masks of a picture of this size, without empty ones.

    where: Masks, or (H, W) bool, or (N, H, W) bool. Raises PromptError where it has another size
    or names no pixel.
    """
    if not isinstance(where, Masks):
        array = np.asarray(where)
        if array.dtype != np.bool_ or array.ndim not in (2, 3):
            raise PromptError(
                f"a mask of {array.dtype} {array.shape}; give Masks or a (H, W) bool array, such "
                "as seg['dog'] or array > 0"
            )
        where = Masks.from_dense(array.reshape(-1, *array.shape[-2:]))
    if where.size_hw != size_hw:
        raise PromptError(
            f"a mask of {where.size_hw} for a picture of {size_hw} (height, width); give the mask "
            "of this very picture"
        )
    where = where[np.flatnonzero(where.areas > 0)]
    if not len(where):
        raise PromptError("the mask is empty, so there is nothing to edit; give another mask")
    return where


def label_mask(seg: Segmentation, words: Sequence[str]) -> NDArray[np.bool_]:
    """Return where any of the words is, (H, W) bool: in the label map, and in its instances' masks.

    The map holds parts and kinds of the words; a mask may reach to a hat or a paw that the map
    lacks. Raises WordNotAsked for a word that was not asked for.
    """
    out = seg.mask(words)
    for word in words:
        out = out | seg[word].union()
    return out


def removal_mask(seg: Segmentation, words: str | Sequence[str]) -> NDArray[np.bool_]:
    """Return all that must go for the words to be gone, (H, W) bool.

    These are their pixels in the label map, and where the result kept its score map, also what is
    connected with them and scored nearly as high for the words, all together, as for any other word
    and for the background: a mask model may have left out a wing that the map had, and a hole in
    which a part of the thing stays is worse than one that is a little too large.

    Raises WordNotAsked for a word that was not asked for.
    """
    import cv2

    words = [words] if isinstance(words, str) else words
    labelled = label_mask(seg, words)
    if seg.score_map is None or not labelled.any():
        return labelled
    grid = seg.score_map.grid.astype(np.float32)
    chosen = [seg.index(word) for word in words]
    own = grid[chosen].sum(0)
    background = 1 - grid.sum(0)
    others = np.delete(grid, chosen, axis=0).max(0, initial=0.0)
    lead = own - np.maximum(others, background)
    full = cv2.resize(lead, labelled.shape[::-1], interpolation=cv2.INTER_LINEAR)
    either = labelled | (full > -_LEAD)
    count, parts = cv2.connectedComponents(either.view(np.uint8), connectivity=8)
    touched = np.zeros(count, np.bool_)
    touched[parts[labelled]] = True
    touched[0] = False
    out: NDArray[np.bool_] = touched[parts]
    return out


def places_alike(seg: Segmentation, words: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return the places that are a little like any of the words, (H, W) bool; None: not known.

    Something of the same kind may stand there that was not found: a hole that is filled from it
    shows it twice.
    """
    import cv2

    if seg.score_map is None:
        return None
    own = seg.score_map.grid[[seg.index(word) for word in words]].astype(np.float32).sum(0)
    full = cv2.resize(own, seg.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(full > _ALIKE)
