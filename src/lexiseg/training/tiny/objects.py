"""Objects to point at: crops of photos with masks of objects, parts or regions, and prompts.

Every batch is a function of its step alone, as in ``crops``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Sample, SemanticDataset
from lexiseg.datasets.annotations import fill_polygons
from lexiseg.datasets.card import read_json
from lexiseg.errors import InputError
from lexiseg.training.tiny.photos import cut_crop, is_held_out, sample_window

__all__ = [
    "ObjectBatch",
    "ObjectSampling",
    "ObjectSet",
    "load_instances",
    "load_objects",
    "load_regions",
    "make_objects",
    "next_click",
]

_UNLABELLED = 0
_MAX_OBJECTS = 254  # of one photo


@dataclass(frozen=True)
class ObjectSet:
    """Photos (H, W, 3) uint8, and maps (H, W) uint8: 0 is unlabelled, others are objects.

    by_class: numbers are classes, of which each connected component is an object.
    """

    name: str
    photos: list[NDArray[np.uint8]]
    maps: list[NDArray[np.uint8]]
    by_class: bool

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True)
class ObjectSampling:
    """How crops are cut and prompts are drawn.

    batch: photos a step, and objects of each. short_sides: as in ``CropSampling``. min_area,
    max_area: of an object, as parts of the crop. click_share: of the prompts are one click, the
    others have a box, and box_click_share of these a click too. negative_share: of the clicks have
    a second one, beside the object. box_jitter: of a box's sides. jitter: of the colours.
    """

    batch: int = 8
    objects: int = 6
    sizes_hw: tuple[tuple[int, int], ...] = ((224, 288), (288, 224), (256, 256))
    short_sides: tuple[float, float] = (230.0, 480.0)
    min_area: float = 0.004
    max_area: float = 0.7
    click_share: float = 0.6
    box_click_share: float = 0.4
    negative_share: float = 0.15
    box_jitter: float = 0.12
    jitter: float = 0.25


@dataclass(frozen=True)
class ObjectBatch:
    """One step: B crops of h x w, N objects.

    pixels: (B, h, w, 3). masks: (N, h, w) bool. photo: (N,), each object's crop. points_xy:
    (N, 2, 2) in [0, 1]. labels: (N, 2), 1 inside, 0 beside, -1 no point. boxes_xyxy: (N, 4) in
    [0, 1]. has_box: (N,) bool.
    """

    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    photo: NDArray[np.int64]
    points_xy: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    has_box: NDArray[np.bool_]


def load_objects(dataset: SemanticDataset, workers: int = 2) -> ObjectSet:
    """The training part of a data set with names: its instances, or the parts of its classes."""
    samples = [s for s in dataset if not is_held_out(dataset.name, s.id)]
    instances = _instances(samples[0].path.parent.parent) if samples else {}

    def read(sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        photo = imaging.read(sample.path).rgb
        size_hw = (photo.shape[0], photo.shape[1])
        if sample.id in instances:
            return photo, _number(instances[sample.id], size_hw)
        labels = sample.labels(size_hw).astype(np.int64)
        unlabelled = (labels == dataset.ignore_index) | (labels >= _MAX_OBJECTS)
        if dataset.background_index is not None:
            unlabelled |= labels == dataset.background_index
        return photo, np.where(unlabelled, _UNLABELLED, labels + 1).astype(np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(read, samples))
    return ObjectSet(dataset.name, [p for p, _ in pairs], [m for _, m in pairs], not instances)


def load_regions(root: Path, split: str = "train") -> ObjectSet:
    """Photos with nameless regions, ``masks/<id>.<annotator>.png``, numbered from 1 (BSDS)."""
    photos, maps = [], []
    for path in sorted((root / split / "images").iterdir()):
        masks = sorted((root / split / "masks").glob(f"{path.stem}.*.png"))
        if not masks or is_held_out(root.name, path.stem):
            continue
        photo = imaging.read(path).rgb
        for mask in masks:
            photos.append(photo)
            maps.append(imaging.read(mask).rgb[..., 0])
    if not photos:
        raise InputError(f"{root / split} has no photos with masks/<id>.<annotator>.png")
    return ObjectSet(root.name, photos, maps, False)


def load_instances(
    split: Path,
) -> list[tuple[Path, Callable[[tuple[int, int]], list[NDArray[np.bool_]]]]]:
    """Every photo of a split with a COCO file, and what paints its instances, (H, W) bool each."""

    def painter(
        shapes: list[list[list[float]]],
    ) -> Callable[[tuple[int, int]], list[NDArray[np.bool_]]]:
        return lambda size_hw: [fill_polygons(shape, size_hw) for shape in shapes]

    places = {path.stem: path for path in sorted((split / "images").iterdir())}
    return [
        (places[name], painter(shapes))
        for name, shapes in sorted(_instances(split).items())
        if name in places
    ]


def make_objects(
    sets: Sequence[ObjectSet], weights: Sequence[float], how: ObjectSampling, seed: int, step: int
) -> ObjectBatch:
    """Draw the batch of a step; sets are drawn in proportion to ``weights``."""
    rng = np.random.default_rng([seed, step, 1])
    h, w = how.sizes_hw[rng.integers(len(how.sizes_hw))]
    shares = np.asarray(weights) / np.sum(weights)
    pixels = np.empty((how.batch, h, w, 3), np.uint8)
    rows: list[tuple[int, NDArray[np.bool_]]] = []
    b = 0
    while b < how.batch:
        chosen = sets[int(rng.choice(len(sets), p=shares))]
        i = int(rng.integers(len(chosen)))
        photo, numbers = chosen.photos[i], chosen.maps[i]
        window = y, x, ch, cw = sample_window(photo.shape, (h, w), how.short_sides, rng)
        flip = bool(rng.random() < 0.5)
        small = cv2.resize(
            numbers[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_NEAREST_EXACT
        )
        upright = np.asarray(small[:, ::-1] if flip else small, np.uint8)
        masks = _object_masks(upright, chosen.by_class, how, rng)
        if not masks:
            continue
        pixels[b] = cut_crop(photo, window, (h, w), flip, how.jitter, rng)
        rows += [(b, mask) for mask in masks]
        b += 1
    prompts = [_prompt(mask, how, rng) for _, mask in rows]
    return ObjectBatch(
        pixels,
        np.stack([mask for _, mask in rows]),
        np.array([b for b, _ in rows]),
        np.stack([points for points, _, _, _ in prompts]),
        np.stack([labels for _, labels, _, _ in prompts]),
        np.stack([box for _, _, box, _ in prompts]),
        np.array([has_box for _, _, _, has_box in prompts]),
    )


def next_click(
    wrong: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], int] | None:
    """Return the deepest place of the largest error (h, w), x and y in [0, 1], and its label."""
    if not wrong.any():
        return None
    depth = _depth(wrong)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    place = np.array([(x + 0.5) / wrong.shape[1], (y + 0.5) / wrong.shape[0]], np.float32)
    return place, int(mask[y, x])


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How far each pixel of a mask is from its border; the picture's border counts."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)


def _instances(split: Path) -> dict[str, list[list[list[float]]]]:
    """Photo id -> polygons of its instances, largest first; empty where there is no COCO file."""
    path = split / "instances.json"
    if not path.is_file():
        return {}
    content = read_json(path)
    names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    out: dict[str, list[list[list[float]]]] = {name: [] for name in names.values()}
    for note in sorted(content["annotations"], key=lambda note: -note["area"]):
        if not note["iscrowd"] and isinstance(note["segmentation"], list):
            out[names[note["image_id"]]].append(note["segmentation"])
    return out


def _number(polygons: Sequence[list[list[float]]], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    numbers = np.zeros(size_hw, np.uint8)
    for k, shape in enumerate(polygons[:_MAX_OBJECTS], start=1):
        numbers[fill_polygons(shape, size_hw)] = k
    return numbers


def _object_masks(
    numbers: NDArray[np.uint8], by_class: bool, how: ObjectSampling, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Masks of up to ``how.objects`` objects of a crop, drawn without repeats."""
    low, high = how.min_area * numbers.size, how.max_area * numbers.size
    masks: list[NDArray[np.bool_]] = []
    for n in rng.permutation([n for n in np.unique(numbers) if n != _UNLABELLED]):
        mask = numbers == n
        if by_class:
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            areas = stats[1:count, cv2.CC_STAT_AREA]
            fits = np.flatnonzero((areas >= low) & (areas <= high)) + 1
            masks += [labels == k for k in rng.permutation(fits)[:2]]
        elif low <= mask.sum() <= high:
            masks.append(mask)
        if len(masks) >= how.objects:
            break
    return masks[: how.objects]


