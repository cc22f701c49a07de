"""Masks of everything: SAM's automatic mask generator (Kirillov et al. 2023, section B).

A grid of points is asked over the whole picture, then over crops of it, layer by layer. What is
rated too low goes at once, on the mask model's own grid. Of what may pass, the box at the picture's
size is found without enlarging it, and boxes nms each other; only a mask whose turn it is to
stay is enlarged, straight into a crop, and measured as the official generators measure it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import BackboneMaps, Masker, MaskPrompts, MaskState, RawMasks
from lexiseg.stages.mask_upsampling import MaskUpsampler
from lexiseg.stages.nms import nms
from lexiseg.stages.small_regions import without_small_regions

__all__ = ["PRESETS", "AutomaticMaskSettings", "Proposals", "crops", "generate_masks", "point_grid"]

_NEAR = 20  # pixels: a mask so near to a crop's border is cut there, not where the thing ends
# On the mask model's grid, stability is not exactly what it is at the picture's size: masks of at
# least so many cells that miss it by so much there are not measured again.
_CELLS, _MARGIN = 100, 0.1
_AROUND = 2  # cells: of three in a row a pixel takes its value, at most
_FAR = 1e4  # a logit below all thresholds
_ON_GPU = 256  # masks whose turn comes next that are measured together


@dataclass(frozen=True)
class AutomaticMaskSettings:
    """How everything is asked for; defaults are those of SAM 1's generator.

    points_per_side: of the grid. quality, stability: what masks must exceed and reach, in [0, 1];
    0: not asked. stability_offset: logits between which a stable mask hardly grows. box_nms: IoU of
    boxes above which the better rated mask alone stays. crop_layers: how often crops are asked too,
    2, 4, 8 ... a side. crop_nms: the same between crops, where masks of smaller crops stay.
    crop_overlap: of the picture's short side, for 2 a side. crop_downscale: the grid of each
    further layer has so many times fewer points a side. min_area: pixels; smaller holes are
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
    min_area: int = 0
    use_m2m: bool = False


# The defaults of the two official generators.
PRESETS = {"sam1": AutomaticMaskSettings(), "sam2": AutomaticMaskSettings(quality=0.8)}


@dataclass(frozen=True, eq=False)
class Proposals:
    """N masks of everything. quality, stability: (N,) float32 in [0, 1].

    prompts: points asked. candidates: masks that looked good enough on the model's own grid.
    """

    masks: Masks
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]
    prompts: int
    candidates: int


@dataclass(frozen=True, eq=False)
class _Found:
    """Masks of a crop, in pixels of the picture; ratings as the model gave them. candidates: of how
    many they were chosen."""

    masks: Masks
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]
    candidates: int

    def __getitem__(self, key: NDArray[np.integer]) -> _Found:
        return replace(
            self, masks=self.masks[key], quality=self.quality[key], stability=self.stability[key]
        )


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
    if settings.min_area > 0:
        masks, changed = without_small_regions(found.masks, settings.min_area)
        found = replace(found, masks=masks)
        # Masks that needed no mending are preferred.
        limit = max(settings.box_nms, settings.crop_nms)
        found = found[nms(masks.boxes_xyxy, (~changed).astype(np.float32), limit)]
    found = found[np.argsort(-found.quality, kind="stable")]
    return Proposals(
        found.masks, found.quality.clip(0, 1), found.stability, prompts, found.candidates
    )


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
    candidates, grid = _Candidates(size_hw, box, settings), point_grid((y1 - y0, x1 - x0), side)

    def again(raw: RawMasks) -> Tensor:
        points, labels = (
            part.to(raw.prompt.device)[raw.prompt]
            for part in (grid.points_xy, grid.point_labels)
            if part is not None
        )
        masker.decode(
            state, MaskPrompts(points, labels, masks=raw.logits), candidates=1, keep=candidates.add
        )
        return _none_of(raw)

    masker.decode(state, grid, candidates=3, keep=again if settings.use_m2m else candidates.add)
    return candidates.found()


def _none_of(raw: RawMasks) -> Tensor:
    """No masks, by their numbers: a device need not be waited for to know how many."""
    return torch.zeros(0, dtype=torch.int64, device=raw.logits.device)


def point_grid(size_hw: tuple[int, int], side: int) -> MaskPrompts:
    """Return prompts of one point each, ``side`` rows of as many, on an image (H, W).

    The official generators hand parts of the picture to code that counts pixels from the middle of
    the first one, which is half a pixel further.
    """
    places = (np.arange(side) + 0.5) / side
    x, y = (np.minimum(places * size + 0.5, size - 0.01) for size in size_hw[::-1])
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 1, 2).astype(np.float32)
    return MaskPrompts(
        torch.from_numpy(points), torch.ones(points.shape[:2], dtype=torch.int64)
    )  # fmt: skip


