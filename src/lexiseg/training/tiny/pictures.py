"""Batches of photos for the picture side: every batch is a function of (seed, step) alone.

That is what lets a killed run continue exactly: no generator state has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lexiseg.datasets import PlainDataset
from lexiseg.training.tiny.words import mirrored

__all__ = [
    "Batch",
    "PictureSet",
    "Sampling",
    "batches",
    "crop_window",
    "cut",
    "is_dev",
    "load_set",
    "load_unlabelled",
    "make_batch",
]

_DEV_SHARE = 16  # one photo of sixteen is kept out of training, to choose settings on


@dataclass(frozen=True)
class Sampling:
    """How crops are cut and points are drawn."""

    batch: int = 12
    sizes_hw: tuple[tuple[int, int], ...] = ((224, 224), (192, 256), (256, 192))
    short_sides: tuple[float, float] = (200.0, 430.0)  # the whole picture's, after the crop's scale
    points: int = 1024
    even_share: float = 0.35  # of the points: drawn evenly over the classes in the crop
    rarity: float = 0.6  # photos are drawn by their rarest class, frequency to this power
    subset_share: float = 0.35  # of the photos: asked for a part of their words only
    jitter: float = 0.25  # brightness, contrast and saturation


@dataclass(frozen=True)
class PictureSet:
    """One data set in memory: photos (uint8) and class masks (uint8), None where it has none."""

    name: str
    classes: tuple[str, ...]
    background_index: int | None
    photos: list[NDArray[np.uint8]]
    masks: list[NDArray[np.uint8]] | None
    draw: NDArray[np.float64]  # how often each photo is drawn, sums to 1
    swaps: dict[int, int]


@dataclass(frozen=True)
class Batch:
    """One step's photos, and for each the points with their class (-1: no mask)."""

    pixels: NDArray[np.uint8]  # (B, H, W, 3)
    sets: list[int]
    points_xy: NDArray[np.float32]  # (B, P, 2), in [-1, 1]
    labels: NDArray[np.int64]  # (B, P)
    asked: list[NDArray[np.bool_] | None]  # the classes asked for, None: all
    seed: int


def is_dev(name: str, photo: str) -> bool:
    """Whether a training photo is kept out of training, by its name alone."""
    return crc32(f"{name}/{photo}".encode()) % _DEV_SHARE == 0


def _read(path: Path) -> NDArray[np.uint8]:
    from lexiseg import imaging

    rgb: NDArray[np.uint8] = imaging.read(path).rgb
    return rgb


def load_set(dataset: PlainDataset, rarity: float, workers: int = 2) -> PictureSet:
    """Read the training part of a data set (photos that ``is_dev`` names are left out)."""
    samples = [s for s in dataset if not is_dev(dataset.name, s.id)]

    def one(sample):  # type: ignore[no-untyped-def]
        photo = _read(sample.path)
        labels = sample.labels(photo.shape[:2])
        labels[labels == dataset.ignore_index] = 255
        return photo, labels.astype(np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(one, samples))
    masks = [m for _, m in pairs]
    present = np.stack([np.bincount(m.ravel(), minlength=256)[:255] > 40 for m in masks])
    frequency = present.mean(0)
    worth = np.where(frequency > 0, frequency, 1.0) ** -rarity
    draw = np.where(present, worth, 0.0).max(1) + 1e-9
    return PictureSet(
        dataset.name,
        dataset.classes,
        dataset.background_index,
        [p for p, _ in pairs],
        masks,
        draw / draw.sum(),
        mirrored(dataset.classes),
    )


def load_unlabelled(name: str, folder: Path, workers: int = 2) -> PictureSet:
    """Photos without masks: they teach through the ImageNet head only."""
    paths = sorted(folder.rglob("*.webp"))
    with ThreadPoolExecutor(workers) as pool:
        photos = list(pool.map(_read, paths))
    return PictureSet(name, (), None, photos, None, np.full(len(paths), 1 / len(paths)), {})


