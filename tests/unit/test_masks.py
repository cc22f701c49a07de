"""Masks against dense arrays, slow obvious code, and pycocotools."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from lexiseg.errors import InputError
from lexiseg.masks import Masks, label_boxes
from lexiseg.masks.masks import pack
from lexiseg.masks.rle import compress, decompress

Dense = NDArray[np.bool_]


def some_dense(size_hw: tuple[int, int], seed: int = 0) -> Dense:
    """Masks of every awkward kind, and random ones."""
    height, width = size_hw
    rng = np.random.default_rng(seed)
    ring = np.zeros(size_hw, bool)
    ring[1:-1, 1:-1] = True
    ring[height // 3 : height // 2, width // 3 : width // 2] = False
    corner = np.zeros(size_hw, bool)
    corner[-1, -1] = True
    first = np.zeros(size_hw, bool)
    first[0, 0] = True
    columns = np.zeros(size_hw, bool)
    columns[:, 2:5] = True
    rows = np.zeros(size_hw, bool)
    rows[3:5] = True
    noise = [rng.random(size_hw) < p for p in (0.001, 0.1, 0.5, 0.9)]
    return np.stack(
        [
            ring,
            np.zeros(size_hw, bool),
            np.ones(size_hw, bool),
            corner,
            first,
            columns,
            rows,
            *noise,
        ]
    )


SIZES = [(7, 19), (40, 23), (33, 64), (64, 8), (6, 200)]


@pytest.mark.parametrize("size_hw", SIZES)
def test_dense_masks_come_back_exactly(size_hw: tuple[int, int]) -> None:
    dense = some_dense(size_hw)
    masks = Masks.from_dense(dense)
    assert len(masks) == len(dense)
    assert masks.size_hw == size_hw
    np.testing.assert_array_equal(masks.dense(), dense)
    np.testing.assert_array_equal(np.stack(list(masks)), dense)
    np.testing.assert_array_equal(masks.areas, dense.sum(axis=(1, 2)))
    np.testing.assert_array_equal(masks.union(), dense.any(axis=0))
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        ys, xs = np.nonzero(dense[i])
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 0, 0)
        assert (x0, y0, x1, y1) == expected
        np.testing.assert_array_equal(masks.crop(i), dense[i, y0:y1, x0:x1])
        np.testing.assert_array_equal(masks.crops[i], masks.crop(i))
        assert masks.crop(i).dtype == np.bool_


def test_a_hand_worked_mask() -> None:
    dense = np.zeros((1, 3, 12), bool)
    dense[0, 1, 7] = dense[0, 1, 9] = dense[0, 2, 8] = True
    masks = Masks.from_dense(dense)
    assert masks.boxes_xyxy.tolist() == [[7, 1, 10, 3]]
    assert masks.crop(0).astype(int).tolist() == [[1, 0, 1], [0, 1, 0]]
    # columns 0..7 are the first byte, 8..15 the second
    assert masks.packed[0].tolist() == [[0b00000001, 0b01000000], [0, 0b10000000]]
    # column by column: 22 zeros, 1 (x 7), 3 zeros, 1 (x 8, y 2), 1 zero, 1 (x 9, y 1), 7 zeros
    assert decompress(masks.to_rle()[0]["counts"]).tolist() == [22, 1, 3, 1, 1, 1, 7]


def test_crops_may_be_loose_and_lie_anywhere() -> None:
    crop = np.zeros((5, 9), bool)
    crop[2, 3:6] = True
    masks = Masks.from_crops((20, 40), [(30, 15), (0, 0), (11, 2)], [crop, crop, crop[:0]])
    assert masks.boxes_xyxy.tolist() == [[33, 17, 36, 18], [3, 2, 6, 3], [0, 0, 0, 0]]
    assert masks.mask(0)[17, 33:36].all()
    assert masks.areas.tolist() == [3, 3, 0]
    for corner in [(32, 15), (30, 16), (-1, 0), (0, -1)]:
        with pytest.raises(InputError, match="leaves the picture of 20 x 40"):
            Masks.from_crops((20, 40), [corner], [crop])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.int64])
def test_from_labels_is_one_comparison_a_value(dtype: type) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, (31, 45)).repeat(3, 0).repeat(2, 1).astype(dtype)
    labels[labels == 4] = 5
    values = [5, 0, 4, 5, 77, 2]
    masks = Masks.from_labels(labels, values)
    np.testing.assert_array_equal(masks.dense(), np.stack([labels == v for v in values]))
    assert len(Masks.from_labels(labels, [])) == 0


def test_from_labels_finds_negative_values_in_views_and_across_bands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lexiseg.masks.masks._BAND_PIXELS", 50)
    labels = np.random.default_rng(2).integers(-1, 3, (60, 40))[::2, ::-1]
    masks = Masks.from_labels(labels, [-1, 1])
    np.testing.assert_array_equal(masks.dense(), np.stack([labels == -1, labels == 1]))


def test_choosing_masks() -> None:
    dense = some_dense((21, 34))
    masks = Masks.from_dense(dense)
    every = len(dense)
    keep = masks.areas > 40
    for key in [keep, np.array([3, 0, 0]), [1, 2], slice(2, None, 3), slice(0, 0), [], list(keep)]:
        index = np.array(key, int) if isinstance(key, list) and not key else key
        expected = dense[np.arange(every)[index]]
        np.testing.assert_array_equal(masks[key].dense(), expected)
    one = masks[-1]
    assert isinstance(one, Masks)
    np.testing.assert_array_equal(one.dense(), dense[-1:])
    np.testing.assert_array_equal(masks[np.int64(2)].mask(0), dense[2])
    with pytest.raises(IndexError):
        masks[every]
    with pytest.raises(IndexError):
        masks[np.ones(every + 1, bool)]
    with pytest.raises(IndexError):
        masks[np.array([0.5])]


def test_concat_and_empty() -> None:
    dense = some_dense((9, 17))
    masks = Masks.from_dense(dense)
    both = Masks.concat([masks[:4], Masks.empty((9, 17)), masks[4:]])
    np.testing.assert_array_equal(both.dense(), dense)
    none = Masks.empty((9, 17))
    assert len(none) == 0
    assert none.dense().shape == (0, 9, 17)
    assert none.areas.shape == (0,)
    assert none.boxes_xyxy.shape == (0, 4)
    assert none.union().shape == (9, 17)
    assert not none.union().any()
    assert none.iou(masks).shape == (0, len(masks))
    assert none.to_rle() == []
    for wrong in ([], [masks, Masks.empty((17, 9))]):
        with pytest.raises(InputError, match="picture sizes"):
            Masks.concat(wrong)


@pytest.mark.parametrize("size_hw", SIZES)
def test_iou_is_the_dense_one(size_hw: tuple[int, int]) -> None:
    left, right = some_dense(size_hw, 3), some_dense(size_hw, 4)[::-1]
    found = Masks.from_dense(left).iou(Masks.from_dense(right))
    assert found.shape == (len(left), len(right))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            either = (a | b).sum()
            assert found[i, j] == ((a & b).sum() / either if either else 0.0)
    with pytest.raises(InputError, match="give one picture"):
        Masks.from_dense(left).iou(Masks.empty((3, 3)))


@pytest.mark.parametrize("size_hw", SIZES)
def test_run_lengths_are_those_of_pycocotools(size_hw: tuple[int, int]) -> None:
    dense = some_dense(size_hw, 5)
    masks = Masks.from_dense(dense)
    rles = masks.to_rle()
    for rle, one in zip(rles, dense, strict=True):
        theirs = coco.encode(np.asfortranarray(one.astype(np.uint8)))
        assert rle == {"size": list(theirs["size"]), "counts": theirs["counts"].decode()}
    np.testing.assert_array_equal(Masks.from_rle(rles).dense(), dense)
    in_bytes = [{**rle, "counts": rle["counts"].encode()} for rle in rles]
    np.testing.assert_array_equal(Masks.from_rle(in_bytes).dense(), dense)
    plain = [{**rle, "counts": decompress(rle["counts"]).tolist()} for rle in rles]
    np.testing.assert_array_equal(Masks.from_rle(plain).dense(), dense)


def test_run_lengths_with_empty_runs_inside() -> None:
    counts = [0, 0, 2, 3, 0, 4, 1, 0, 2]  # ones: 2..4 and 5..8 touch; then nothing
    masks = Masks.from_rle([{"size": [4, 3], "counts": counts}])
    flat = np.zeros(12, bool)
    flat[2:9] = True
    np.testing.assert_array_equal(masks.mask(0), flat.reshape(3, 4).T)
    assert Masks.from_rle([], (5, 6)).size_hw == (5, 6)


@pytest.mark.parametrize("biggest", [1, 15, 16, 17, 511, 512, 513, 10**5, 10**7])
def test_compressed_counts_come_back(biggest: int) -> None:
    rng = np.random.default_rng(biggest)
    for length in (1, 2, 3, 4, 5, 50):
        counts = rng.integers(0, biggest + 1, length)
        size_hw = (1, max(1, int(counts.sum())))
        np.testing.assert_array_equal(decompress(compress(counts, size_hw)["counts"]), counts)
    np.testing.assert_array_equal(decompress(""), [])


def test_run_lengths_of_the_largest_image() -> None:
    counts = np.array([2**29 - 3, 1])  # the longest run, and the largest step from one to another
    counts = np.append(counts, [0, 0, 1])
    np.testing.assert_array_equal(
        decompress(compress(counts, (1, 2**29 - 1))["counts"]), [2**29 - 3, 1, 0, 0, 1]
    )
    with pytest.raises(InputError, match=r"16384 x 32768 pixels.*cut the image into tiles"):
        compress(np.array([2**29]), (2**14, 2**15))


@pytest.mark.parametrize(
    ("rle", "says"),
    [
        ({"size": [4, 3], "counts": [5, 6]}, "sum to 11"),
        ({"size": [4, 3], "counts": [15, -3]}, "smallest -3"),
        ({"size": [4, 3], "counts": "o"}, "not a whole"),
        ({"size": [4, 3], "counts": "<é"}, "not a whole"),
        ({"size": [4, 3], "counts": "o" * 40 + "0"}, "beyond any picture"),
        ({"size": [4, 3, 3], "counts": "<"}, "sizes"),
    ],
)
def test_damaged_run_lengths_are_refused(rle: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Masks.from_rle([rle])


def test_run_lengths_of_two_pictures_are_refused() -> None:
    rles = [Masks.from_dense(np.ones((1, h, 3), bool)).to_rle()[0] for h in (4, 5)]
    with pytest.raises(InputError, match="2 sizes"):
        Masks.from_rle(rles)
    with pytest.raises(InputError, match="0 sizes"):
        Masks.from_rle([])


def test_masks_are_checked_at_birth() -> None:
    bits = np.array([[0b01000000], [0b00100000]], np.uint8)
    good = Masks((4, 5), np.array([[1, 1, 3, 3]]), (bits,))
    assert good.areas.tolist() == [2]
    for box in ([0, 1, 3, 3], [1, 1, 4, 3], [1, 1, 3, 4], [2, 1, 3, 3], [1, 1, 2, 3]):
        with pytest.raises(InputError, match="tight content"):
            Masks((4, 5), np.array([box]), (bits,))
    for box in ([1, 3, 3, 5], [3, 1, 1, 3], [-7, 1, -5, 3], [1, 2, 3, 2]):
        with pytest.raises(InputError, match="does not lie in a picture"):
            Masks((4, 5), np.array([box]), (bits,))
    with pytest.raises(InputError, match="tight content"):
        Masks((4, 5), np.array([[1, 1, 3, 3]]), (bits * 0,))
    with pytest.raises(InputError, match="2 boxes for 1 crops"):
        Masks((4, 5), np.zeros((2, 4)), (bits,))
    with pytest.raises(InputError, match="at least 1 x 1"):
        Masks.empty((0, 5))


@pytest.mark.parametrize("wrong", [np.zeros((4, 5), bool), np.zeros((1, 4, 5), np.uint8)])
def test_from_dense_refuses_other_arrays(wrong: Dense) -> None:
    with pytest.raises(InputError, match="give a \\(N, H, W\\) array of bool"):
        Masks.from_dense(wrong)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="label map"):
        Masks.from_labels(np.zeros((4, 5)), [1])
    with pytest.raises(InputError, match="give \\(h, w\\) bool"):
        Masks.from_crops((4, 5), [(0, 0)], [np.zeros((2, 2), np.uint8)])


def test_masks_are_frozen_and_can_be_sent() -> None:
    dense = some_dense((12, 31))
    masks = Masks.from_dense(dense)
    dense_before = dense.copy()
    dense[:] = False
    np.testing.assert_array_equal(masks.dense(), dense_before)
    with pytest.raises(ValueError, match="read-only"):
        masks.boxes_xyxy[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        masks.packed[0][:] = 0
    again = pickle.loads(pickle.dumps(masks))
    np.testing.assert_array_equal(again.dense(), dense_before)
    assert repr(masks) == "Masks(11 of 12 x 31 pixels)"


def tiles(size_hw: tuple[int, int], down: int, across: int) -> NDArray[np.int16]:
    """Return a label map, (H, W), of down x across tiles, each with a hole; -1 between them."""
    labels = np.full(size_hw, -1, np.int16)
    high, wide = size_hw[0] // down, size_hw[1] // across
    for i in range(down * across):
        y, x = i // across * high, i % across * wide
        labels[y : y + high - 13, x : x + wide - 25] = i
        labels[y + high // 5 : y + high // 2, x + wide // 5 : x + wide // 2] = -1
    return labels


def test_a_large_image_stays_compact() -> None:
    size_hw, count = (3_000, 4_500), 12 * 15
    labels = tiles(size_hw, 12, 15)
    area = (labels == 0).sum()
    tracemalloc.start()
    masks = Masks.from_labels(labels, range(count))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    again = Masks.from_rle(masks.to_rle())
    _, peak_of_rle = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert masks.areas.tolist() == [area] * count
    bits = sum((y1 - y0) * (x1 - x0) for x0, y0, x1, y1 in masks.boxes_xyxy.tolist()) / 8
    assert kept < 1.3 * bits  # one bit a pixel of the crops; N x H x W bytes would be 2.4 GB
    assert peak < labels.nbytes  # bands of it, and their runs
    assert peak_of_rle < 4 * bits + 0.2 * labels.size  # packed one by one
    np.testing.assert_array_equal(masks.iou(masks), np.eye(count))
    np.testing.assert_array_equal(again.boxes_xyxy, masks.boxes_xyxy)
    np.testing.assert_array_equal(again.mask(count - 1), labels == count - 1)


def test_labels_are_searched_in_one_pass_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lexiseg.masks import masks as module

    searched, packed = [], []
    monkeypatch.setattr(
        module, "label_boxes", lambda *given: searched.append(given) or label_boxes(*given)
    )
    monkeypatch.setattr(module, "pack", lambda crop, x0: packed.append(crop.size) or pack(crop, x0))
    labels = tiles((300, 450), 12, 15)
    assert len(Masks.from_labels(labels, range(12 * 15))) == 12 * 15
    assert len(searched) == 1
    assert sum(packed) <= labels.size  # the crops together; a comparison a value takes 180 maps


def test_boxes_of_labels() -> None:
    labels = np.array([[4, 4, -1, 2], [-1, 4, -1, 7], [2, -1, -1, -1]], np.int32)
    boxes = label_boxes(labels, np.array([2, 3, 4, 7]))
    assert boxes.tolist() == [[0, 0, 4, 3], [0, 0, 0, 0], [0, 0, 2, 2], [3, 1, 4, 2]]


SQUARE = [1.0, 1.0, 5.0, 1.0, 5.0, 3.0, 1.0, 3.0]  # x 1..4, y 1..2


def slow_fill(polygon: list[float], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centre lies inside by the even-odd rule: a ray from each."""
    corners = list(zip(polygon[::2], polygon[1::2], strict=True))
    out = np.zeros(size_hw, np.bool_)
    for row in range(size_hw[0]):
        for column in range(size_hw[1]):
            x, y = column + 0.5, row + 0.5
            for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
                if (ya <= y) != (yb <= y) and x < xa + (y - ya) / (yb - ya) * (xb - xa):
                    out[row, column] ^= True
    return out