class _Candidates:
    """What may be good enough among the masks of a crop, collected batch by batch.

    The masker itself keeps nothing. Of logits, what matters stays where it was computed: all of
    them on a GPU, on a CPU the cells around the mask.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        crop: tuple[int, int, int, int],
        settings: AutomaticMaskSettings,
    ) -> None:
        self._size_hw, self._crop, self._settings = size_hw, crop, settings
        self._upsampler: MaskUpsampler | None = None
        self._boxes, self._quality = [np.zeros((0, 4), np.int32)], [np.zeros(0, np.float32)]
        self._logits: list[tuple[Tensor, int, int]] = []  # cells, and the first one's place
        self._grid_hw = (0, 0)

    def add(self, raw: RawMasks) -> Tensor:
        """Take what may pass; return what the masker is to keep of the batch: none."""
        if self._upsampler is None:
            self._grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
            self._upsampler = MaskUpsampler(self._grid_hw, raw.frame)
        quality = torch.where(self._likely(raw), raw.quality.float(), -torch.inf).cpu().numpy()
        likely = np.flatnonzero(quality > -np.inf)
        logits = raw.logits[torch.from_numpy(likely).to(raw.logits.device)].float()
        boxes = self._upsampler.boxes(logits)
        drawn = np.flatnonzero(boxes.any(1))
        self._boxes.append(boxes[drawn])
        self._quality.append(quality[likely[drawn]])
        self._logits += [self._around(logits[i]) for i in drawn.tolist()]
        return _none_of(raw)

    def found(self) -> _Found:
        """Return the masks that pass, best rated first; of alike boxes the best one alone."""
        corner = np.array(self._crop[:2] * 2, np.int32)
        boxes = np.concatenate(self._boxes) + corner
        whole = np.flatnonzero(~_cut_off(boxes, self._crop, self._size_hw))
        quality = np.concatenate(self._quality)[whole]
        passed: dict[int, tuple[Masks, float]] = {}

        def passes(which: NDArray[np.int64]) -> NDArray[np.bool_]:
            masks, stability = self._upsampled(whole[which])
            good = stability >= self._settings.stability
            for i in np.flatnonzero(good).tolist():
                passed[int(which[i])] = masks[i], float(stability[i])
            return good

        on_cpu = not self._logits or self._logits[0][0].device.type == "cpu"
        kept = nms(
            boxes[whole], quality, self._settings.box_nms, passes,
            at_once=1 if on_cpu else _ON_GPU,
        )  # fmt: skip
        masks = [passed[i][0] for i in kept.tolist()]
        return _Found(
            Masks.concat([Masks.empty(self._size_hw), *masks]),
            quality[kept],
            np.array([passed[i][1] for i in kept.tolist()], np.float32),
            len(self._logits),
        )

    def _likely(self, raw: RawMasks) -> Tensor:
        """Which masks may pass: by quality, which is certain, and by stability, which is rough."""
        s = self._settings
        good = torch.ones(len(raw), dtype=torch.bool, device=raw.logits.device)
        if s.quality > 0:
            good &= raw.quality > s.quality
        # Cells of padding are no part of the picture.
        rows, columns = self._upsampler.used_hw if self._upsampler else self._grid_hw
        logits = raw.logits[:, :rows, :columns].flatten(1)
        larger = (logits > -s.stability_offset).sum(1)
        rough = (logits > s.stability_offset).sum(1) / larger.clamp_min(1)
        return good & ((larger < _CELLS) | (rough >= s.stability - _MARGIN))

    def _around(self, logits: Tensor) -> tuple[Tensor, int, int]:
        """What of a mask's logits matters at the picture's size, and its first cell."""
        if logits.device.type != "cpu":
            return logits, 0, 0
        reaches = (logits > -self._settings.stability_offset).numpy()
        spans = []
        for axis in (1, 0):
            cells = np.flatnonzero(reaches.any(axis))
            spans.append(slice(max(0, int(cells[0]) - _AROUND), int(cells[-1]) + 1 + _AROUND))
        return logits[spans[0], spans[1]].clone(), spans[0].start, spans[1].start

    def _upsampled(self, which: NDArray[np.int64]) -> tuple[Masks, NDArray[np.float64]]:
        """Masks at the picture's size, and their stability."""
        if self._upsampler is None:
            raise ValueError("masks are measured before any came")
        offset, (left, top, _, _) = self._settings.stability_offset, self._crop
        parts = [self._logits[i] for i in which.tolist()]
        logits = torch.full((len(parts), *self._grid_hw), -_FAR, device=parts[0][0].device)
        for whole, (part, y, x) in zip(logits, parts, strict=True):
            whole[y : y + part.shape[0], x : x + part.shape[1]] = part
        masks, counts = self._upsampler.upsample(logits, 0.0, (offset, -offset))
        if self._crop != (0, 0, *self._size_hw[::-1]):
            corners = masks.boxes_xyxy[:, :2] + np.array([left, top])
            crops = [masks.crop(i) for i in range(len(masks))]
            masks = Masks.from_crops(self._size_hw, corners, crops)
        return masks, counts[:, 0] / np.maximum(counts[:, 1], 1)


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
        sum(part.candidates for part in parts),
    )
