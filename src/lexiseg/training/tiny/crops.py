"""Crops of photos that lie on the device: every batch is a function of its step alone.

The photos lie one behind the other in one tensor, so that sizes may differ and nothing is padded.
What is random is drawn by NumPy on the host, in the same way for every device; cutting, pasting
and drawing of points happen on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.training.run_folder import digest
from lexiseg.training.tiny.photos import UNLABELLED, ImageSet

__all__ = ["CropBatch", "CropSampling", "PhotoStore", "cut_windows", "make_crops", "sample_points"]


@dataclass(frozen=True)
class CropSampling:
    """How crops are cut and points are drawn.

    short_sides: of the whole photo, in pixels, after the crop's scale. stretch: of a crop's sides,
    a logarithm. points: of each crop, on what is labelled; balanced_share of them are drawn evenly
    over its classes. rarity: photos are drawn by their rarest class, its frequency to minus this
    power. max_short_side: photos are read at most so large.

    paste_share: of the crops of ``paste_sets`` get a region of one class from another photo of
    the set, at ``paste_short_sides``, its area between ``paste_areas`` of the crop.

    jitter: of brightness, contrast and saturation; cast: of each channel. grey_share, blur_share:
    of the crops without colour, and blurred.
    """

    batch: int = 96
    sizes_hw: tuple[tuple[int, int], ...] = ((320, 320), (288, 352), (352, 288))
    short_sides: tuple[float, float] = (190.0, 470.0)
    stretch: float = 0.15
    points: int = 1024
    balanced_share: float = 0.4
    rarity: float = 0.6
    max_short_side: int = 448
    paste_share: float = 0.3
    paste_sets: tuple[str, ...] = ("voc", "coco", "coco-panoptic", "msrc")
    paste_short_sides: tuple[float, float] = (150.0, 420.0)
    paste_areas: tuple[float, float] = (0.0015, 0.6)
    jitter: float = 0.3
    cast: float = 0.08
    grey_share: float = 0.04
    blur_share: float = 0.12


@dataclass(frozen=True, eq=False)
class CropBatch:
    """One step's crops, on the device.

    pixels: (B, 3, h, w) in [0, 255]. labels: (B, h, w) class indices, 255 unlabelled. sets,
    photos: (B,), the numbers of each crop's data set, and photo in the store. windows: (B, 4),
    top, left, height and width in pixels of the photo. flips: (B,) bool. pasted: (B, h, w) bool,
    what comes from another photo.
    """

    pixels: Tensor
    labels: Tensor
    sets: Tensor
    photos: Tensor
    windows: Tensor
    flips: Tensor
    pasted: Tensor


class PhotoStore:
    """The photos of several data sets on a device, N in all, and how often each is drawn.

    pixels: (T, 3) uint8, T being the pixels of all photos. labels: (T,) uint8. starts: (N,), where
    each photo begins. sizes_hw: (N, 2).
    """

    def __init__(self, sets: Sequence[ImageSet], device: torch.device) -> None:
        self.device = device
        self.names = [one.name for one in sets]
        pixels, labels = [], []
        for one in sets:
            masks = one.masks or [np.full(p.shape[:2], UNLABELLED, np.uint8) for p in one.photos]
            flat = np.concatenate([photo.reshape(-1, 3) for photo in one.photos])
            pixels.append(torch.from_numpy(flat).to(device))
            labels.append(torch.from_numpy(np.concatenate([m.ravel() for m in masks])).to(device))
        self.pixels, self.labels = torch.cat(pixels), torch.cat(labels)
        sizes = [photo.shape[:2] for one in sets for photo in one.photos]
        self.host_sizes_hw = np.array(sizes, np.int64)
        ends = np.cumsum(self.host_sizes_hw.prod(1))
        self.starts = torch.from_numpy(np.concatenate([[0], ends[:-1]])).to(device)
        self.sizes_hw = torch.from_numpy(self.host_sizes_hw).to(device)
        counts = [len(one.photos) for one in sets]
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._weights = [one.weights for one in sets]
        # What a class becomes in a mirror, and which class is no thing to paste, by set.
        mirror = np.tile(np.arange(256), (len(sets), 1))
        for s, one in enumerate(sets):
            for index, other in one.mirrored.items():
                mirror[s, index] = other
        background = [-1 if one.background_index is None else one.background_index for one in sets]
        self.mirror = torch.from_numpy(mirror).to(device)
        self.background = torch.tensor(background).to(device)

    def __len__(self) -> int:
        return len(self.host_sizes_hw)

    def digest(self) -> str:
        """Return 16 hex digits that stand for the photos and their labels."""
        values = (self.sizes_hw, self.pixels, self.labels)
        return digest(*self.names, *(x.cpu().numpy().data.cast("B") for x in values))

    def draw(self, sets: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the number of a photo of each of these data sets, drawn by its weight."""
        return np.array(
            [self._first[s] + rng.choice(len(self._weights[s]), p=self._weights[s]) for s in sets],
            np.int64,
        )


