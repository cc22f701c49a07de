"""Sliding windows as SCLIP and its successors run them (they all share this harness).

The image is scaled and encoded by windows of one size, and every window's logits are enlarged to
the window; where windows overlap, logits are averaged, and the average is enlarged to the image.
All of that is linear, and it is separable: along each axis it is one matrix from the cells of all
windows to the pixels of the image. So the logits of any part of the image are two small products,
and are never held for all words and pixels at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import AttentionEncoder, LastBlock
from lexiseg.stages.attention import combined, kept_for, layered, vanilla
from lexiseg.stages.dense_features import DenseFeatures, LabelRules, boxes_in_image
from lexiseg.stages.label_map import LabelMap, Window
from lexiseg.stages.mask_upsampling import bilinear_matrix
from lexiseg.stages.tiled_argmax import ArgmaxRules, CellLogits, argmax_labels, sum_tensors
from lexiseg.stages.word_vectors import WordVectors

__all__ = ["WindowSettings", "Windows", "encode_windows", "paper_size", "spans"]

Span = tuple[int, int]


@dataclass(frozen=True)
class WindowSettings:
    """How windows are laid, and how a CLIP encodes them.

    short_side: pixels that the short side is scaled to, the long one to 2,048 at most.
    crop, stride: of the windows, in pixels of the scaled image.
    positions, ragged: as in ``AttentionEncoder.trunk``.
    flip: encode the mirrored image too, and average.
    layers: read these layers, counted from 1, and average them (``stages.multi_layer``); () reads
        the last one.
    """

    short_side: int
    crop: int
    stride: int
    positions: str = "scale"
    ragged: str = "stretch"
    flip: bool = False
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Windows(DenseFeatures):
    """Features of an image by windows.

    cells: (rows, columns, h, w, D) of each window's cells, unit length. rows, columns: where
    windows begin and end, in pixels of the scaled image. padding: pixels that each window was
    padded with above and on its left. reach_hw: what a window's cells cover, in pixels, padding
    included.
    """

    cells: Tensor
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    work_hw: tuple[int, int]
    size_hw: tuple[int, int]
    padding: tuple[int, int]
    reach_hw: tuple[int, int]

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """All windows, row by row."""
        return tuple((y0, x0, y1, x1) for y0, y1 in self.rows for x0, x1 in self.columns)

    @property
    def grid_hw(self) -> tuple[int, int]:
        """The scaled image's size in cells, rounded."""
        h, w = self.cells.shape[2:4]
        return (
            max(1, round(self.work_hw[0] * h / self.reach_hw[0])),
            max(1, round(self.work_hw[1] * w / self.reach_hw[1])),
        )

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        return boxes_in_image(self.windows, self.work_hw, self.size_hw)

    @property
    def raster(self) -> tuple[tuple[int, int], int]:
        return self.grid_hw, 1

    def grid_probabilities(
        self, words: WordVectors, scale: float, others: Sequence[Windows] = ()
    ) -> Tensor:
        """Return the probability of each class, of logits averaged over all scales, (C, h, w).

        As for pixels: the softmax is over all queries, and a class has that of its best one.
        """
        scales = (self, *others)
        logits = sum_tensors(one.logits(words, self.grid_hw).pixels() for one in scales)
        probabilities = (scale / len(scales) * logits).softmax(0)
        out = probabilities.new_zeros(words.num_classes, *self.grid_hw)
        class_ids = words.class_ids.to(out.device)[:, None, None].expand_as(probabilities)
        return out.scatter_reduce_(0, class_ids, probabilities, "amax")

    def label_pixels(
        self,
        words: WordVectors,
        probabilities: Tensor,
        rgb: NDArray[np.uint8],
        rules: LabelRules,
        others: Sequence[Windows] = (),
    ) -> LabelMap:
        """Return the label map of the image (H, W, 3).

        Unless ``rules`` want the guided filter, logits compete at the image's own size.
        """
        if rules.refine == "guided":
            return super().label_pixels(words, probabilities, rgb, rules, others)
        refine = self.pamr(rgb, rules, self.cells.device) if rules.refine == "pamr" else None
        argmax = ArgmaxRules(rules.scale, rules.thresholds, rules.area_threshold, refine)
        scales = [one.logits(words) for one in (self, *others)]
        return argmax_labels(scales, words, argmax)

    @property
    def _pamr_dilations(self) -> tuple[int, ...]:
        return 8, 16  # of SCLIP and NACLIP, whatever the image's size

    def logits(self, words: WordVectors, size_hw: tuple[int, int] | None = None) -> CellLogits:
        """Return cosines of words and all windows' cells, and the way to pixels of the image.

        size_hw: or to those of the image at another size.
        """
        vectors = words.vectors.to(self.cells)
        cosines = torch.einsum("rchwd,qd->qrhcw", self.cells, vectors).float()
        return CellLogits(cosines.flatten(3, 4).flatten(1, 2), *self.matrices(size_hw))

    def matrices(self, size_hw: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Return the weights of cells in pixels: (H, rows * h) and (W, columns * w), float32.

        Each window's cells are enlarged to it, windows are averaged where they overlap, and the
        average is enlarged to the image, or to ``size_hw``. On the CPU, wherever the cells are.
        """
        vertical, horizontal = (
            (
                bilinear_matrix(work, size)
                @ _window_average(spans, cells, reach, padding, work)
            ).float()
            for spans, cells, reach, padding, work, size in zip(
                (self.rows, self.columns), self.cells.shape[2:4], self.reach_hw, self.padding,
                self.work_hw, size_hw or self.size_hw, strict=True,
            )
        )  # fmt: skip
        return vertical, horizontal


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
    settings: WindowSettings,
    read: Callable[[LastBlock], Tensor] | None = None,
    *,
    batch: int = 8,
    encode: Callable[[Tensor], Tensor] | None = None,
    multiple: int | None = None,
) -> Windows:
    """Encode an image (H, W, 3) by windows, ``batch`` of them at a time.

    read: how the last attention is read out (``stages.attention``). encode: in its place, what
    makes cells (B, h, w, D) of windows (B, H, W, 3). multiple: what it pads sides to, where
    ``settings`` say so; None: a cell of the encoder.
    """
    import cv2

    size_hw = (rgb.shape[0], rgb.shape[1])
    patch = encoder.size.multiple
    height, width = paper_size(size_hw, settings.short_side)
    work_hw = (max(height, patch), max(width, patch))  # a strip is one cell high, at least
    scaled = np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    rows, columns = (spans(side, settings.crop, settings.stride) for side in work_hw)
    crops = np.stack([scaled[y0:y1, x0:x1] for y0, y1 in rows for x0, x1 in columns])
    encode = encode or partial(_encode_crops, encoder, settings, read or vanilla)
    parts = []
    for start in range(0, len(crops), batch):
        pixels = torch.from_numpy(crops[start : start + batch])
        cells = encode(pixels)
        if settings.flip:
            cells = (cells + encode(pixels.flip(2)).flip(2)) / 2
        parts.append(cells)
    whole = torch.cat(parts)
    window_hw = (crops.shape[1], crops.shape[2])
    missing = [0, 0]
    if settings.ragged == "pad":
        missing = [-side % (multiple or patch) for side in window_hw]
    return Windows(
        cells=whole.view(len(rows), len(columns), *whole.shape[1:]),
        rows=rows,
        columns=columns,
        work_hw=work_hw,
        size_hw=size_hw,
        padding=(missing[0] // 2, missing[1] // 2),
        reach_hw=(window_hw[0] + missing[0], window_hw[1] + missing[1]),
    )


def _encode_crops(
    encoder: AttentionEncoder,
    settings: WindowSettings,
    read: Callable[[LastBlock], Tensor],
    pixels: Tensor,
) -> Tensor:
    """Windows (B, H, W, 3) -> their cells, (B, h, w, D)."""
    block = encoder.trunk(
        pixels,
        positions=settings.positions,
        ragged=settings.ragged,
        keep=kept_for(settings.layers),
    )
    with torch.inference_mode():
        if settings.layers:
            return combined(layered(block, read, settings.layers))
        return block.finish(read(block))


def _window_average(
    spans: tuple[Span, ...], cells: int, reach: int, padding: int, work: int
) -> Tensor:
    """The weights of all windows' cells in pixels of the scaled image, (work, windows * cells)."""
    enlarge = bilinear_matrix(cells, reach)
    total = torch.zeros(work, len(spans), cells, dtype=torch.float64)
    count = torch.zeros(work, 1, 1, dtype=torch.float64)
    for i, (start, end) in enumerate(spans):
        total[start:end, i] += enlarge[padding : padding + end - start]
        count[start:end] += 1
    return (total / count).flatten(1)
