"""Following objects with the bundled weights: labels travel between frames of like features.

Each cell of a new frame takes the labels of the cells most like it in frames that are remembered
(as Jabri et al. 2020 propagate labels); what optical flow makes of the last masks (DIS, Kroeger et
al. 2016) is mixed in, and the mask net draws the outline from the rough mask that comes of it.
Constants were chosen on four of the twelve clips of DAVIS 2016 that the project has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.imaging import pad_to_multiple, resize_image, working_size
from lexiseg.masks import Masks
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.masker import TinyMasker, TinyMaskState
from lexiseg.protocols import MaskPrompts, Tracks

__all__ = ["TinyMemory", "TinyTracker"]

_CELL = 8  # pixels of the scaled frame: two places of the decoder
_FINE = 0.5  # weight of the backbone's fine map beside the decoder's, which tells less of looks
_SHARPNESS, _REACH = 20.0, 4.0  # of likeness; cells that a thing moves between two frames
_NEIGHBOURS = 8
_FLOW = 0.15  # part of the flow's answer in the mix
_REFINED, _AGREEMENT = 0.6, 0.6  # part of the mask net's answer; IoU with the mix that it must have
_QUALITY = 0.2  # weight of the mask net's own opinion beside that IoU
_CONTRAST = 2.0  # probabilities blur as they travel
_RECENT, _ANCHORS = 2, 4  # frames that are remembered: the last ones, and those where masks came
_SPECK = 0.05  # part of the largest connected part
_LEAST = 12  # pixels of the scaled frame; less is not seen


@dataclass(frozen=True, eq=False)
class _Frame:
    """keys: (n, D), a row a cell. labels: (n, N) float32 of the objects in `ids`."""

    keys: Tensor
    labels: Tensor
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TinyMemory:
    """size_hw: of the video. grey: the last frame, scaled, (h, w) uint8. state: what the mask net
    needs of it. keys: its cells, on `grid_hw`. probabilities: (N, h, w) float32, of `ids`.
    """

    size_hw: tuple[int, int]
    grey: NDArray[np.uint8]
    state: TinyMaskState
    keys: Tensor
    grid_hw: tuple[int, int]
    probabilities: NDArray[np.float32]
    ids: tuple[int, ...] = ()
    anchors: tuple[_Frame, ...] = ()
    recent: tuple[_Frame, ...] = ()


class TinyTracker:
    """See ``Tracker``."""

    def __init__(self, encoder: TinyEncoder, masker: TinyMasker) -> None:
        self.name = encoder.name
        self._encoder, self._masker = encoder, masker

    @property
    def device_name(self) -> str:
        return self._encoder.device_name

    @property
    def dtype_name(self) -> str:
        return self._encoder.dtype_name

    @property
    def sha256(self) -> Mapping[str, str]:
        return {**self._encoder.sha256, **self._masker.sha256}

    def start(self, rgb: NDArray[np.uint8]) -> TinyMemory:
        """Return the memory of a first frame, (H, W, 3) uint8 RGB, without any object."""
        import cv2

        size_hw = (rgb.shape[0], rgb.shape[1])
        policy = self._encoder.size
        input_hw = working_size(size_hw, policy.short_side)
        scaled = resize_image(rgb, input_hw)
        pixels = torch.from_numpy(pad_to_multiple(scaled, policy.multiple))[None]
        maps = self._encoder.backbone_maps(pixels, input_hw)
        return TinyMemory(
            size_hw,
            np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY), np.uint8),
            self._masker.encode(rgb, (maps,)),
            _keys(maps.value.decoded, maps.value.fine),
            (pixels.shape[1] // _CELL, pixels.shape[2] // _CELL),
            np.zeros((0, *input_hw), np.float32),
        )

    def step(self, memory: TinyMemory, rgb: NDArray[np.uint8]) -> tuple[Tracks, TinyMemory]:
        """Return where the objects are in the next frame, and the memory with it."""
        seen = self.start(rgb)
        if not memory.ids:
            kept = replace(seen, anchors=memory.anchors)
            none = Tracks((), Masks.empty(seen.size_hw), np.zeros(0, np.float32))
            return none, kept
        warped = _warp(memory.probabilities, memory.grey, seen.grey)
        carried = self._propagate(memory, seen)
        mixed = _FLOW * warped + (1 - _FLOW) * carried
        drawn = self._refine(seen, mixed)
        drawn = np.clip((drawn - 0.5) * _CONTRAST + 0.5, 0, 1)
        drawn = np.stack([_without_specks(one) for one in _apart(drawn)])
        labels = _cells(drawn, seen.keys, seen.grid_hw)
        recent = (*memory.recent, _Frame(seen.keys, labels, memory.ids))[-_RECENT:]
        kept = replace(
            seen, probabilities=drawn, ids=memory.ids, anchors=memory.anchors, recent=recent
        )
        return self._tracks(kept, labels), kept

    def add(self, memory: TinyMemory, masks: Masks, ids: Sequence[int]) -> TinyMemory:
        """Return the memory with objects as they are in the frame that came last."""
        import cv2

        height, width = memory.probabilities.shape[1:]
        new = np.stack(
            [
                cv2.resize(
                    masks[i].union().astype(np.float32), (width, height),
                    interpolation=cv2.INTER_AREA,
                )
                for i in range(len(masks))
            ]
        ) if len(masks) else np.zeros((0, height, width), np.float32)  # fmt: skip
        given = set(ids)
        old = [k for k, one in enumerate(memory.ids) if one not in given]
        all_ids = (*(memory.ids[k] for k in old), *ids)
        probabilities = np.concatenate([memory.probabilities[old], new])
        labels = _cells(probabilities, memory.keys, memory.grid_hw)
        anchors = (*memory.anchors, _Frame(memory.keys, labels, all_ids))[-_ANCHORS:]
        return replace(memory, probabilities=probabilities, ids=all_ids, anchors=anchors)

    def features(self, memory: TinyMemory) -> NDArray[np.float32]:
        """Return the mean features of the objects, (N, D), unit length, in the order of ids."""
        labels = _cells(memory.probabilities, memory.keys, memory.grid_hw)
        return F.normalize(labels.T @ memory.keys, dim=1).cpu().numpy()

    def drop(self, memory: TinyMemory, ids: Sequence[int]) -> TinyMemory:
        """Return the memory without some objects."""
        gone = set(ids)
        kept = [k for k, one in enumerate(memory.ids) if one not in gone]
        return replace(
            memory,
            probabilities=memory.probabilities[kept],
            ids=tuple(memory.ids[k] for k in kept),
        )

    def state_dict(self, memory: TinyMemory) -> Any:
        """Return what of a memory its last frame does not tell."""
        return {
            "probabilities": memory.probabilities, "ids": memory.ids,
            "anchors": [(one.keys, one.labels, one.ids) for one in memory.anchors],
            "recent": [(one.keys, one.labels, one.ids) for one in memory.recent],
        }  # fmt: skip

    def load_state_dict(self, rgb: NDArray[np.uint8], state: Any) -> TinyMemory:
        """Return the memory whose `state_dict` it is; rgb: the frame that came last, (H, W, 3)."""
        seen = self.start(rgb)

        def frames(name: str) -> tuple[_Frame, ...]:
            device = seen.keys.device
            return tuple(_Frame(k.to(device), v.to(device), ids) for k, v, ids in state[name])

        return replace(
            seen, probabilities=state["probabilities"], ids=state["ids"],
            anchors=frames("anchors"), recent=frames("recent"),
        )  # fmt: skip

    def _propagate(self, memory: TinyMemory, seen: TinyMemory) -> NDArray[np.float32]:
        """What the cells of a frame take from those that are like them, (N, h, w)."""
        import cv2

        rows, columns = seen.grid_hw
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        places = torch.stack([y.flatten(), x.flatten()], 1).float().to(seen.keys.device)
        far = torch.cdist(places, places).square_() / (2 * _REACH**2)
        found = []
        frames = (*memory.anchors, *memory.recent)
        for number, frame in enumerate(frames):
            likeness = seen.keys @ frame.keys.T * _SHARPNESS
            if number >= len(memory.anchors):  # from long ago a thing may have come anywhere
                likeness -= far
            found.append(likeness.topk(min(_NEIGHBOURS, likeness.shape[1]), dim=1))
        most = torch.stack([values.amax(1) for values, _ in found]).amax(0)
        out = torch.zeros(len(places), len(memory.ids), device=seen.keys.device)
        total = torch.zeros_like(out)
        for frame, (values, places_of) in zip(frames, found, strict=True):
            weights = (values - most[:, None]).exp()
            where = {one: k for k, one in enumerate(frame.ids)}
            for k, one in enumerate(memory.ids):
                if one in where:
                    labels = frame.labels[:, where[one]][places_of]
                    out[:, k] += (weights * labels).sum(1)
                    total[:, k] += weights.sum(1)
        maps = (out / total.clamp_min(1e-12)).T.reshape(-1, rows, columns).cpu().numpy()
        height, width = seen.probabilities.shape[1:]
        size = (columns * _CELL, rows * _CELL)
        whole = [cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in maps]
        return np.stack(whole)[:, :height, :width]

    def _refine(self, seen: TinyMemory, mixed: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mask net's outline for each rough mask that it agrees with, (N, h, w)."""
        import cv2

        out = mixed.copy()
        asked = [k for k, one in enumerate(mixed) if (one > 0.5).sum() > _LEAST]
        if not asked:
            return out
        (height, width), frame = mixed.shape[1:], seen.state.frame
        rows, columns = seen.state.maps.detail.shape[:2]
        step = frame.padded_hw[0] / rows
        inner = (max(1, round(width / step)), max(1, round(height / step)))
        logits = np.full((len(asked), rows, columns), -6, np.float32)
        boxes = []
        back = np.array([seen.size_hw[1] / width, seen.size_hw[0] / height] * 2)
        for row, k in enumerate(asked):
            small = cv2.resize(mixed[k], inner, interpolation=cv2.INTER_AREA).clip(0.01, 0.99)
            logits[row, : inner[1], : inner[0]] = np.log(small / (1 - small))
            y, x = np.nonzero(mixed[k] > 0.5)
            boxes.append(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * back)
        prompts = MaskPrompts(
            boxes_xyxy=torch.from_numpy(np.array(boxes, np.float32)),
            masks=torch.from_numpy(logits),
        )
        raw = self._masker.decode(seen.state, prompts)
        probabilities = raw.logits.sigmoid().cpu().numpy()[:, : inner[1], : inner[0]]
        quality = raw.quality.float().cpu().numpy()
        for row, k in enumerate(asked):
            best = (-1.0, 0.0, mixed[k])
            for place in range(3 * row, 3 * row + 3):
                drawn = cv2.resize(
                    probabilities[place], (width, height), interpolation=cv2.INTER_LINEAR
                )
                overlap = _iou(drawn > 0.5, mixed[k] > 0.5)
                rating = overlap + _QUALITY * float(quality[place])
                best = max(best, (rating, overlap, drawn), key=lambda one: one[0])
            if best[1] > _AGREEMENT:
                out[k] = _REFINED * best[2] + (1 - _REFINED) * mixed[k]
        return out

    def _tracks(self, kept: TinyMemory, labels: Tensor) -> Tracks:
        import cv2

        height, width = kept.size_hw
        crops, corners, scores = [], [], []
        for one in kept.probabilities:
            seen = (one > 0.5).sum() > _LEAST
            whole = cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
            crops.append(whole if seen else np.zeros((height, width), np.bool_))
            corners.append((0, 0))
            scores.append(float(one[one > 0.5].mean()) if seen else 0.0)
        return Tracks(
            kept.ids,
            Masks.from_crops(kept.size_hw, corners, crops),
            np.array(scores, np.float32),
            F.normalize(labels.T @ kept.keys, dim=1).cpu().numpy(),
        )