def make_crops(
    store: PhotoStore, weights: Sequence[float], how: CropSampling, rng: np.random.Generator
) -> CropBatch:
    """Draw a batch; sets are drawn in proportion to ``weights``."""
    h, w = how.sizes_hw[rng.integers(len(how.sizes_hw))]
    drawn = rng.choice(len(store.names), how.batch, p=np.asarray(weights) / np.sum(weights))
    photos, others = store.draw(drawn, rng), store.draw(drawn, rng)
    windows = _sample_windows(store, photos, (h, w), how.short_sides, how.stretch, rng)
    flips = rng.random(how.batch) < 0.5
    may = np.isin([store.names[s] for s in drawn], how.paste_sets)
    given = np.flatnonzero(may & (rng.random(how.batch) < how.paste_share))
    sets, where = _on(drawn, store), _on(photos, store)
    frames, mirrored = _on(windows, store), _on(flips, store)
    pixels, labels = cut_windows(store, where, frames, mirrored, (h, w))
    swapped = store.mirror[sets].gather(1, labels.flatten(1)).view_as(labels)
    labels = torch.where(mirrored[:, None, None], swapped, labels)
    pasted = torch.zeros_like(labels, dtype=torch.bool)
    if len(given):
        more = _sample_windows(
            store, others[given], (h, w), how.paste_short_sides, how.stretch, rng
        )
        upright = torch.zeros(len(given), dtype=torch.bool, device=store.device)
        extra = cut_windows(store, _on(others[given], store), _on(more, store), upright, (h, w))
        rows = _on(given, store)
        background = store.background[sets[rows]]
        regions = _regions(
            extra[1], background, how.paste_areas, _on(rng.random((len(given), 256)), store)
        )
        soft = F.avg_pool2d(regions[:, None].float(), 3, 1, 1)
        pixels[rows] = extra[0] * soft + pixels[rows] * (1 - soft)
        labels[rows] = torch.where(regions, extra[1], labels[rows])
        pasted[rows] = regions
    changed = _change_colours(pixels, how, rng)
    return CropBatch(changed, labels, sets, where, frames, mirrored, pasted)


def _on(values: NDArray[np.generic], store: PhotoStore) -> Tensor:
    """Small arrays of the host on the device, floats as float32."""
    out = torch.from_numpy(np.asarray(values))
    return (out.float() if out.is_floating_point() else out).to(store.device, non_blocking=True)


def _sample_windows(
    store: PhotoStore, photos: NDArray[np.int64], out_hw: tuple[int, int],
    short_sides: tuple[float, float], stretch: float, rng: np.random.Generator,
) -> NDArray[np.float64]:  # fmt: skip
    """Windows (B, 4) of photos: top, left, height, width, in pixels and parts of them."""
    sizes = store.host_sizes_hw[photos]
    count = len(photos)
    scale = sizes.min(1) / np.exp(
        rng.uniform(np.log(short_sides[0]), np.log(short_sides[1]), count)
    )
    taller = np.exp(rng.uniform(-stretch, stretch, count))
    height = np.minimum(sizes[:, 0], out_hw[0] * scale * taller)
    width = np.minimum(sizes[:, 1], out_hw[1] * scale / taller)
    top, left = (
        rng.random(count) * (sizes[:, 0] - height),
        rng.random(count) * (sizes[:, 1] - width),
    )
    return np.stack([top, left, height, width], 1)


