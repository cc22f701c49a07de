"""Where an edit happens: a mask, and the weight with which new pixels replace old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PromptError
from lexiseg.masks import Masks

if TYPE_CHECKING:
    from lexiseg.imaging import Picture

__all__ = ["Region", "Scene", "Where", "as_masks", "border", "region"]

Where = Masks | NDArray[np.bool_]


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

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the box, as an index of (H, W, ...) arrays."""
        x0, y0, x1, y1 = self.box_xyxy
        return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True, eq=False)
class Scene:
    """What an operation works on: a picture, and the N masks of what was meant in it."""

    picture: Picture
    masks: Masks

    @property
    def mask(self) -> NDArray[np.bool_]:
        """All masks together, (H, W) bool."""
        return self.masks.union()


def as_masks(where: Where, size_hw: tuple[int, int]) -> Masks:
    """Return what was meant as Masks of a picture of this size.

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


def border(
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


def region(mask: NDArray[np.bool_], *, dilation: int = 0, blur: int = 0) -> Region:
    """Return the region of a mask, (H, W) bool with at least one pixel.

    The weight is 1 on the mask and up to `dilation` pixels away from it, falls smoothly to 0 over
    the next `blur` pixels, and is exactly 0 beyond: distances are Euclidean, between the centres of
    pixels. A Gaussian blur of the mask, as is usual, would leave half of the old rim inside.
    """
    import cv2

    for name, value in (("dilation", dilation), ("blur", blur)):
        if not 0 <= value <= 1000:
            raise OptionError(f"{name} is {value}; give pixels from 0 to 1000")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = dilation + blur
    height, width = mask.shape
    x0, x1 = max(0, int(columns[0]) - reach), min(width, int(columns[-1]) + 1 + reach)
    y0, y1 = max(0, int(rows[0]) - reach), min(height, int(rows[-1]) + 1 + reach)
    part = np.ascontiguousarray(mask[y0:y1, x0:x1])
    away = cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.where(away > reach, 0, np.clip((reach + 1 - away) / (blur + 1), 0, 1))
    weight = ramp * ramp * (3 - 2 * ramp)
    return Region((x0, y0, x1, y1), np.asarray(weight, np.float32), part)
