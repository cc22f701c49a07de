"""Things to point at: crops of photos with the mask of one object, part or region, and prompts.

Every batch is a function of (seed, step) alone, as in ``pictures``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexiseg.datasets import PlainDataset
from lexiseg.datasets.card import read_json
from lexiseg.datasets.coco import fill_polygons
from lexiseg.errors import InputError
from lexiseg.training.tiny.pictures import crop_window, cut, is_dev

__all__ = [
    "ObjectBatch",
    "ObjectSampling",
    "ObjectSet",
    "correction",
    "load_instances",
    "load_objects",
    "load_regions",
    "object_batch",
]

_NOTHING = 0


@dataclass(frozen=True)
class ObjectSet:
    """Photos (H, W, 3) uint8, and maps (H, W) uint8: 0 is nothing, other numbers are things.

    parts: numbers are classes, of which each connected part is a thing.
    """

    name: str
    photos: list[NDArray[np.uint8]]
    maps: list[NDArray[np.uint8]]
    parts: bool

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True)
class ObjectSampling:
    """How crops are cut and prompts are drawn."""

    batch: int = 8  # photos a step
    things: int = 6  # of each photo
    sizes_hw: tuple[tuple[int, int], ...] = ((224, 288), (288, 224), (256, 256))
    short_sides: tuple[float, float] = (230.0, 480.0)
    smallest: float = 0.004  # of the crop
    largest: float = 0.7
    clicks: float = 0.6  # part of the prompts that are one click; the others have a box
    both: float = 0.4  # of those with a box: that have a click too
    extra: float = 0.15  # of the clicks: with a second one beside the thing
    wobble: float = 0.12  # of a box's sides
    jitter: float = 0.25


@dataclass(frozen=True)
class ObjectBatch:
    """One step: B photos of h x w, N things.

    pixels: (B, h, w, 3). masks: (N, h, w) bool. photo: (N,). points_xy: (N, 2, 2) in [0, 1].
    labels: (N, 2). boxes_xyxy: (N, 4) in [0, 1]. has_box: (N,) bool.
    """

    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    photo: NDArray[np.int64]
    points_xy: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    has_box: NDArray[np.bool_]


def load_objects(dataset: PlainDataset, workers: int = 2) -> ObjectSet:
    """The training part of a data set with names: its instances, or the parts of its classes."""
    samples = [s for s in dataset if not is_dev(dataset.name, s.id)]
    instances = _instances(samples[0].path.parent.parent) if samples else {}

    def one(sample):  # type: ignore[no-untyped-def]
        photo = _read(sample.path)
        if sample.id in instances:
            return photo, _painted(instances[sample.id], photo.shape[:2])
        labels = sample.labels(photo.shape[:2]).astype(np.int64)
        nothing = (labels == dataset.ignore_index) | (labels > 253)
        if dataset.background_index is not None:
            nothing |= labels == dataset.background_index
        return photo, np.where(nothing, _NOTHING, labels + 1).astype(np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(one, samples))
    return ObjectSet(dataset.name, [p for p, _ in pairs], [m for _, m in pairs], not instances)


def load_regions(root: Path, split: str = "train") -> ObjectSet:
    """Photos with nameless regions, ``masks/<id>.<annotator>.png``, numbered from 1 (BSDS)."""
    photos, maps = [], []
    for path in sorted((root / split / "images").iterdir()):
        found = sorted((root / split / "masks").glob(f"{path.stem}.*.png"))
        if not found or is_dev(root.name, path.stem):
            continue
        photo = _read(path)
        for mask in found:
            photos.append(photo)
            maps.append(_read(mask)[..., 0])
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


def object_batch(
    sets: Sequence[ObjectSet], shares: Sequence[float], how: ObjectSampling, seed: int, step: int
) -> ObjectBatch:
    """Draw the batch of a step."""
    import cv2

    rng = np.random.default_rng([seed, step, 1])
    h, w = how.sizes_hw[rng.integers(len(how.sizes_hw))]
    weights = np.asarray(shares) / np.sum(shares)
    pixels = np.empty((how.batch, h, w, 3), np.uint8)
    rows: list[tuple[int, NDArray[np.bool_]]] = []
    b = 0
    while b < how.batch:
        chosen = sets[int(rng.choice(len(sets), p=weights))]
        i = int(rng.integers(len(chosen)))
        photo, numbers = chosen.photos[i], chosen.maps[i]
        y, x, ch, cw = crop_window(photo.shape[:2], (h, w), how.short_sides, rng)
        flip = bool(rng.random() < 0.5)
        small = cv2.resize(
            numbers[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_NEAREST_EXACT
        )
        upright = np.asarray(small[:, ::-1] if flip else small, np.uint8)
        things = _things(upright, chosen.parts, how, rng)
        if not things:
            continue
        pixels[b] = cut(photo, (y, x, ch, cw), (h, w), flip, how.jitter, rng)
        rows += [(b, thing) for thing in things]
        b += 1
    masks = np.stack([mask for _, mask in rows])
    drawn = [_prompt(mask, how, rng) for mask in masks]
    return ObjectBatch(
        pixels,
        masks,
        np.array([b for b, _ in rows]),
        np.stack([d[0] for d in drawn]),
        np.stack([d[1] for d in drawn]),
        np.stack([d[2] for d in drawn]),
        np.array([d[3] for d in drawn]),
    )


def correction(
    wrong: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], int] | None:
    """The deepest place of the largest error (h, w), as x and y in [0, 1], and its label."""
    import cv2

    if not wrong.any():
        return None
    depth = cv2.distanceTransform(np.pad(wrong.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    place = np.array([(x + 0.5) / wrong.shape[1], (y + 0.5) / wrong.shape[0]], np.float32)
    return place, int(mask[y, x])


def _read(path: Path) -> NDArray[np.uint8]:
    from lexiseg import imaging

    return imaging.read(path).rgb


def _instances(split: Path) -> dict[str, list[list[list[float]]]]:
    """Photo id -> polygons of its instances, largest first; nothing where there is no COCO file."""
    path = split / "instances.json"
    if not path.is_file():
        return {}
    content = read_json(path)
    names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    found: dict[str, list[list[list[float]]]] = {name: [] for name in names.values()}
    for note in sorted(content["annotations"], key=lambda note: -note["area"]):
        if not note["iscrowd"] and isinstance(note["segmentation"], list):
            found[names[note["image_id"]]].append(note["segmentation"])
    return found


def _painted(polygons: Sequence[list[list[float]]], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    numbers = np.zeros(size_hw, np.uint8)
    for k, shape in enumerate(polygons[:254], start=1):
        numbers[fill_polygons(shape, size_hw)] = k
    return numbers


def _things(
    numbers: NDArray[np.uint8], parts: bool, how: ObjectSampling, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Masks of up to ``how.things`` things of a crop, drawn without repeats."""
    import cv2

    low, high = how.smallest * numbers.size, how.largest * numbers.size
    found: list[NDArray[np.bool_]] = []
    present = [n for n in np.unique(numbers) if n != _NOTHING]
    for n in rng.permutation(present):
        mask = numbers == n
        if parts:
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            areas = stats[1:count, cv2.CC_STAT_AREA]
            fits = np.flatnonzero((areas >= low) & (areas <= high)) + 1
            found += [labels == k for k in rng.permutation(fits)[:2]]
        elif low <= mask.sum() <= high:
            found.append(mask)
        if len(found) >= how.things:
            break
    return found[: how.things]


