"""How the ground moves between frames: a homography of all that is not cut out, and what is left.

Corners are followed by the pyramidal Lucas-Kanade method and fitted by RANSAC; what a plane does
not explain, dense inverse search (Kroeger et al. 2016) finds around a hole, and a membrane carries
it into the hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills import membrane

__all__ = ["Aligned", "Box", "align", "ground_motion"]

_SIDE = 480  # pixels of the longer side at which motion is looked for
_CORNERS, _LEAST_CORNERS, _LEAST_SHARE = 600, 12, 0.35
_MARGIN = 3  # pixels, by which what is unknown grows before motion is read beside it
_RING = 16  # pixels around a hole in which an alignment is judged
_FARTHEST = 0.05  # of the longer side: what a homography may be wrong by

Box = tuple[int, int, int, int]
Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def ground_motion(one: Frame, other: Frame, holes: tuple[Mask, Mask]) -> NDArray[Any] | None:
    """Return the homography, (3, 3), by which pixels of a frame are found in another one.

    holes: (H, W) of each, which move by themselves. None where the frames do not show the same.
    """
    import cv2

    scale = min(1.0, _SIDE / max(one.shape[:2]))
    grey = [_small(_grey(rgb), scale) for rgb in (one, other)]
    known = [_small((~hole).astype(np.uint8), scale) for hole in holes]
    corners = cv2.goodFeaturesToTrack(grey[0], _CORNERS, 0.01, 6, mask=known[0])
    if corners is None or len(corners) < _LEAST_CORNERS:
        same = np.abs(grey[0].astype(np.int16) - grey[1])[(known[0] & known[1]) > 0]
        return np.eye(3) if same.size and float(same.mean()) < 8 else None
    made: Any = cv2  # whose types lack None
    moved, found, _ = made.calcOpticalFlowPyrLK(
        grey[0], grey[1], corners, None, winSize=(21, 21), maxLevel=4
    )
    inside = found[:, 0] > 0
    at = np.rint(moved[:, 0]).astype(int)
    height, width = grey[1].shape
    inside &= (at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)
    inside[inside] &= known[1][at[inside, 1], at[inside, 0]] > 0
    if inside.sum() < _LEAST_CORNERS:
        return None
    fit, kept = cv2.findHomography(corners[inside], moved[inside], cv2.RANSAC, 2.0)
    if fit is None or kept.mean() < _LEAST_SHARE:
        return None
    to = np.diag([scale, scale, 1.0])
    whole = np.asarray(np.linalg.inv(to) @ fit @ to)
    return np.asarray(whole / whole[2, 2])


@dataclass(frozen=True, eq=False)
class Aligned:
    """A frame as another one would show it, over a box.

    rgb: (h, w, 3) float32. valid: (h, w), where it is known. error: mean difference of grey levels
    beside the hole.
    """

    rgb: NDArray[np.float32]
    valid: Mask
    error: float


def align(
    target: Frame, hole: Mask, source: Frame, unknown: Mask, motion: NDArray[Any], box: Box
) -> Aligned | None:
    """Return what `source` shows of a box of `target`, moved pixel by pixel to fit around the hole.

    target, source: (H, W, 3). hole, unknown: what of each is not to be looked at, (H, W).
    motion: of pixels of the target into the source. None where nothing can be compared.
    """
    import cv2

    x0, y0, x1, y1 = box
    part, cut = target[y0:y1, x0:x1], hole[y0:y1, x0:x1]
    places = _places(box, motion)
    moved = np.asarray(cv2.remap(source, *places, cv2.INTER_LINEAR), np.uint8)
    valid = _known(unknown, places)
    scale = min(1.0, _SIDE / max(part.shape[:2]))
    left = _rest(part, cut, moved, valid, scale)
    if left is None:
        return None
    flow, error = left
    places = _places(box, motion, flow)
    rgb = cv2.remap(source, *places, cv2.INTER_CUBIC).astype(np.float32)
    valid = _known(unknown, places)
    beside = valid & _ring(cut)
    if beside.sum() < 20:
        return None
    rgb += np.median(part[beside] - rgb[beside], axis=0)  # light that changes
    return Aligned(rgb.clip(0, 255), valid, error)


def _rest(
    part: Frame, cut: Mask, moved: Frame, valid: Mask, scale: float
) -> tuple[NDArray[np.float32], float] | None:
    """The flow that a homography leaves, (h, w, 2) in pixels, and how much differs after it."""
    import cv2

    one, other = (_small(_grey(rgb), scale) for rgb in (part, moved))
    here = _small((~_grown(cut)).astype(np.uint8), scale) > 0
    there = _small((~_grown(~valid)).astype(np.uint8), scale) > 0
    both = here & there
    if both.sum() < 50 or min(one.shape) < 16:
        return None
    # What only one of them shows must not pull: the other's stands in for it.
    one, other = np.where(here, one, other), np.where(there, other, one)
    one[~here & ~there] = other[~here & ~there] = 128
    made: Any = cv2
    finder = made.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = finder.calc(one, other, None)
    most = _FARTHEST * max(one.shape)
    quiet = both & (np.abs(flow).max(2) < most)
    coarse = (max(1, one.shape[1] // 4), max(1, one.shape[0] // 4))
    share = cv2.resize(quiet.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(flow * quiet[..., None], coarse, interpolation=cv2.INTER_AREA)
    surface = membrane(mean / np.maximum(share, 1e-6)[..., None], share < 0.5)
    smooth = cv2.resize(surface, one.shape[::-1], interpolation=cv2.INTER_LINEAR)
    filled = cv2.GaussianBlur(np.where(quiet[..., None], flow, smooth), (0, 0), 2)
    rows, columns = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
    after = cv2.remap(other, columns + filled[..., 0], rows + filled[..., 1], cv2.INTER_LINEAR)
    ring = both & _ring(_small(cut.astype(np.uint8), scale) > 0)
    if ring.sum() < 20:
        return None
    apart = after[ring].astype(np.float32) - one[ring]
    error = float(np.abs(apart - np.median(apart)).mean())
    height, width = part.shape[:2]
    whole = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole / scale, np.float32), error


def _places(
    box: Box, motion: NDArray[Any], flow: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where in the source the pixels of a box are, x and y, (h, w) each."""
    x0, y0, x1, y1 = box
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    if flow is not None:
        columns, rows = columns + flow[..., 0], rows + flow[..., 1]
    m = motion.astype(np.float32)
    depth = m[2, 0] * columns + m[2, 1] * rows + m[2, 2]
    return (
        (m[0, 0] * columns + m[0, 1] * rows + m[0, 2]) / depth,
        (m[1, 0] * columns + m[1, 1] * rows + m[1, 2]) / depth,
    )


def _known(unknown: Mask, places: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Mask:
    """Where a source is inside its frame and known."""
    import cv2

    known = cv2.remap(
        (~unknown).astype(np.uint8) * 255, *places, cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    return np.asarray(known == 255)


def _grown(mask: Mask) -> Mask:
    import cv2

    side = 2 * _MARGIN + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _ring(mask: Mask) -> Mask:
    import cv2

    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray((away > 0) & (away <= _RING))


def _grey(rgb: Frame) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _small(plane: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A plane (H, W) at a smaller size; of a mask what is wholly inside."""
    import cv2

    if scale == 1:
        return plane
    size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
