"""Masks: N masks of one picture, exact, kept as tight crops of one bit a pixel.

Packed bits lie eight pixels a byte on the image's own grid of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.errors import InputError
from lexiseg.masks.rle import (
    Rle,
    compress,
    counts_of_crop,
    counts_of_polygons,
    counts_of_rle,
    crop_of_counts,
)

__all__ = [
    "Key", "Masks", "bit_count", "fits", "label_boxes", "label_runs", "pack", "select_indices",
    "tighten",
]  # fmt: skip


_BAND_PIXELS = 1 << 20  # a label map is searched in bands of this size, to bound memory
Key = int | np.integer | slice | Sequence[int] | Sequence[bool] | NDArray[np.generic]


def select_indices(key: Key, count: int) -> NDArray[np.intp]:
    """Return the indices, (M,), that a key of NumPy's kind selects among `count` things.

    An empty list selects none. Raises IndexError for an index out of range, a bool array of
    another length, and floats, as NumPy does.
    """
    if not isinstance(key, int | np.integer | slice):
        key = np.asarray(key)
        if not key.size and key.dtype != np.bool_:
            key = key.astype(np.intp)
    return np.atleast_1d(np.arange(count)[key])


@dataclass(frozen=True, eq=False)
class Masks:
    """N masks of one picture of H x W pixels.

    size_hw: (H, W).
    boxes_xyxy: (N, 4) int32, tight and half-open (x0, y0, x1, y1); an empty mask is 0, 0, 0, 0.
    packed: N arrays of uint8, (y1 - y0, ceil(x1 / 8) - floor(x0 / 8)): a row of the crop a row,
        eight pixels a byte, first pixel in the highest bit. The bytes lie on the picture's own
        grid of eight columns, so that any two masks can be compared byte by byte.

    Build one with `from_dense`, `from_crops`, `from_labels`, `from_rle`, `from_polygons`, `empty`
    or `concat`. Raises InputError when the parts do not fit together.
    """

    size_hw: tuple[int, int]
    boxes_xyxy: NDArray[np.int32]
    packed: tuple[NDArray[np.uint8], ...]

    def __post_init__(self) -> None:
        height, width = (int(side) for side in self.size_hw)
        if height < 1 or width < 1:
            raise InputError(f"masks of {height} x {width} pixels; a picture has at least 1 x 1")
        boxes = np.array(self.boxes_xyxy, np.int32).reshape(-1, 4)
        packed = tuple(self.packed)
        if len(boxes) != len(packed):
            raise InputError(f"{len(boxes)} boxes for {len(packed)} crops; give one for each")
        x0, y0, x1, y1 = boxes.T
        empty = ~boxes.any(axis=1)
        inside = (x0 >= 0) & (y0 >= 0) & (x0 < x1) & (y0 < y1) & (x1 <= width) & (y1 <= height)
        wrong = np.flatnonzero(~(inside | empty))
        if len(wrong):
            raise InputError(
                f"box {boxes[wrong[0]].tolist()} does not lie in a picture of {height} x {width} "
                "pixels (height x width); give x0, y0, x1, y1"
            )
        for box, bits in zip(boxes.tolist(), packed, strict=True):
            if not fits(box, bits):
                raise InputError(
                    f"a packed crop of shape {bits.shape} is not the tight content of box {box}; "
                    "build masks with Masks.from_dense, from_crops, from_labels or from_rle"
                )
        boxes.flags.writeable = False
        for bits in packed:
            bits.flags.writeable = False
        object.__setattr__(self, "size_hw", (height, width))
        object.__setattr__(self, "boxes_xyxy", boxes)
        object.__setattr__(self, "packed", packed)

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> Masks:
        """Return no masks of a picture of H x W pixels."""
        return cls(size_hw, np.zeros((0, 4), np.int32), ())

    @classmethod
    def from_dense(cls, dense: NDArray[np.bool_]) -> Masks:
        """Return the masks of a (N, H, W) bool array."""
        dense = np.asarray(dense)
        if dense.ndim != 3 or dense.dtype != np.bool_:
            raise InputError(
                f"masks of shape {dense.shape} and type {dense.dtype}; give a (N, H, W) array of "
                "bool, for one mask mask[None] > 0"
            )
        corners = np.zeros((len(dense), 2), np.int64)
        return cls.from_crops((dense.shape[1], dense.shape[2]), corners, dense)

    @classmethod
    def from_crops(
        cls, size_hw: tuple[int, int], corners_xy: ArrayLike, crops: Iterable[NDArray[np.bool_]]
    ) -> Masks:
        """Return masks from N bool arrays, (h, w) each, whose first pixels lie at `corners_xy`.

        corners_xy: (N, 2) int, x and y in the picture. The crops may be looser than the masks.
        """
        corners = np.asarray(corners_xy, np.int64).reshape(-1, 2).tolist()
        return cls._from_placed(
            size_hw, ((crop, x, y) for (x, y), crop in zip(corners, crops, strict=True))
        )

    @classmethod
    def _from_placed(
        cls, size_hw: tuple[int, int], placed: Iterable[tuple[NDArray[np.bool_], int, int]]
    ) -> Masks:
        """Return masks from crops and their x0, y0, packing one before the next is taken."""
        height, width = size_hw
        boxes: list[tuple[int, int, int, int]] = []
        packed: list[NDArray[np.uint8]] = []
        for crop, x, y in placed:
            if crop.dtype != np.bool_ or crop.ndim != 2:
                raise InputError(f"a crop of shape {crop.shape}, {crop.dtype}; give (h, w) bool")
            if x < 0 or y < 0 or y + crop.shape[0] > height or x + crop.shape[1] > width:
                raise InputError(
                    f"a crop of {crop.shape[0]} x {crop.shape[1]} pixels at x {x}, y {y} leaves "
                    f"the picture of {height} x {width}; cut it to the picture first"
                )
            box, bits = tighten(pack(crop, x), x // 8, y)
            boxes.append(box)
            packed.append(bits)
        return cls(size_hw, np.array(boxes, np.int32), tuple(packed))

    @classmethod
    def from_labels(cls, label_map: NDArray[np.integer], values: Iterable[int]) -> Masks:
        """Return one mask for each of `values`: the pixels of the (H, W) map that hold it.

        One pass over the map finds every box, so time does not grow with values times pixels.
        A value that the map does not hold gives an empty mask.
        """
        label_map = np.asarray(label_map)
        if label_map.ndim != 2 or not np.issubdtype(label_map.dtype, np.integer):
            raise InputError(
                f"a label map of shape {label_map.shape} and type {label_map.dtype}; give a "
                "(H, W) array of whole numbers"
            )
        wanted = np.fromiter(values, np.int64)
        known, which = np.unique(wanted, return_inverse=True)
        boxes = label_boxes(label_map, known)[which]
        packed: list[NDArray[np.uint8]] = []
        for (x0, y0, x1, y1), value in zip(boxes.tolist(), wanted.tolist(), strict=True):
            crop = label_map[y0:y1, x0:x1] == value
            packed.append(pack(crop, x0))
        return cls((label_map.shape[0], label_map.shape[1]), boxes, tuple(packed))

    @classmethod
    def from_rle(
        cls, rles: Sequence[Mapping[str, object]], size_hw: tuple[int, int] | None = None
    ) -> Masks:
        """Return masks from COCO run lengths: {"size": [H, W], "counts": ...}.

        counts: the compressed string (or bytes), or the plain list of run lengths.
        size_hw: needed only where `rles` is empty.
        """
        sizes = {tuple(np.asarray(rle["size"], np.int64).tolist()) for rle in rles}
        if size_hw is not None:
            sizes.add((int(size_hw[0]), int(size_hw[1])))
        if len(sizes) != 1 or len(size := sizes.pop()) != 2:
            raise InputError(
                f"run lengths of {len(sizes)} sizes; give those of one picture, and size_hw for "
                "an empty list"
            )
        return cls._from_placed(size, (crop_of_counts(counts_of_rle(rle), size) for rle in rles))

    @classmethod
    def from_polygons(
        cls, shapes: Iterable[Sequence[Sequence[float]]], size_hw: tuple[int, int]
    ) -> Masks:
        """Return one mask for each shape: the union of its polygons, as pycocotools fills them.

        A polygon is x, y, x, y, ... in pixels, (0, 0) being the upper left corner of the image.
        It may leave the image. Raises InputError for what is no polygon.
        """
        size = (int(size_hw[0]), int(size_hw[1]))
        return cls._from_placed(
            size, (crop_of_counts(counts_of_polygons(shape, size), size) for shape in shapes)
        )

    @classmethod
    def concat(cls, several: Iterable[Masks]) -> Masks:
        """Return the masks of one or more Masks of the same picture, in order."""
        parts = list(several)
        sizes = {part.size_hw for part in parts}
        if len(sizes) != 1:
            raise InputError(
                f"masks of {len(sizes)} picture sizes {sorted(sizes)}; join those of one picture"
            )
        boxes = np.concatenate([part.boxes_xyxy for part in parts])
        return cls(sizes.pop(), boxes, tuple(bits for part in parts for bits in part.packed))

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, key: Key) -> Masks:
        """Return the selected masks as Masks, also for a single number."""
        indices = select_indices(key, len(self))
        packed = tuple(self.packed[i] for i in indices)
        return Masks(self.size_hw, self.boxes_xyxy[indices], packed)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        """Yield each mask as a (H, W) bool array, one at a time."""
        return (self.mask(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Masks({len(self)} of {self.size_hw[0]} x {self.size_hw[1]} pixels)"

    def crop(self, i: int) -> NDArray[np.bool_]:
        """Return mask i inside its box, (y1 - y0, x1 - x0) bool."""
        x0, _, x1, _ = self.boxes_xyxy[i].tolist()
        bits = np.unpackbits(self.packed[i], axis=1)
        return bits[:, x0 % 8 : x0 % 8 + x1 - x0].view(np.bool_)

    @property
    def crops(self) -> tuple[NDArray[np.bool_], ...]:
        """Every mask inside its box; see `crop` for one at a time."""
        return tuple(self.crop(i) for i in range(len(self)))

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Return mask i over the whole picture, (H, W) bool."""
        out = np.zeros(self.size_hw, np.bool_)
        x0, y0, x1, y1 = self.boxes_xyxy[i].tolist()
        out[y0:y1, x0:x1] = self.crop(i)
        return out

    def dense(self) -> NDArray[np.bool_]:
        """Return every mask over the whole picture, (N, H, W) bool: N * H * W bytes."""
        out = np.zeros((len(self), *self.size_hw), np.bool_)
        for i, (x0, y0, x1, y1) in enumerate(self.boxes_xyxy.tolist()):
            out[i, y0:y1, x0:x1] = self.crop(i)
        return out

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels in each mask, (N,) int64."""
        return np.array([bit_count(bits) for bits in self.packed], np.int64)

    def union(self) -> NDArray[np.bool_]:
        """Return the pixels that are in any mask, (H, W) bool."""
        height, width = self.size_hw
        out = np.zeros((height, -(-width // 8)), np.uint8)
        for (x0, y0, _, y1), bits in zip(self.boxes_xyxy.tolist(), self.packed, strict=True):
            out[y0:y1, x0 // 8 : x0 // 8 + bits.shape[1]] |= bits
        return np.unpackbits(out, axis=1, count=width).view(np.bool_)

    def within(self, region: NDArray[np.bool_]) -> Masks:
        """Return each mask without its pixels outside a region, (H, W) bool; all may go."""
        if region.shape != self.size_hw or region.dtype != np.bool_:
            raise InputError(
                f"a region of shape {region.shape} and type {region.dtype} for masks of "
                f"{self.size_hw}; give (H, W) bool"
            )
        boxes = self.boxes_xyxy.tolist()
        crops = (self.crop(i) & region[y0:y1, x0:x1] for i, (x0, y0, x1, y1) in enumerate(boxes))
        return Masks.from_crops(self.size_hw, self.boxes_xyxy[:, :2], crops)

    def iou(self, other: Masks) -> NDArray[np.float64]:
        """Return intersection over union with each mask of `other`, (N, M), in [0, 1].

        Two empty masks have 0. Raises InputError when the pictures differ in size.
        """
        if self.size_hw != other.size_hw:
            raise InputError(f"masks of {self.size_hw} against {other.size_hw}; give one picture")
        common = np.zeros((len(self), len(other)), np.int64)
        mine, theirs = self.boxes_xyxy[:, None], other.boxes_xyxy[None]
        low = np.maximum(mine[..., :2], theirs[..., :2])
        high = np.minimum(mine[..., 2:], theirs[..., 2:])
        for i, j in np.argwhere((low < high).all(axis=-1)).tolist():
            (xa, ya), (xb, yb) = low[i, j].tolist(), high[i, j].tolist()
            shared = self._window(i, xa, ya, xb, yb) & other._window(j, xa, ya, xb, yb)
            common[i, j] = bit_count(shared)
        either = self.areas[:, None] + other.areas[None] - common
        ratio: NDArray[np.float64] = common / np.maximum(either, 1)
        return ratio

    def _window(self, i: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Return the bytes of mask i over a window inside its box; further bits are its own."""
        left, top, _, _ = self.boxes_xyxy[i].tolist()
        return self.packed[i][y0 - top : y1 - top, x0 // 8 - left // 8 : -(-x1 // 8) - left // 8]

    def to_rle(self) -> list[Rle]:
        """Return N compressed COCO run lengths: {"size": [H, W], "counts": str}."""
        return [
            compress(counts_of_crop(self.crop(i), x0, y0, self.size_hw), self.size_hw)
            for i, (x0, y0, _, _) in enumerate(self.boxes_xyxy.tolist())
        ]


def pack(crop: NDArray[np.bool_], x0: int) -> NDArray[np.uint8]:
    """Return an (h, w) bool crop, whose first column is x0, as bytes on the picture's grid."""
    height, width = crop.shape
    if not x0 % 8:
        return np.packbits(crop, axis=1)
    shifted = np.zeros((height, x0 % 8 + width), np.bool_)
    shifted[:, x0 % 8 :] = crop
    return np.packbits(shifted, axis=1)


def tighten(
    bits: NDArray[np.uint8], byte0: int, y0: int
) -> tuple[tuple[int, int, int, int], NDArray[np.uint8]]:
    """Return the tight box of packed rows whose first byte is at column 8 * byte0, and its bytes.

    Outside the box all bits are 0, so cutting at whole bytes loses nothing.
    """
    rows = np.flatnonzero(bits.any(axis=1))
    if not len(rows):
        return (0, 0, 0, 0), np.zeros((0, 0), np.uint8)
    columns = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(bits, axis=0)))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = (8 * byte0 + left, y0 + top, 8 * byte0 + right, y0 + bottom)
    return box, bits[top:bottom, left // 8 : -(-right // 8)].copy()


def fits(box: list[int], bits: NDArray[np.uint8]) -> bool:
    """Tell whether packed bytes are the tight content of a box."""
    x0, y0, x1, y1 = box
    if bits.dtype != np.uint8 or bits.shape != (y1 - y0, -(-x1 // 8) - x0 // 8):
        return False
    if not bits.size:
        return True
    first, last = np.bitwise_or.reduce(bits[:, :: max(bits.shape[1] - 1, 1)], axis=0)[[0, -1]]
    end = 7 - (x1 - 1) % 8  # bits of the last byte that lie beyond the box
    return bool(
        int(first) >> (7 - x0 % 8) == 1
        and int(last) & ((2 << end) - 1) == 1 << end
        and bits[0].any()
        and bits[-1].any()
    )


def bit_count(bits: NDArray[np.uint8]) -> int:
    """Return the number of set bits, eight bytes at a time."""
    flat = np.ascontiguousarray(bits).reshape(-1)
    whole = len(flat) // 8 * 8
    words = np.bitwise_count(flat[:whole].view(np.uint64))
    return int(words.sum(dtype=np.int64) + np.bitwise_count(flat[whole:]).sum(dtype=np.int64))


def label_runs(
    label_map: NDArray[np.integer],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the runs of a (H, W) map, band by band: neighbours in a row that hold the same value.

    start, stop: (R,), places in the map counted row by row. value: (R,).
    """
    height, width = label_map.shape
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        band = np.ascontiguousarray(label_map[top : top + rows])
        begins = np.ones(band.shape, np.bool_)
        np.not_equal(band[:, 1:], band[:, :-1], out=begins[:, 1:])
        start = np.flatnonzero(begins)
        value = band.reshape(-1)[start].astype(np.int64)
        yield start + top * width, np.append(start[1:], band.size) + top * width, value


def label_boxes(label_map: NDArray[np.integer], values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the tight boxes, (V, 4), of sorted values in a (H, W) map; absent ones are zeros."""
    height, width = label_map.shape
    x0, x1 = np.full(len(values), width), np.zeros(len(values), np.int64)
    y0, y1 = np.full(len(values), height), np.zeros(len(values), np.int64)
    for start, stop, value in label_runs(label_map) if len(values) else ():
        which = np.minimum(np.searchsorted(values, value), len(values) - 1)
        wanted = values[which] == value
        which, start, stop = which[wanted], start[wanted], stop[wanted]
        y = start // width
        np.minimum.at(x0, which, start - y * width)
        np.maximum.at(x1, which, stop - y * width)
        np.minimum.at(y0, which, y)
        np.maximum.at(y1, which, y + 1)
    boxes = np.stack([x0, y0, x1, y1], axis=1).astype(np.int32)
    boxes[x1 == 0] = 0
    return boxes
