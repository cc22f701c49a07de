"""Masks of everything: SAM's automatic mask generator (Kirillov et al. 2023, section B).

A grid of points is asked over the whole picture, then over crops of it, layer by layer. What is
rated too low goes at once, on the mask model's own grid. Of what may pass, the box at the picture's
size is found without enlarging it, and boxes nms each other; only a mask whose turn it is to
stay is enlarged, straight into a crop, and measured as the official generators measure it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import BackboneMaps, Masker, MaskPrompts, MaskState, RawMasks
from lexiseg.stages.mask_upsampling import axes, upsample_mask
from lexiseg.stages.nms import nms
from lexiseg.stages.small_regions import without_small_regions
from lexiseg.stages.upsampled_boxes import UpsampledBoxes

__all__ = ["PRESETS", "AutomaticMaskSettings", "Proposals", "crops", "generate_masks"]

_NEAR = 20  # pixels: a mask so near to a crop's border is cut there, not where the thing ends
# On the mask model's grid, stability is not exactly what it is at the picture's size: masks of at
# least so many cells that miss it by so much there are not measured again.
_CELLS, _MARGIN = 100, 0.1
_AROUND = 2  # cells: of three in a row a pixel takes its value, at most
_FAR = 1e4  # a logit below all thresholds


@dataclass(frozen=True)
class AutomaticMaskSettings:
    """How everything is asked for; defaults are those of SAM 1's generator.

    points_per_side: of the grid. quality, stability: what masks must exceed and reach, in [0, 1];
    0: not asked. stability_offset: logits between which a stable mask hardly grows. box_nms: IoU of
    boxes above which the better rated mask alone stays. crop_layers: how often crops are asked too,
    2, 4, 8 ... a side. crop_nms: the same between crops, where masks of smaller crops stay.
    crop_overlap: of the picture's short side, for 2 a side. crop_downscale: the grid of each
    further layer has so many times fewer points a side. least_area: pixels; smaller holes are
    filled, smaller islands removed. use_m2m: every mask is handed back with its point, and the
    single answer to both takes its place (SAM 2's generator has it, off).
    """

    points_per_side: int = 32
    quality: float = 0.88
    stability: float = 0.95
    stability_offset: float = 1.0
    box_nms: float = 0.7
    crop_layers: int = 0
    crop_nms: float = 0.7
    crop_overlap: float = 512 / 1500
    crop_downscale: int = 1
    least_area: int = 0
    use_m2m: bool = False


# The defaults of the two official generators.
PRESETS = {"sam1": AutomaticMaskSettings(), "sam2": AutomaticMaskSettings(quality=0.8)}


@dataclass(frozen=True, eq=False)
class Proposals:
    """N masks of everything. quality, stability: (N,) float32 in [0, 1]. prompts: points asked."""

    masks: Masks
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]
    prompts: int


@dataclass(frozen=True, eq=False)
class _Found:
    """Masks of a crop, in pixels of the picture; ratings as the model gave them."""

    masks: Masks
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]

    def __getitem__(self, key: NDArray[np.integer]) -> _Found:
        return _Found(self.masks[key], self.quality[key], self.stability[key])


def generate_masks(
    masker: Masker,
    rgb: NDArray[np.uint8],
    settings: AutomaticMaskSettings,
    maps: Iterable[BackboneMaps] = (),
) -> Proposals:
    """Return the masks of everything in a picture (H, W, 3), best rated first.

    maps: what an encoder's backbone made of the picture; see ``Masker.encode``.
    """
    size_hw = (rgb.shape[0], rgb.shape[1])
    parts, smallness, prompts = [], [], 0
    for layer, box in crops(size_hw, settings.crop_layers, settings.crop_overlap):
        side = max(1, int(settings.points_per_side / settings.crop_downscale**layer))
        part = np.ascontiguousarray(rgb[box[1] : box[3], box[0] : box[2]])
        state = masker.encode(part, () if layer else maps)
        parts.append(_in_crop(masker, state, size_hw, box, side, settings))
        area = np.float32(1) / np.float32((box[2] - box[0]) * (box[3] - box[1]))
        smallness.append(np.full(len(parts[-1].quality), area))
        prompts += side * side
    found = _joined(size_hw, parts)
    if len(parts) > 1:
        rank = np.concatenate(smallness)
        found = found[nms(found.masks.boxes_xyxy, rank, settings.crop_nms)]
    if settings.least_area > 0:
        masks, changed = without_small_regions(found.masks, settings.least_area)
        found = _Found(masks, found.quality, found.stability)
        # Masks that needed no mending are preferred.
        limit = max(settings.box_nms, settings.crop_nms)
        found = found[nms(masks.boxes_xyxy, (~changed).astype(np.float32), limit)]
    found = found[np.argsort(-found.quality, kind="stable")]
    return Proposals(found.masks, found.quality.clip(0, 1), found.stability, prompts)


def crops(
    size_hw: tuple[int, int], layers: int, overlap: float
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Return (layer, x0 y0 x1 y1): the whole picture, then 2 ** layer crops a side, by columns."""
    height, width = size_hw
    out = [(0, (0, 0, width, height))]
    for layer in range(1, layers + 1):
        count = 2**layer
        common = int(overlap * min(size_hw) * (2 / count))
        wide, high = (-(-(common * (count - 1) + side) // count) for side in (width, height))
        for i in range(count):
            for j in range(count):
                x0, y0 = (wide - common) * i, (high - common) * j
                box = (x0, y0, min(x0 + wide, width), min(y0 + high, height))
                if box[0] < box[2] and box[1] < box[3]:
                    out.append((layer, box))
    return out


def _in_crop(
    masker: Masker,
    state: MaskState,
    size_hw: tuple[int, int],
    box: tuple[int, int, int, int],
    side: int,
    settings: AutomaticMaskSettings,
) -> _Found:
    """The masks at a grid of points of a crop that are good enough, duplicates suppressed."""
    x0, y0, x1, y1 = box
    sieve, grid = _Sieve(size_hw, box, settings), _grid((y1 - y0, x1 - x0), side)

    def again(raw: RawMasks) -> Tensor:
        at = raw.prompt.cpu()
        asked = MaskPrompts(grid.points_xy[at], grid.point_labels[at], masks=raw.logits)  # type: ignore[index]
        masker.decode(state, asked, candidates=1, keep=sieve)
        return torch.zeros(len(raw), dtype=torch.bool, device=raw.logits.device)

    masker.decode(state, grid, candidates=3, keep=again if settings.use_m2m else sieve)
    return sieve.found()


def _grid(size_hw: tuple[int, int], side: int) -> MaskPrompts:
    """One point a prompt, by rows.

    The official generators hand parts of the picture to code that counts pixels from the middle of
    the first one, which is half a pixel further.
    """
    places = (np.arange(side) + 0.5) / side
    x, y = (np.minimum(places * size + 0.5, size - 0.01) for size in size_hw[::-1])
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 1, 2).astype(np.float32)
    return MaskPrompts(
        torch.from_numpy(points), torch.ones(points.shape[:2], dtype=torch.int64)
    )  # fmt: skip


class _Enlarged:
    """How a mask model's grid becomes the picture: its matrices, and the boxes they give."""

    def __init__(self, raw: RawMasks) -> None:
        vertical, level = axes((raw.logits.shape[1], raw.logits.shape[2]), raw.frame)
        self.extents = UpsampledBoxes(vertical.numpy(), level.numpy())
        self.vertical, self.level = (m.to(raw.logits.device) for m in (vertical, level))


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A mask that may pass: its box in pixels of the crop that was asked, and of its logits what
    lies around it, from row and column ``cell`` on."""

    box_xyxy: tuple[int, int, int, int]
    quality: float
    logits: NDArray[np.float32]
    cell: tuple[int, int]


class _Sieve:
    """Takes what may be good enough of each batch, and lets the masker keep nothing."""

    def __init__(
        self,
        size_hw: tuple[int, int],
        box: tuple[int, int, int, int],
        settings: AutomaticMaskSettings,
    ) -> None:
        self._size_hw, self._box, self._settings = size_hw, box, settings
        self._enlarged: _Enlarged | None = None
        self.waiting: list[_Waiting] = []

    def __call__(self, raw: RawMasks) -> Tensor:
        if self._enlarged is None:
            self._enlarged = _Enlarged(raw)
        extents = self._enlarged.extents
        likely = raw[torch.nonzero(self._likely(raw, extents.grid_hw))[:, 0]]
        quality = likely.quality.float().tolist()
        for logits, value in zip(likely.logits.float().cpu().numpy(), quality, strict=True):
            box = extents.box(logits)
            if box is not None:
                self.waiting.append(_Waiting(box, value, *self._around(logits)))
        return torch.zeros(len(raw), dtype=torch.bool, device=raw.logits.device)

    def found(self) -> _Found:
        """Return the masks that pass, best rated first; of alike boxes the best one alone."""
        boxes = np.array([one.box_xyxy for one in self.waiting], np.int32).reshape(-1, 4)
        boxes += np.array(self._box[:2] * 2, np.int32)
        whole = np.flatnonzero(~_cut_off(boxes, self._box, self._size_hw))
        quality = np.array([one.quality for one in self.waiting], np.float32)[whole]
        passed: list[tuple[Masks, float]] = []

        def passes(i: int) -> bool:
            mask, stability = self._lift(self.waiting[whole[i]])
            if stability >= self._settings.stability:
                passed.append((mask, stability))
                return True
            return False

        kept = nms(boxes[whole], quality, self._settings.box_nms, passes)
        masks = Masks.concat([Masks.empty(self._size_hw), *(mask for mask, _ in passed)])
        return _Found(masks, quality[kept], np.array([part for _, part in passed], np.float32))

    def _likely(self, raw: RawMasks, grid_hw: tuple[int, int]) -> Tensor:
        """Which masks may pass: by quality, which is certain, and by stability, which is rough."""
        s = self._settings
        good = torch.ones(len(raw), dtype=torch.bool, device=raw.logits.device)
        if s.quality > 0:
            good &= raw.quality > s.quality
        # Cells of padding are no part of the picture.
        logits = raw.logits[:, : grid_hw[0], : grid_hw[1]].flatten(1)
        larger = (logits > -s.stability_offset).sum(1)
        rough = (logits > s.stability_offset).sum(1) / larger.clamp_min(1)
        return good & ((larger < _CELLS) | (rough >= s.stability - _MARGIN))

    def _around(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """What of a mask's logits matters at the picture's size, and its first cell."""
        reaches = logits > -self._settings.stability_offset
        spans = []
        for axis in (1, 0):
            cells = np.flatnonzero(reaches.any(axis))
            spans.append(slice(max(0, int(cells[0]) - _AROUND), int(cells[-1]) + 1 + _AROUND))
        return logits[spans[0], spans[1]].copy(), (spans[0].start, spans[1].start)

    def _lift(self, one: _Waiting) -> tuple[Masks, float]:
        """The mask at the picture's size, and its stability."""
        if self._enlarged is None:
            raise ValueError("a mask waits before any came")
        vertical, level = self._enlarged.vertical, self._enlarged.level
        offset, (x0, y0, _, _) = self._settings.stability_offset, self._box
        (top, left), (high, wide) = one.cell, one.logits.shape
        logits = torch.full((vertical.shape[1], level.shape[1]), -_FAR)
        logits[top : top + high, left : left + wide] = torch.from_numpy(one.logits)
        lifted = upsample_mask(logits.to(vertical.device), vertical, level, 0.0, (offset, -offset))
        corner = (lifted.corner_xy[0] + x0, lifted.corner_xy[1] + y0)
        mask = Masks.from_crops(self._size_hw, [corner], [lifted.crop])
        return mask, lifted.counts[0] / max(1, lifted.counts[1])


def _cut_off(
    boxes_xyxy: NDArray[np.int32], crop: tuple[int, int, int, int], size_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which boxes end near a border of their crop that is no border of the picture, (N,)."""
    ends = boxes_xyxy - [0, 0, 1, 1]
    near_crop = np.abs(ends - np.array(crop)) <= _NEAR
    near_picture = np.abs(ends - np.array([0, 0, size_hw[1], size_hw[0]])) <= _NEAR
    out: NDArray[np.bool_] = (near_crop & ~near_picture).any(1)
    return out


def _joined(size_hw: tuple[int, int], parts: list[_Found]) -> _Found:
    nothing = np.zeros(0, np.float32)
    return _Found(
        Masks.concat([Masks.empty(size_hw), *(part.masks for part in parts)]),
        np.concatenate([nothing, *(part.quality for part in parts)]),
        np.concatenate([nothing, *(part.stability for part in parts)]),
    )
