"""Edges of cut-outs: opacity beside a truth that is known, of things with hair and without.

A shape, with a thousand hairs or none, is drawn at four times the size, so that its opacity is
known; it has the pixels of one photo and lies on another. The mask that edges start from is what a
map of cells of 4 pixels makes of it: it has no hairs.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows.common import markdown, open_data, progress
from lexiseg.imaging import read

ABOUT = "opacity of 24 shapes, with hair and without, drawn onto real photos, by kinds of edges"
NEEDS = ("data:msrc", "package:pymatting")
THINGS, SEED, SET = 12, 0, "msrc"
SIZE_HW = (288, 384)
# Name -> kind of edges, and how many times as wide as usual the band is.
WAYS = {
    "hard": ("hard", 1),
    "soft": ("soft", 1),
    "soft, band x 2": ("soft", 2),
    "closed-form": ("closed-form", 1),
    "closed-form, band x 2": ("closed-form", 2),
}
KINDS = {"hair": 1500, "smooth": 0}  # how many hairs
_FINER = 4  # times, at which shapes are drawn
_CELL = 4


def run(options: Namespace) -> dict[str, Any]:
    """Draw the things, find their opacity in every way, and compare it with what was drawn."""
    import cv2

    (photos_of,) = (one for one in open_data(options) if one.name == SET)
    photos = [cv2.resize(read(one.path).rgb, SIZE_HW[::-1]) for one in photos_of]
    count = min(THINGS, options.limit or THINGS)
    kinds = {}
    for kind, hairs in KINDS.items():
        rng = np.random.default_rng(SEED)
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        tell = progress(f"matting, {kind}")
        for number in range(count):
            alpha = draw_shape(rng, hairs)
            front, back, other = (photos[i] for i in rng.choice(len(photos), 3, replace=False))
            for way in WAYS:
                found[way].append(_measure(way, alpha, front, back, other))
            if tell:
                tell(number + 1, count)
        kinds[kind] = {way: _means(some) for way, some in found.items()}
    return {"things": count, "set": SET, "size_hw": list(SIZE_HW), "seed": SEED, "kinds": kinds}


def _measure(
    way: str,
    alpha: NDArray[np.float64],
    front: NDArray[np.uint8],
    back: NDArray[np.uint8],
    other: NDArray[np.uint8],
) -> dict[str, float]:
    from lexiseg.edit.matting import band_width, foreground, matte

    share = alpha[..., None]
    rgb = np.rint(share * front + (1 - share) * back).astype(np.uint8)
    mask = coarse_mask(alpha)
    edges, times = WAYS[way]
    started = time.process_time()
    opacity = matte(rgb, mask, edges, times * band_width(mask))
    colours = foreground(rgb, opacity)
    seconds = time.process_time() - started
    mixed = opacity[..., None] * colours + (1 - opacity[..., None]) * other
    truth = share * front + (1 - share) * other
    return {
        **alpha_errors(opacity, alpha),
        "composite": float(np.abs(mixed - truth)[alpha < 1].mean()),
        "seconds": seconds,
    }


def _means(some: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each measure; of the seconds the median, since compiling is no work."""
    out = {key: statistics.mean(one[key] for one in some) for key in some[0]}
    out["seconds"] = statistics.median(one["seconds"] for one in some)
    return {key: round(value, 4) for key, value in out.items()}


def draw_shape(rng: np.random.Generator, hairs: int) -> NDArray[np.float64]:
    """Return the opacity, (H, W) in [0, 1], of a round shape with hairs along its rim."""
    import cv2

    height, width = (side * _FINER for side in SIZE_HW)
    canvas = np.zeros((height, width), np.uint8)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = 0.27 * height * (1 + sum(
        rng.normal(0, 0.12 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(1, 5)
    ))  # fmt: skip
    centre = np.array([width / 2, height / 2])
    rim = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    cv2.fillPoly(canvas, [np.rint(rim).astype(np.int32)], 255)
    tufts = rng.uniform(0, 2 * np.pi, 3)
    for _ in range(hairs):
        at = rng.choice(tufts) + rng.normal(0, 0.5)
        k = int(at / (2 * np.pi) * len(rim)) % len(rim)
        length = rng.uniform(0.2, 1) * 0.16 * height
        way = at + rng.normal(0, 0.35)
        along = np.linspace(0, 1, 8)[:, None]
        bend = rng.normal(0, 0.5) * along**2 * length
        ahead, aside = np.array([np.cos(way), np.sin(way)]), np.array([-np.sin(way), np.cos(way)])
        hair = centre + 0.97 * (rim[k] - centre) + along * length * ahead + bend * aside
        thick = int(rng.integers(2, 5))
        cv2.polylines(canvas, [np.rint(hair).astype(np.int32)], False, 255, thick, cv2.LINE_AA)
    small = cv2.resize(canvas, SIZE_HW[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255.0)


def coarse_mask(alpha: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what a map of coarse cells makes of an opacity, (H, W)."""
    import cv2

    height, width = alpha.shape
    cells = cv2.resize(alpha, (width // _CELL, height // _CELL), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def alpha_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """Return the errors of an opacity, as Rhemann et al. (2009) measure them.

    sad: the sum of differences, in thousands. mse: their mean square where the truth is neither 0
    nor 1, in thousandths. gradient: the squared difference of the gradients' lengths by a Gaussian
    of 1.4 pixels, its sum in thousands.
    """
    unsure = (truth > 0) & (truth < 1)
    difference = np.abs(found - truth)
    steps = (_gradient(found) - _gradient(truth)) ** 2
    return {
        "sad": float(difference.sum() / 1000),
        "mse": float(1000 * (difference[unsure] ** 2).mean()),
        "gradient": float(steps.sum() / 1000),
    }


def table(result: dict[str, Any]) -> str:
    """Return a line a kind of edges."""
    head = ["edges", "SAD", "MSE", "gradient", "colours", "CPU seconds"]
    parts = []
    for kind, ways in result["kinds"].items():
        lines = [
            [
                way,
                f"{one['sad']:.2f}",
                f"{one['mse']:.0f}",
                f"{one['gradient']:.3f}",
                f"{one['composite']:.2f}",
                f"{one['seconds']:.2f}",
            ]
            for way, one in ways.items()
        ]
        parts.append(markdown([f"{head[0]}, {kind}", *head[1:]], lines))
    parts.append(
        f"{result['things']} things of {' x '.join(map(str, result['size_hw']))} pixels of each "
        f"kind, drawn with the pixels of photos of {result['set']} onto others. SAD: sum of the "
        "opacity's error, in thousands; MSE: its square, in thousandths, where the truth is "
        "between 0 and 1; gradient: as Rhemann et al. (2009); colours: mean error, of 255, when "
        "the thing is laid on a third photo. Closed-form is PyMatting's."
    )
    return "\n\n".join(parts)


def _gradient(alpha: NDArray[np.floating]) -> NDArray[np.float64]:
    """The length of the gradient, by derivatives of a Gaussian."""
    import cv2

    sigma = 1.4
    x = np.arange(-5, 6)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    smooth /= smooth.sum()
    slope = -x * smooth / sigma**2
    plane = np.asarray(alpha, np.float64)
    across = cv2.sepFilter2D(plane, -1, slope, smooth)
    down = cv2.sepFilter2D(plane, -1, smooth, slope)
    return np.asarray(np.hypot(across, down))
