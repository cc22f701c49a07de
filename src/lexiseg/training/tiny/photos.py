"""Photos to train on: which are held out, how they are read, and windows of them."""

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
from lexiseg.datasets.annotations import MaskFile
from lexiseg.errors import InputError

__all__ = [
    "ABSENT",
    "SEEDS",
    "ImageSet",
    "cut_crop",
    "is_held_out",
    "load_set",
    "load_unlabelled",
    "mirrored_classes",
    "open_seeds",
    "sample_window",
]

UNLABELLED = 255  # in masks in memory
SEEDS = "seeds"  # the name of the set of photos with seed masks
ABSENT = "absent"  # the name of the set of photos that lack some words, ImageNet's as well
_HELD_OUT = 16  # one photo of so many is kept out of training, to choose settings on
_MIN_PIXELS = 40  # of a class that counts as present

# COCO's 80 classes in order: what seed masks hold.
_COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


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


def is_held_out(name: str, photo: str) -> bool:
    """Return whether a data set's training photo is kept out of training, by its name alone.

    A photo with a seed mask is kept out where the same photo is as one that lacks words.
    """
    name = ABSENT if name == SEEDS else name
    return crc32(f"{name}/{photo}".encode()) % _HELD_OUT == 0


def open_seeds(folders: Iterable[Path]) -> SemanticDataset | None:
    """Return the photos of folders that have seed masks, as one set; None where none has.

    A folder holds ``seeds/<id>.png``, and the photos anywhere below it. A seed mask says only what
    is sure: COCO's 80 classes in order, 80 where nothing of them is, 255 for what is unsaid.
    """
    classes = (*_COCO, "background")
    samples = []
    for folder in folders:
        seeds = {path.stem: path for path in sorted((folder / "seeds").glob("*.png"))}
        photos = {path.stem: path for path in _photos(folder)}
        samples += [
            Sample(stem, photos[stem], MaskFile(path, classes, UNLABELLED))
            for stem, path in seeds.items()
            if stem in photos
        ]
    if not samples:
        return None
    background = len(_COCO)
    return SemanticDataset(
        SEEDS, "seeds of boxes", "train", classes, background, UNLABELLED, tuple(samples)
    )


def load_set(
    dataset: SemanticDataset, rarity: float, max_short_side: int = 448, workers: int = 2
) -> ImageSet:
    """Read the photos of a data set's training part, but for those that are held out.

    max_short_side: larger photos are made smaller, since crops are never cut so large.
    """
    samples = [s for s in dataset if not is_held_out(dataset.name, s.id)]
    if not samples:
        raise InputError(f"{dataset.name} has no photo that is not held out; give it more")

    def read(sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        photo = imaging.read(sample.path).rgb
        labels = sample.labels((photo.shape[0], photo.shape[1]))
        labels[labels == dataset.ignore_index] = UNLABELLED
        return _shrink(photo, max_short_side), _shrink(labels.astype(np.uint8), max_short_side)

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


def load_unlabelled(
    name: str, folder: Path, max_short_side: int = 448, workers: int = 2
) -> ImageSet:
    """Read photos without masks, but for those that are held out: they only have teachers."""
    paths = [path for path in _photos(folder) if not is_held_out(ABSENT, path.stem)]
    if not paths:
        raise InputError(f"{folder} holds no photos; put some there, or leave it out")
    with ThreadPoolExecutor(workers) as pool:
        photos = list(pool.map(lambda p: _shrink(imaging.read(p).rgb, max_short_side), paths))
    return ImageSet(name, (), None, photos, None, np.full(len(paths), 1 / len(paths)), {})


def _photos(folder: Path) -> list[Path]:
    """The photos below a folder, but for its seed masks, by name."""
    kinds = (".webp", ".jpg", ".jpeg", ".png")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in kinds)
    return sorted(path for path in found if "seeds" not in path.relative_to(folder).parts)


def _shrink(image: NDArray[np.uint8], max_short_side: int) -> NDArray[np.uint8]:
    """The photo (H, W, 3) or class mask (H, W), its short side at most so long."""
    height, width = image.shape[:2]
    factor = max_short_side / min(height, width)
    if factor >= 1:
        return image
    size = (round(width * factor), round(height * factor))
    way = cv2.INTER_AREA if image.ndim == 3 else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


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


def _rarity_weights(masks: Sequence[NDArray[np.uint8]], rarity: float) -> NDArray[np.float64]:
    """How often each photo is drawn: by its rarest class."""
    counts = np.stack([np.bincount(m.ravel(), minlength=256)[:UNLABELLED] for m in masks])
    present = counts > _MIN_PIXELS
    frequency = present.mean(0)
    worth = np.where(frequency > 0, frequency, 1.0) ** -rarity
    weights = np.where(present, worth, 0.0).max(1) + 1e-9
    return np.asarray(weights / weights.sum())