def _keys(decoded: Tensor, fine: Tensor) -> Tensor:
    """The cells' features, (n, D): the decoder's and the backbone's fine map, each unit length."""
    first = F.normalize(F.avg_pool2d(decoded.float().permute(0, 3, 1, 2), 2)[0], dim=0)
    second = F.avg_pool2d(fine.float(), 2)[0]
    second = F.normalize(second - second.mean((1, 2), keepdim=True), dim=0)
    return torch.cat([first, _FINE * second]).flatten(1).T.contiguous()


def _cells(probabilities: NDArray[np.float32], keys: Tensor, grid: tuple[int, int]) -> Tensor:
    """How much of each cell is an object's, (n, N)."""
    rows, columns = grid
    given = torch.from_numpy(np.ascontiguousarray(probabilities))
    below, right = rows * _CELL - given.shape[1], columns * _CELL - given.shape[2]
    whole = F.pad(given, (0, right, 0, below))
    return F.avg_pool2d(whole[None], _CELL)[0].flatten(1).T.to(keys.device)


def _warp(
    probabilities: NDArray[np.float32], before: NDArray[np.uint8], now: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Masks of the frame before as optical flow moves them, (N, h, w)."""
    import cv2

    made: Any = cv2  # whose types lack it
    flow = made.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(now, before, None)
    rows, columns = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return np.stack(
        [
            cv2.remap(one, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for one in probabilities
        ]
    )


def _apart(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where objects meet, each keeps what it is likelier to have than any other."""
    if len(probabilities) < 2:
        return probabilities
    winner = probabilities.argmax(0)
    return np.stack(
        [np.where(winner == k, one, np.minimum(one, 0.5)) for k, one in enumerate(probabilities)]
    )


def _without_specks(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map whose parts that are small beside the largest one are not inside any more."""
    import cv2

    inside = (probabilities > 0.5).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside)
    if count < 3:
        return probabilities
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < _SPECK * areas[1:].max()
    small[0] = False
    return np.where(small[parts], np.minimum(probabilities, 0.5), probabilities)


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
