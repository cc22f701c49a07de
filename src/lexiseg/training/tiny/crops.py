"""Crops of labelled photos for the picture side: every batch is a function of its step alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Sample, SemanticDataset

__all__ = [
    "CropBatch",
    "CropSampling",
    "ImageSet",
    "cut_crop",
    "is_held_out",
    "load_set",
    "load_unlabelled",
    "make_crops",
    "mirrored_classes",
    "random_subset",
    "sample_window",
]

UNLABELLED = 255  # in masks in memory
_HELD_OUT = 16  # one photo of so many is kept out of training, to choose settings on
_MIN_PIXELS = 40  # of a class that counts as present


@dataclass(frozen=True)
class CropSampling:
    """How crops are cut and points are drawn.

    short_sides: of the whole photo, in pixels, after the crop's scale. balanced_share: of the
    points, drawn evenly over the classes in the crop. rarity: photos are drawn by their rarest
    class, its frequency to minus this power. subset_share: of the photos, of which only a part of
    the words is queried. jitter: of brightness, contrast and saturation.
    """

    batch: int = 12
    sizes_hw: tuple[tuple[int, int], ...] = ((224, 224), (192, 256), (256, 192))
    short_sides: tuple[float, float] = (200.0, 430.0)
    points: int = 1024
    balanced_share: float = 0.35
    rarity: float = 0.6
    subset_share: float = 0.35
    jitter: float = 0.25

    @property
    def num_balanced(self) -> int:
        """The first so many points of a photo are those drawn evenly over its classes."""
        return int(self.points * self.balanced_share)


@dataclass(frozen=True)
class ImageSet:
    """One data set in memory: photos (H, W, 3) uint8 and class masks (H, W) uint8.

    masks: None where it has none; 255 is unlabelled. weights: how often each photo is drawn, (N,),
    sums to 1. mirrored: class indices that trade places when a photo is flipped.
    """

    name: str
    classes: tuple[str, ...]
    background_index: int | None
    photos: list[NDArray[np.uint8]]
    masks: list[NDArray[np.uint8]] | None
    weights: NDArray[np.float64]
    mirrored: dict[int, int]


@dataclass(frozen=True)
class CropBatch:
    """One step's crops, and for each the points with their class (-1: unlabelled).

    pixels: (B, h, w, 3). sets: the number of each crop's data set. points_xy: (B, P, 2), in
    [-1, 1]. labels: (B, P). queried: for each crop the classes (C,) bool whose words compete,
    None for all. seed: for whatever else is drawn.
    """

    pixels: NDArray[np.uint8]
    sets: list[int]
    points_xy: NDArray[np.float32]
    labels: NDArray[np.int64]
    queried: list[NDArray[np.bool_] | None]
    seed: int


def is_held_out(name: str, photo: str) -> bool:
    """Return whether a data set's training photo is kept out of training, by its name alone."""
    return crc32(f"{name}/{photo}".encode()) % _HELD_OUT == 0


