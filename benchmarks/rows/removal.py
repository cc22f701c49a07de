"""Filling object-shaped holes in known background: how close to the truth, and how alike."""

from __future__ import annotations

import math
import statistics
import time
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows.common import markdown, open_data, progress
from lexiseg.datasets import SemanticDataset
from lexiseg.imaging import read

ABOUT = "100 object-shaped holes in known background of real photos, filled without weights"
NEEDS = ("data",)
HOLES, SEED = 100, 0
SHARES = (0.01, 0.12)  # of the photo
FILLED_BY = ("telea", "exemplar", "smooth", "biharmonic")
_CLEAR = 8  # pixels between a hole and the photo's edge


def run(options: Namespace) -> dict[str, Any]:
    """Cut the holes, fill each in every way, and measure inside of the holes."""
    from lexiseg.edit.fills import FILLS
    from lexiseg.metrics import psnr, texture_distance

    sets = [one for one in open_data(options) if one.background_index is not None]
    count = min(HOLES, options.limit or HOLES)
    holes = [hole for one in sets for hole in cut(one, math.ceil(count / len(sets)))][:count]
    ways: dict[str, Any] = {}
    reference: list[float] = []  # of the first way, Telea's
    for name in FILLED_BY:
        tell = progress(name)
        found: list[tuple[float, float, float]] = []
        for number, (rgb, hole) in enumerate(holes, start=1):
            started = time.perf_counter()
            filled = FILLS[name](rgb, hole)
            seconds = time.perf_counter() - started
            found.append((psnr(filled, rgb, hole), texture_distance(filled, rgb, hole), seconds))
            if tell:
                tell(number, len(holes))
        textures = [one[1] for one in found]
        reference = reference or textures
        ways[name] = {
            "psnr": round(statistics.mean(one[0] for one in found), 2),
            "texture": round(statistics.mean(textures), 4),
            "below_telea": sum(a < b for a, b in zip(textures, reference, strict=True)),
            "seconds": round(statistics.median(one[2] for one in found), 3),
        }
    return {
        "holes": len(holes),
        "sets": [one.name for one in sets],
        "pixels": round(statistics.mean(float(hole.sum()) for _, hole in holes)),
        "ways": ways,
    }


def cut(data: SemanticDataset, count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Return photos, (H, W, 3), with holes, (H, W): the outline of a thing in another photo.

    A hole lies wholly in what is labelled background, so that what belongs there is known.
    """
    import cv2

    rng = np.random.default_rng(SEED)
    shapes = rng.permutation(len(data))
    out = []
    turn = 0
    for place in rng.permutation(len(data)):
        sample = data[int(place)]
        rgb = read(sample.path).rgb
        busy = sample.labels(rgb.shape[:2]) != data.background_index
        for _ in range(5):
            shape = _outline(data, int(shapes[turn % len(shapes)]))
            turn += 1
            if shape is None:
                continue
            share = math.exp(rng.uniform(*map(math.log, SHARES)))
            scale = math.sqrt(share * busy.size / shape.sum())
            size = tuple(max(3, round(side * scale)) for side in shape.shape[::-1])
            stamp = cv2.resize(shape, size, interpolation=cv2.INTER_NEAREST)
            corner = _room(busy, stamp, rng)
            if corner is None:
                continue
            hole = np.zeros(busy.shape, np.bool_)
            top, left = corner
            hole[top : top + stamp.shape[0], left : left + stamp.shape[1]] = stamp > 0
            out.append((rgb, hole))
            break
        if len(out) == count:
            break
    return out


def _outline(data: SemanticDataset, number: int) -> NDArray[np.uint8] | None:
    """The largest thing in a photo, as a tight mask of 0 and 1; None where there is none."""
    import cv2

    sample = data[number]
    labels = sample.labels(read(sample.path).rgb.shape[:2])
    things = (labels != data.background_index) & (labels != data.ignore_index)
    _, parts, found, _ = cv2.connectedComponentsWithStats(things.astype(np.uint8))
    if len(found) < 2 or found[1:, cv2.CC_STAT_AREA].max() < 200:
        return None
    best = 1 + int(found[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = found[best, :4]
    mask: NDArray[np.uint8] = (parts == best).astype(np.uint8)
    return mask[top : top + height, left : left + width]


def _room(
    busy: NDArray[np.bool_], stamp: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A random corner at which the stamp meets background alone; None where there is none."""
    import cv2

    rows, columns = (
        side - own - 2 * _CLEAR for side, own in zip(busy.shape, stamp.shape, strict=True)
    )
    if rows < 1 or columns < 1:
        return None
    hits = cv2.filter2D(
        busy.astype(np.float32), -1, stamp.astype(np.float32), anchor=(0, 0),
        borderType=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    free = np.argwhere(hits[_CLEAR : _CLEAR + rows, _CLEAR : _CLEAR + columns] < 0.5)
    if not len(free):
        return None
    top, left = (free[rng.integers(len(free))] + _CLEAR).tolist()
    return top, left


def table(result: dict[str, Any]) -> str:
    """Return a line a fill."""
    head = [
        f"{result['holes']} holes, mean {result['pixels']} pixels",
        "texture distance",
        "nearer than Telea's",
        "PSNR, dB",
    ]
    lines = [
        [
            name,
            f"{one['texture']:.3f}",
            f"{one['below_telea']} of {result['holes']}",
            f"{one['psnr']:.1f}",
        ]
        for name, one in result["ways"].items()
    ]
    return markdown(head, lines)