def _prompt(
    mask: NDArray[np.bool_], how: ObjectSampling, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], bool]:
    """Two points (the second often none), their labels, and a box or not."""
    import cv2

    h, w = mask.shape
    ys, xs = np.nonzero(mask)
    has_box = bool(rng.random() >= how.clicks)
    points, labels = np.zeros((2, 2), np.float32), np.full(2, -1, np.int64)
    if not has_box or rng.random() < how.both:
        depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        inner = depth[ys, xs]
        if rng.random() < 0.5:  # deep inside, as people click
            inside = np.flatnonzero(inner >= 0.6 * inner.max())
        else:
            inside = np.arange(len(ys))
        k = int(inside[rng.integers(len(inside))])
        points[0], labels[0] = ((xs[k] + rng.random()) / w, (ys[k] + rng.random()) / h), 1
        if rng.random() < how.extra and not mask.all():
            near = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool)
            off_y, off_x = np.nonzero(near & ~mask)
            if len(off_y):
                k = int(rng.integers(len(off_y)))
                points[1], labels[1] = ((off_x[k] + 0.5) / w, (off_y[k] + 0.5) / h), 0
    box = np.zeros(4, np.float32)
    if has_box:
        x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
        shake = rng.normal(0, how.wobble / 2, 4).clip(-how.wobble, how.wobble)
        shake *= np.array([x1 - x0, y1 - y0] * 2)
        box = (np.array([x0, y0, x1, y1]) + shake) / np.array([w, h] * 2)
        box = box.clip(0, 1).astype(np.float32)
    return points, labels, box, has_box