def load_set(dataset: SemanticDataset, rarity: float, workers: int = 2) -> ImageSet:
    """Read the photos of a data set's training part, but for those that are held out."""
    samples = [s for s in dataset if not is_held_out(dataset.name, s.id)]

    def read(sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        photo = imaging.read(sample.path).rgb
        labels = sample.labels((photo.shape[0], photo.shape[1]))
        labels[labels == dataset.ignore_index] = UNLABELLED
        return photo, labels.astype(np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(read, samples))
    masks = [mask for _, mask in pairs]
    return ImageSet(
        dataset.name,
        dataset.classes,
        dataset.background_index,
        [photo for photo, _ in pairs],
        masks,
        _rarity_weights(masks, rarity),
        mirrored_classes(dataset.classes),
    )


def load_unlabelled(name: str, folder: Path, workers: int = 2) -> ImageSet:
    """Read photos without masks: they teach through the ImageNet classifier only."""
    paths = sorted(folder.rglob("*.webp"))
    with ThreadPoolExecutor(workers) as pool:
        photos = list(pool.map(lambda path: imaging.read(path).rgb, paths))
    return ImageSet(name, (), None, photos, None, np.full(len(paths), 1 / len(paths)), {})


def make_crops(
    sets: Sequence[ImageSet], weights: Sequence[float], how: CropSampling, seed: int, step: int
) -> CropBatch:
    """Draw the batch of a step; sets are drawn in proportion to ``weights``."""
    rng = np.random.default_rng([seed, step])
    h, w = how.sizes_hw[rng.integers(len(how.sizes_hw))]
    drawn = rng.choice(len(sets), how.batch, p=np.asarray(weights) / np.sum(weights))
    pixels = np.empty((how.batch, h, w, 3), np.uint8)
    points = np.zeros((how.batch, how.points, 2), np.float32)
    labels = np.full((how.batch, how.points), -1, np.int64)
    queried: list[NDArray[np.bool_] | None] = []
    for b, s in enumerate(drawn):
        chosen = sets[s]
        i = int(rng.choice(len(chosen.photos), p=chosen.weights))
        photo = chosen.photos[i]
        window = y, x, ch, cw = sample_window(photo.shape[:2], (h, w), how.short_sides, rng)
        flip = bool(rng.random() < 0.5)
        pixels[b] = cut_crop(photo, window, (h, w), flip, how.jitter, rng)
        if chosen.masks is None:
            queried.append(None)
            continue
        mask = chosen.masks[i][y : y + ch, x : x + cw]
        ys, xs = _sample_points(mask, how, rng)
        across = (xs + 0.5) / cw * 2 - 1
        points[b] = np.stack([-across if flip else across, (ys + 0.5) / ch * 2 - 1], -1)
        labels[b] = _labels_at(mask[ys, xs], chosen.mirrored if flip else {})
        subset = rng.random() < how.subset_share
        count, background = len(chosen.classes), chosen.background_index
        queried.append(random_subset(count, background, rng) if subset else None)
    further = int(rng.integers(2**31))
    return CropBatch(pixels, list(map(int, drawn)), points, labels, queried, further)


def sample_window(
    size_hw: tuple[int, ...],
    out_hw: tuple[int, int],
    short_sides: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Return a window (y, x, height, width) of a photo, no larger than the photo.

    At the window's scale the photo's short side is in ``short_sides``, even in its logarithm.
    """
    height, width = size_hw[:2]
    scale = min(height, width) / np.exp(rng.uniform(*np.log(short_sides)))
    ch, cw = min(height, round(out_hw[0] * scale)), min(width, round(out_hw[1] * scale))
    return int(rng.integers(height - ch + 1)), int(rng.integers(width - cw + 1)), ch, cw


def cut_crop(
    photo: NDArray[np.uint8],
    window: tuple[int, int, int, int],
    out_hw: tuple[int, int],
    flip: bool,
    jitter: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return a window at the size of training, (h, w, 3), with its colours changed a little."""
    y, x, ch, cw = window
    way = cv2.INTER_AREA if ch > out_hw[0] else cv2.INTER_LINEAR
    crop = cv2.resize(photo[y : y + ch, x : x + cw], out_hw[::-1], interpolation=way)
    if flip:
        crop = crop[:, ::-1]
    brightness, contrast, saturation = rng.uniform(-jitter, jitter, 3)
    values = crop.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * (1 + 1.5 * saturation)
    mean = values.mean()
    values = (values - mean) * (1 + contrast) + mean * (1 + brightness)
    return np.asarray(values.clip(0, 255), np.uint8)


def mirrored_classes(names: Iterable[str]) -> dict[int, int]:
    """Return indices of names that trade places in a mirror: "left eye" <-> "right eye"."""
    index = {name: i for i, name in enumerate(names)}
    other_side = {"left": "right", "right": "left"}
    out = {}
    for name, i in index.items():
        other = re.sub(r"\b(left|right)\b", lambda m: other_side[m[1]], name, count=1)
        if other != name and other in index:
            out[i] = index[other]
    return out


def random_subset(
    num_classes: int, background: int | None, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which classes are queried, (C,) bool: some, and the background where there is one."""
    queried: NDArray[np.bool_] = rng.random(num_classes) < rng.uniform(0.1, 0.9)
    if background is not None:
        queried[background] = True
    if not queried.any():
        queried[rng.integers(num_classes)] = True
    return queried


def _rarity_weights(masks: Sequence[NDArray[np.uint8]], rarity: float) -> NDArray[np.float64]:
    """How often each photo is drawn: by its rarest class."""
    counts = np.stack([np.bincount(m.ravel(), minlength=256)[:UNLABELLED] for m in masks])
    present = counts > _MIN_PIXELS
    frequency = present.mean(0)
    worth = np.where(frequency > 0, frequency, 1.0) ** -rarity
    weights = np.where(present, worth, 0.0).max(1) + 1e-9
    return np.asarray(weights / weights.sum())


def _sample_points(
    mask: NDArray[np.uint8], how: CropSampling, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns: some drawn evenly over the crop's classes, the others over the crop."""
    flat = rng.integers(0, mask.size, how.points)
    inside = [c for c in np.unique(mask[::2, ::2]) if c != UNLABELLED]
    each = how.num_balanced // max(1, len(inside))
    for k, c in enumerate(inside):
        flat[k * each : (k + 1) * each] = rng.choice(np.flatnonzero(mask == c), each)
    return np.divmod(flat, mask.shape[1])


def _labels_at(values: NDArray[np.uint8], mirrored: dict[int, int]) -> NDArray[np.int64]:
    labels = values.astype(np.int64)
    labels[values == UNLABELLED] = -1
    for one, other in mirrored.items():
        labels[values == one] = other
    return labels