def _prompt(
    mask: NDArray[np.bool_], how: ObjectSampling, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], bool]:
    """Two points (the second often none), their labels, and a box or not."""
    h, w = mask.shape
    ys, xs = np.nonzero(mask)
    has_box = bool(rng.random() >= how.click_share)
    points, labels = np.zeros((2, 2), np.float32), np.full(2, -1, np.int64)
    if not has_box or rng.random() < how.box_click_share:
        inner = _depth(mask)[ys, xs]
        inside = np.arange(len(ys))
        if rng.random() < 0.5:  # deep inside, as people click
            inside = np.flatnonzero(inner >= 0.6 * inner.max())
        k = int(inside[rng.integers(len(inside))])
        points[0], labels[0] = ((xs[k] + rng.random()) / w, (ys[k] + rng.random()) / h), 1
        if rng.random() < how.negative_share and not mask.all():
            near = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool)
            off_y, off_x = np.nonzero(near & ~mask)
            if len(off_y):
                k = int(rng.integers(len(off_y)))
                points[1], labels[1] = ((off_x[k] + 0.5) / w, (off_y[k] + 0.5) / h), 0
    box = np.zeros(4, np.float32)
    if has_box:
        x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
        shift = rng.normal(0, how.box_jitter / 2, 4).clip(-how.box_jitter, how.box_jitter)
        shift *= np.array([x1 - x0, y1 - y0] * 2)
        box = (np.array([x0, y0, x1, y1]) + shift) / np.array([w, h] * 2)
        box = box.clip(0, 1).astype(np.float32)
    return points, labels, box, has_box