def make_batch(
    sets: Sequence[PictureSet], shares: Sequence[float], how: Sampling, seed: int, step: int
) -> Batch:
    """Draw the batch of a step."""
    rng = np.random.default_rng([seed, step])
    h, w = how.sizes_hw[rng.integers(len(how.sizes_hw))]
    drawn = rng.choice(len(sets), how.batch, p=np.asarray(shares) / np.sum(shares))
    pixels = np.empty((how.batch, h, w, 3), np.uint8)
    points = np.zeros((how.batch, how.points, 2), np.float32)
    labels = np.full((how.batch, how.points), -1, np.int64)
    asked: list[NDArray[np.bool_] | None] = []
    for b, s in enumerate(drawn):
        chosen = sets[s]
        i = int(rng.choice(len(chosen.photos), p=chosen.draw))
        photo = chosen.photos[i]
        y0, x0, ch, cw = crop_window(photo.shape[:2], (h, w), how.short_sides, rng)
        flip = rng.random() < 0.5
        pixels[b] = cut(photo, (y0, x0, ch, cw), (h, w), flip, how.jitter, rng)
        if chosen.masks is None:
            asked.append(None)
            continue
        mask = chosen.masks[i][y0 : y0 + ch, x0 : x0 + cw]
        ys, xs = _draw_points(mask, how, rng)
        values = mask[ys, xs].astype(np.int64)
        values[values == 255] = -1
        x = (xs + 0.5) / cw * 2 - 1
        points[b, :, 0], points[b, :, 1] = (-x if flip else x), (ys + 0.5) / ch * 2 - 1
        if flip:
            for a, other in chosen.swaps.items():
                values[mask[ys, xs] == a] = other
        labels[b] = values
        asked.append(_subset(len(chosen.classes), values, how, chosen.background_index, rng))
    return Batch(pixels, list(map(int, drawn)), points, labels, asked, int(rng.integers(2**31)))


def crop_window(
    size_hw: tuple[int, int],
    out_hw: tuple[int, int],
    short_sides: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """A window (y, x, height, width) of the photo; where the photo is smaller, the whole side."""
    target = np.exp(rng.uniform(*np.log(short_sides)))
    scale = min(size_hw) / target
    ch = min(size_hw[0], round(out_hw[0] * scale))
    cw = min(size_hw[1], round(out_hw[1] * scale))
    return (
        int(rng.integers(size_hw[0] - ch + 1)), int(rng.integers(size_hw[1] - cw + 1)), ch, cw,
    )  # fmt: skip


def cut(
    photo: NDArray[np.uint8],
    window: tuple[int, int, int, int],
    out_hw: tuple[int, int],
    flip: bool,
    jitter: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """The window at the training size, with its colours changed a little."""
    import cv2

    y, x, ch, cw = window
    way = cv2.INTER_AREA if ch > out_hw[0] else cv2.INTER_LINEAR
    crop = cv2.resize(photo[y : y + ch, x : x + cw], out_hw[::-1], interpolation=way)
    if flip:
        crop = crop[:, ::-1]
    light, contrast, colour = rng.uniform(-jitter, jitter, 3)
    values = crop.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * (1 + 1.5 * colour)
    mean = values.mean()
    values = (values - mean) * (1 + contrast) + mean * (1 + light)
    return np.asarray(values.clip(0, 255), np.uint8)


def _draw_points(
    mask: NDArray[np.uint8], how: Sampling, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns: most drawn evenly over the crop, some evenly over its classes."""
    flat = rng.integers(0, mask.size, how.points)
    even = int(how.points * how.even_share)
    inside = [c for c in np.unique(mask[::2, ::2]) if c != 255]
    if inside:
        share = even // len(inside)
        for k, c in enumerate(inside):
            where = np.flatnonzero(mask == c)
            flat[k * share : (k + 1) * share] = rng.choice(where, share)
    return np.divmod(flat, mask.shape[1])


def _subset(
    count: int,
    labels: NDArray[np.int64],
    how: Sampling,
    background: int | None,
    rng: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Now and then only some of the words are asked for; the rest is background then."""
    if rng.random() >= how.subset_share:
        return None
    asked: NDArray[np.bool_] = rng.random(count) < rng.uniform(0.1, 0.9)
    if background is not None:
        asked[background] = True
    if not asked.any():
        asked[rng.integers(count)] = True
    return asked


def batches(
    sets: Sequence[PictureSet],
    shares: Sequence[float],
    how: Sampling,
    seed: int,
    steps: range,
    ahead: int = 3,
) -> Iterator[Batch]:
    """The batches of these steps in order, made a few ahead of time in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make_batch, sets, shares, how, seed, s) for s in steps[:ahead]]
        for k in range(len(steps)):
            yield waiting.pop(0).result()
            if k + ahead < len(steps):
                waiting.append(pool.submit(make_batch, sets, shares, how, seed, steps[k + ahead]))