def test_polygons_by_hand() -> None:
    masks = Masks.from_polygons(
        [
            [SQUARE],
            [SQUARE, [2, 1, 7, 1, 7, 3, 2, 3]],  # two parts of one thing
            [[-3, -3, 20, -3, 20, 2, -3, 2]],  # beyond the image
            [[20, 20, 30, 20, 30, 30], [1, 1, 1, 1, 1, 1], [1, 2, 3, 4], []],
            [],
        ],
        (5, 8),
    )
    assert masks.boxes_xyxy.tolist() == [
        [1, 1, 5, 3],
        [1, 1, 7, 3],
        [0, 0, 8, 2],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert masks.areas.tolist() == [8, 12, 16, 0, 0]
    assert len(Masks.from_polygons([], (5, 8))) == 0


def test_polygons_agree_with_slow_code_up_to_the_outline() -> None:
    rng = np.random.default_rng(2)
    for _ in range(8):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
        radius = rng.uniform(12, 30, 14)
        corners = np.stack([45 + radius * np.cos(angles), 35 + radius * np.sin(angles)], 1)
        polygon = corners.ravel().tolist()
        ours = Masks.from_polygons([[polygon]], (70, 90)).mask(0)
        length = np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum()
        wrong = (ours != slow_fill(polygon, (70, 90))).sum()
        assert wrong < 0.2 * length  # of the pixels that the outline runs through


@pytest.mark.parametrize(
    ("polygon", "says"),
    [
        ([1, 1, 5, 1, 5, 3, 1], "give numbers x, y"),
        ([1, 1, 5, 1, "a", 3], "give numbers x, y"),
        ([1, 1, 5, 1, float("nan"), 3], "give finite pixels"),
        ([1, 1, 5, 1, float("inf"), 3], "coordinate of inf"),
        ([1, 1, 5, 1, 1e12, 3], "at most 4194304"),
        ([0, 0, 2e6, 2e6] * 3, "outline of 1.2e\\+07"),
    ],
)
def test_polygons_that_cannot_be_filled_are_refused(polygon: list[Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Masks.from_polygons([[polygon]], (5, 8))


def test_masks_within_a_region() -> None:
    rng = np.random.default_rng(3)
    dense = rng.random((4, 17, 29)) < 0.3
    dense[2, :, :15] = False
    region = np.zeros((17, 29), np.bool_)
    region[3:12, :15] = rng.random((9, 15)) < 0.8
    got = Masks.from_dense(dense).within(region)
    assert (got.dense() == (dense & region)).all()
    assert got.areas[2] == 0
    assert len(Masks.empty((17, 29)).within(region)) == 0
    with pytest.raises(InputError, match="give \\(H, W\\) bool"):
        got.within(region.T)
