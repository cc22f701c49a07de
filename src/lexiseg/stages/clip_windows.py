"""Sliding windows as SCLIP and its successors run them (they all share this harness).

The picture is scaled, looked at through windows of one size, and every window's logits are
enlarged to the window; where windows overlap, logits are averaged, and the average is enlarged to
the picture. All of that is linear, and it is separable: along each axis it is one matrix from the
cells of all windows to the pixels of the picture. So the logits of any part of the picture are two
small products, and are never held for all words and pixels at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import AttentionEncoder, LastBlock
from lexiseg.stages.attention import vanilla
from lexiseg.stages.multi_layer import combined, kept_for, layered
from lexiseg.stages.resample import bilinear_matrix

__all__ = ["WindowSettings", "Windows", "encode_windows", "logits", "paper_size", "spans"]

Span = tuple[int, int]


@dataclass(frozen=True)
class WindowSettings:
    """How a picture is looked at.

    short_side: pixels that the short side is scaled to, the long one to 2,048 at most.
    crop, stride: of the windows, in pixels of the scaled picture.
    positions, ragged: as in ``AttentionEncoder.trunk``.
    flip: look at the mirrored picture too, and average.
    layers: read these layers, counted from 1, and average them (``stages.layers``); () reads the
        last one.
    """

    short_side: int
    crop: int
    stride: int
    positions: str = "scale"
    ragged: str = "stretch"
    flip: bool = False
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Windows:
    """What was seen, as a value: further words cost no second encoding.

    cells: (rows, columns, h, w, D) features of each window's cells, unit length.
    rows, columns: where windows begin and end, in pixels of the scaled picture.
    work_hw: the scaled picture's size. size_hw: the picture's own. padding: pixels that each
    window was padded with above and on its left. reach_hw: what a window's cells cover, in pixels,
    padding included.
    """

    cells: Tensor
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    work_hw: tuple[int, int]
    size_hw: tuple[int, int]
    padding: tuple[int, int]
    reach_hw: tuple[int, int]

    @property
    def windows(self) -> tuple[tuple[int, int, int, int], ...]:
        """All windows as y0, x0, y1, x1 in the scaled picture."""
        return tuple((y0, x0, y1, x1) for y0, y1 in self.rows for x0, x1 in self.columns)

    @property
    def grid_hw(self) -> tuple[int, int]:
        """The scaled picture's size in cells, rounded."""
        h, w = self.cells.shape[2:4]
        return (
            max(1, round(self.work_hw[0] * h / self.reach_hw[0])),
            max(1, round(self.work_hw[1] * w / self.reach_hw[1])),
        )

    @cached_property
    def to_picture(self) -> tuple[Tensor, Tensor]:
        """The matrices of both axes: (H, rows * h) and (W, columns * w)."""
        return self.to_size(self.size_hw)

    def to_size(self, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The same for another size than the picture's own."""
        made = (
            (bilinear_matrix(len(axis), size) @ axis).float().to(self.cells.device)
            for axis, size in zip(self.to_work, size_hw, strict=True)
        )
        return next(made), next(made)

    @cached_property
    def to_work(self) -> tuple[Tensor, Tensor]:
        """The same for the scaled picture, in float64 and always in the computer's own memory."""
        made = (
            _joined(spans, self.cells.shape[2 + i], self.reach_hw[i], self.padding[i],
                    self.work_hw[i])
            for i, spans in enumerate((self.rows, self.columns))
        )  # fmt: skip
        return next(made), next(made)


def paper_size(size_hw: tuple[int, int], short_side: int, long_side: int = 2048) -> tuple[int, int]:
    """The size that mmcv's ``Resize(scale=(2048, S), keep_ratio=True)`` gives."""
    factor = min(long_side / max(size_hw), short_side / min(size_hw))
    return max(1, int(size_hw[0] * factor + 0.5)), max(1, int(size_hw[1] * factor + 0.5))


def spans(length: int, crop: int, stride: int) -> tuple[Span, ...]:
    """Windows along one side: every ``stride`` pixels, the last ones moved back to the border."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    ends = (min(i * stride + crop, length) for i in range(count))
    return tuple((max(end - crop, 0), end) for end in ends)


def encode_windows(
    encoder: AttentionEncoder,
    rgb: NDArray[np.uint8],
    how: WindowSettings,
    read: Callable[[LastBlock], Tensor] | None = None,
    *,
    batch: int = 8,
    see: Callable[[Tensor], Tensor] | None = None,
    multiple: int | None = None,
) -> Windows:
    """Encode a picture (H, W, 3) through windows, ``batch`` of them at a time.

    read: how the last attention is read out (``stages.attention``). see: in its place, what makes
    cells (B, h, w, D) of windows (B, H, W, 3) itself. multiple: what it pads sides to, where
    ``how`` says so.
    """
    import cv2

    size_hw = (rgb.shape[0], rgb.shape[1])
    least = encoder.size.multiple  # a strip is one cell high, at least
    height, width = paper_size(size_hw, how.short_side)
    work_hw = (max(height, least), max(width, least))
    scaled = np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    rows, columns = (spans(side, how.crop, how.stride) for side in work_hw)
    views = np.stack([scaled[y0:y1, x0:x1] for y0, y1 in rows for x0, x1 in columns])
    parts = []
    see = see or partial(_cells, encoder, how, read or vanilla)
    for start in range(0, len(views), batch):
        pixels = torch.from_numpy(views[start : start + batch])
        seen = see(pixels)
        if how.flip:
            seen = (seen + see(pixels.flip(2)).flip(2)) / 2
        parts.append(seen)
    cells = torch.cat(parts).unflatten(0, (len(rows), len(columns)))  # type: ignore[no-untyped-call]
    window_hw = (views.shape[1], views.shape[2])
    padding, reach_hw = (0, 0), window_hw
    if how.ragged == "pad":
        missing = [-side % (multiple or encoder.size.multiple) for side in window_hw]
        padding = (missing[0] // 2, missing[1] // 2)
        reach_hw = (window_hw[0] + missing[0], window_hw[1] + missing[1])
    return Windows(cells, rows, columns, work_hw, size_hw, padding, reach_hw)


def logits(seen: Windows, vectors: Tensor) -> Tensor:
    """Cosines of words and the cells of all windows, (Q, rows * h, columns * w) float32."""
    maps = torch.einsum("rchwd,qd->qrhcw", seen.cells, vectors.to(seen.cells))
    return maps.flatten(3, 4).flatten(1, 2)


def _cells(
    encoder: AttentionEncoder,
    how: WindowSettings,
    read: Callable[[LastBlock], Tensor],
    pixels: Tensor,
) -> Tensor:
    block = encoder.trunk(
        pixels, positions=how.positions, ragged=how.ragged, keep=kept_for(how.layers)
    )
    with torch.inference_mode():
        if how.layers:
            return combined(layered(block, read, how.layers))
        return block.finish(read(block))


def _joined(spans: tuple[Span, ...], cells: int, reach: int, padding: int, work: int) -> Tensor:
    """The matrix of one axis, (work, windows * cells) float64: enlarge, cut, average."""
    enlarge = bilinear_matrix(cells, reach)
    joined = torch.zeros(work, len(spans), cells, dtype=torch.float64)
    count = torch.zeros(work, 1, 1, dtype=torch.float64)
    for i, (start, end) in enumerate(spans):
        joined[start:end, i] += enlarge[padding : padding + end - start]
        count[start:end] += 1
    return (joined / count).flatten(1)
