"""A mask model for tests that sees nothing but colours: every answer can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import BackboneMaps, Frame, MaskPrompts, MaskState, RawMasks


@dataclass(frozen=True)
class FloodState:
    """A picture, and which area of one colour each pixel is in."""

    areas: NDArray[np.int32]
    frame: Frame


class FloodMasker:
    """ScoredMasks a point with the connected area of one colour around it, a box with its centre's.

    Candidates: the whole, its upper left quarter, the whole grown by a pixel.
    Areas under negative points are cut out. The grid is the picture's own pixels.
    """

    name = "flood"
    device_name = "cpu"
    dtype_name = "fp32"
    min_quality, min_stability = 0.88, 0.95
    sha256 = {"flood.safetensors": "1" * 64}  # noqa: RUF012

    def __init__(self) -> None:
        self.asked = 0  # prompts
        self.encoded = 0  # pictures
        self.prompts: list[MaskPrompts] = []

    def encode(self, rgb: NDArray[np.uint8], maps: Iterable[BackboneMaps] = ()) -> FloodState:
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3
        self.encoded += 1
        code = ((rgb >> 6).astype(np.int32) * [16, 4, 1]).sum(2)  # photos too have few colours
        areas = np.zeros(code.shape, np.int32)
        count = 0
        for colour in np.unique(code):
            n, parts = cv2.connectedComponents((code == colour).astype(np.uint8), connectivity=4)
            areas[parts > 0] = parts[parts > 0] + count
            count += n
        size = (rgb.shape[0], rgb.shape[1])
        return FloodState(areas, Frame(size, size, size))

    def decode(
        self,
        state: MaskState,
        prompts: MaskPrompts,
        *,
        candidates: int = 3,
        keep: Callable[[RawMasks], torch.Tensor] | None = None,
    ) -> RawMasks:
        assert isinstance(state, FloodState)
        self.asked += len(prompts)
        self.prompts.append(prompts)
        made: dict[object, list[tuple[NDArray[np.bool_], float]]] = {}
        parts = []
        for start in range(0, max(1, len(prompts)), 64):
            logits, quality, prompt = [], [], []
            for i in range(start, min(start + 64, len(prompts))):
                for mask, good in self._answers(state, prompts, i, made)[:candidates]:
                    logits.append(np.where(mask, np.float32(4), np.float32(-4)))
                    quality.append(good)
                    prompt.append(i)
            raw = RawMasks(
                torch.from_numpy(np.array(logits, np.float32)).reshape(-1, *state.areas.shape),
                torch.tensor(quality, dtype=torch.float32),
                torch.tensor(prompt, dtype=torch.int64),
                state.frame,
            )
            parts.append(raw if keep is None else raw[keep(raw)])
        return RawMasks(
            torch.cat([raw.logits for raw in parts]),
            torch.cat([raw.quality for raw in parts]),
            torch.cat([raw.prompt for raw in parts]),
            state.frame,
        )

    def _answers(
        self,
        state: FloodState,
        prompts: MaskPrompts,
        i: int,
        made: dict[object, list[tuple[NDArray[np.bool_], float]]],
    ) -> list[tuple[NDArray[np.bool_], float]]:
        height, width = state.areas.shape
        inside: list[int] = []
        outside: list[int] = []
        box: tuple[int, ...] = ()
        if prompts.points_xy is not None and prompts.point_labels is not None:
            for (x, y), label in zip(
                prompts.points_xy[i].tolist(), prompts.point_labels[i].tolist(), strict=True
            ):
                if label >= 0:
                    row, column = min(int(y), height - 1), min(int(x), width - 1)
                    (inside if label else outside).append(int(state.areas[row, column]))
        if prompts.boxes_xyxy is not None:
            box = tuple(round(v) for v in prompts.boxes_xyxy[i].tolist())
            x0, y0, x1, y1 = box
            if not inside:
                inside.append(int(state.areas[(y0 + y1) // 2, (x0 + x1) // 2]))
        key = (tuple(inside), tuple(outside), box)
        if key not in made:
            made[key] = _candidates(state.areas, inside, outside, box)
        return made[key]


def _candidates(
    areas: NDArray[np.int32], inside: list[int], outside: list[int], box: tuple[int, ...]
) -> list[tuple[NDArray[np.bool_], float]]:
    window = np.ones(areas.shape, np.bool_)
    if box:
        x0, y0, x1, y1 = box
        window[:] = False
        window[y0:y1, x0:x1] = True
    whole = np.isin(areas, inside) & ~np.isin(areas, outside) & window
    grown = cv2.dilate(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    part = np.zeros_like(whole)
    if whole.any():
        ys, xs = np.nonzero(whole)
        part[: ys.min() + max(1, np.ptp(ys) // 2), : xs.min() + max(1, np.ptp(xs) // 2)] = True
    return [(whole, 0.9), (part & whole, 0.8), (grown, 0.85)]