def cut_windows(
    store: PhotoStore, photos: Tensor, windows: Tensor, flips: Tensor, out_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return windows of photos, bilinear, (B, 3, h, w) in [0, 255], and labels, nearest, (B, h, w).

    windows: (B, 4), top, left, height, width in pixels. Flipped ones are mirrored left to right.
    """
    (h, w), sizes = out_hw, store.sizes_hw[photos]
    down = (torch.arange(h, device=store.device) + 0.5) / h
    across = (torch.arange(w, device=store.device) + 0.5) / w
    across = torch.where(flips[:, None], 1 - across, across)
    ys = windows[:, 0:1] + windows[:, 2:3] * down
    xs = windows[:, 1:2] + windows[:, 3:4] * across
    rows, row_part = _corners(ys, sizes[:, 0:1])
    columns, column_part = _corners(xs, sizes[:, 1:2])
    starts, stride = store.starts[photos, None, None], sizes[:, 1, None, None]

    def lines(row: Tensor) -> Tensor:
        left, right = (
            store.pixels[starts + row[:, :, None] * stride + column[:, None, :]].float()
            for column in columns
        )
        return torch.lerp(left, right, column_part[:, None, :, None])

    pixels = torch.lerp(lines(rows[0]), lines(rows[1]), row_part[:, :, None, None])
    last = sizes - 1
    row, column = (torch.minimum(p.floor().long().clamp(min=0), last[:, k : k + 1])
                   for k, p in enumerate((ys, xs)))  # fmt: skip
    labels = store.labels[starts + row[:, :, None] * stride + column[:, None, :]].long()
    return pixels.permute(0, 3, 1, 2), labels


def _corners(places: Tensor, sides: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The two pixels beside each place (B, n), and how far it lies towards the second."""
    last = sides - 1
    inside = torch.minimum((places - 0.5).clamp(min=0), last.to(places.dtype))
    low = inside.floor().long()
    return (low, torch.minimum(low + 1, last)), inside - low


def _regions(
    labels: Tensor, background: Tensor, areas: tuple[float, float], random: Tensor
) -> Tensor:
    """The pixels (N, h, w) bool of one class of each crop, drawn among those of fitting size."""
    flat = labels.flatten(1)
    counts = torch.zeros(len(flat), 256, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32))
    fits = (counts > areas[0] * flat.shape[1]) & (counts < areas[1] * flat.shape[1])
    fits[:, UNLABELLED] = False
    classes = torch.arange(256, device=flat.device)
    fits &= classes != background[:, None]
    chosen = torch.where(fits, random, -1.0).argmax(1)
    return (labels == chosen[:, None, None]) & fits.any(1)[:, None, None]


def _change_colours(pixels: Tensor, how: CropSampling, rng: np.random.Generator) -> Tensor:
    """Saturation, contrast and brightness, a colour cast, a blur: (B, 3, h, w) in [0, 255]."""
    count = len(pixels)
    changes = rng.uniform(-1, 1, (count, 6)) * [*[how.jitter] * 3, *[how.cast] * 3]
    grey, blurred = rng.random((2, count)) < np.array([[how.grey_share], [how.blur_share]])
    changes[:, 0] = np.where(grey, -1, 1.5 * changes[:, 0])
    factors = torch.from_numpy(1 + changes).float().to(pixels.device)[:, :, None, None]
    mean_colour = pixels.mean(1, keepdim=True)
    out = torch.lerp(mean_colour, pixels, factors[:, 0:1])
    mean = out.mean((1, 2, 3), keepdim=True)
    out = (out - mean) * factors[:, 1:2] + mean * factors[:, 2:3]
    out = out * factors[:, 3:6]
    soft = F.avg_pool2d(out, 3, 1, 1, count_include_pad=False)
    which = torch.from_numpy(blurred).to(pixels.device)[:, None, None, None]
    return torch.where(which, soft, out).clamp(0, 255)


def sample_points(
    labels: Tensor, count: int, balanced_share: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return places on what is labelled, (B, P, 2) in [-1, 1], x first, and their labels (B, P).

    labels: (B, h, w). A place is drawn evenly over the crop's classes with probability
    ``balanced_share``, else over all that is labelled. Where nothing is, labels are 255.
    """
    batch, h, w = labels.shape
    flat = labels.flatten(1)
    labelled = (flat != UNLABELLED).float()
    counts = torch.zeros(batch, 256, device=flat.device).scatter_add_(1, flat, labelled)
    even = labelled / counts.gather(1, flat).clamp(min=1)
    anywhere, evenly = (one / one.sum(1, keepdim=True).clamp(min=1e-6) for one in (labelled, even))
    total = torch.cumsum(torch.lerp(anywhere, evenly, balanced_share), 1)
    # In (0, 1]: a draw of 0 would find the first pixel, labelled or not.
    draws = torch.from_numpy(1 - rng.random((batch, count))).float().to(flat.device)
    found = torch.searchsorted(total, draws * total[:, -1:]).clamp(max=h * w - 1)
    ys, xs = torch.div(found, w, rounding_mode="floor"), found % w
    points = torch.stack([(xs + 0.5) / w * 2 - 1, (ys + 0.5) / h * 2 - 1], -1)
    return points, flat.gather(1, found)
