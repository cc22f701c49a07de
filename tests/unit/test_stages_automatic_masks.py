"""Masks of everything: crops, suppression, specks, and filters, against slow obvious code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tests.device_double import DeviceDouble
from tests.flood import FloodMasker

from lexiseg.masks import Masks
from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.automatic_masks import PRESETS, AutomaticMaskSettings, crops, generate_masks
from lexiseg.stages.nms import nms
from lexiseg.stages.small_regions import without_small_regions


def slow_suppression(boxes: NDArray[np.int64], scores: NDArray[np.float32], limit: float) -> list:
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for i in order:
        good = True
        for j in kept:
            a, b = boxes[i], boxes[j]
            w = min(a[2], b[2]) - 1 - max(a[0], b[0])
            h = min(a[3], b[3]) - 1 - max(a[1], b[1])
            common = max(w, 0) * max(h, 0)
            sizes = [(c[2] - 1 - c[0]) * (c[3] - 1 - c[1]) for c in (a, b)]
            if sum(sizes) - common and common / (sum(sizes) - common) > limit:
                good = False
        if good:
            kept.append(i)
    return kept


def test_suppression_equals_the_slow_way() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 40, 300):
        low = rng.integers(0, 15, (count, 2))
        boxes = np.concatenate([low, low + rng.integers(1, 40, (count, 2))], 1)
        scores = rng.integers(0, 20, count).astype(np.float32)  # many ties
        for limit in (0.3, 0.7):
            got = nms(boxes, scores, limit)
            assert got.tolist() == slow_suppression(boxes, scores, limit)
            assert count < 40 or 0 < len(got) < count


def test_what_is_refused_suppresses_nothing() -> None:
    rng = np.random.default_rng(2)
    low = rng.integers(0, 12, (120, 2))
    boxes = np.concatenate([low, low + rng.integers(5, 30, (120, 2))], 1)
    scores = rng.random(120).astype(np.float32)
    good = rng.random(120) < 0.6
    left = np.flatnonzero(good)
    want = left[slow_suppression(boxes[left], scores[left], 0.4)].tolist()
    counts = {}
    for at_once in (1, 7, 200):
        asked: list[list[int]] = []

        def keep(which: NDArray[np.int64], asked: list[list[int]] = asked) -> NDArray[np.bool_]:
            asked.append(which.tolist())
            return good[which]

        assert nms(boxes, scores, 0.4, keep, at_once=at_once).tolist() == want
        assert max(map(len, asked)) <= at_once
        every = [i for part in asked for i in part]
        assert len(set(every)) == len(every), "nothing is asked twice"
        assert [scores[i] for i in every] == sorted(scores[every], reverse=True)
        counts[at_once] = len(every)
    assert len(want) < counts[1] < 100, "the suppressed ones are not asked about"
    assert counts[1] <= counts[7] <= counts[200] == 120


def slow_specks(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Each part of the whole picture on its own, corners included."""
    mask = mask.copy()
    count, parts = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=8)
    for i in range(1, count):
        if (parts == i).sum() < least:
            mask[parts == i] = True
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    sizes = [int((parts == i).sum()) for i in range(1, count)]
    if not sizes:
        return mask
    large = [i + 1 for i, size in enumerate(sizes) if size >= least]
    return np.isin(parts, large or [1 + int(np.argmax(sizes))])


def test_specks_equal_the_slow_way() -> None:
    rng = np.random.default_rng(1)
    dense = []
    for i in range(60):
        noise = cv2.GaussianBlur(rng.normal(size=(31, 47)).astype(np.float32), (0, 0), 1 + i % 3)
        mask = noise > np.quantile(noise, rng.uniform(0.05, 0.97))
        if i % 4 == 0:  # small ones, which leave much of the picture outside their box
            mask[:, 12:] = False
            mask[9:] = False
        dense.append(mask)
    masks = Masks.from_dense(np.array(dense))
    for least in (3, 12, 60):
        got, changed = without_small_regions(masks, least)
        want = np.array([slow_specks(mask, least) for mask in dense])
        np.testing.assert_array_equal(got.dense(), want)
        np.testing.assert_array_equal(changed, (want != dense).any((1, 2)))
        assert changed.any()


def test_crops_by_hand() -> None:
    assert crops((60, 90), 0, 0.5) == [(0, (0, 0, 90, 60))]
    # Common to neighbours: half of 60 = 30; (30 + 90) / 2 = 60 wide, (30 + 60) / 2 = 45 high.
    assert crops((60, 90), 1, 0.5)[1:] == [
        (1, (0, 0, 60, 45)), (1, (0, 15, 60, 60)), (1, (30, 0, 90, 45)), (1, (30, 15, 90, 60)),
    ]  # fmt: skip
    layers = [layer for layer, _ in crops((480, 640), 3, 512 / 1500)]
    assert [layers.count(i) for i in range(4)] == [1, 4, 16, 64]
    seen = np.zeros((480, 640), int)
    for layer, (x0, y0, x1, y1) in crops((480, 640), 3, 512 / 1500):
        seen[y0:y1, x0:x1] += layer == 3
    assert seen.min() >= 1


def test_a_tiny_picture_has_no_empty_crops() -> None:
    boxes = [box for _, box in crops((1, 3), 3, 512 / 1500)]
    assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in boxes)


def scene() -> NDArray[np.uint8]:
    """(90, 160): two discs and a bar on a ground."""
    y, x = np.mgrid[:90, :160]
    out = np.full((90, 160, 3), (0, 80, 0), np.uint8)
    out[np.hypot(y - 30, x - 40) < 17] = (255, 0, 0)
    out[np.hypot(y - 60, x - 120) < 12] = (0, 0, 255)
    out[70:80, 10:90] = (255, 255, 0)
    return out


def test_everything_is_found_once() -> None:
    found = generate_masks(FloodMasker(), scene(), AutomaticMaskSettings(points_per_side=16))
    truth = Masks.from_dense(
        np.array(
            [(scene() == colour).all(2) for colour in np.unique(scene().reshape(-1, 3), axis=0)]
        )
    )
    iou = found.masks.iou(truth)
    assert len(found.masks) == 4
    assert (iou.max(0) == 1).all()
    assert found.prompts == 256
    assert (found.stability == 1).all()
    assert (np.diff(found.quality) <= 0).all()


class NoiseMasker(FloodMasker):
    """ScoredMasks each point with smooth noise around it, on a grid of 24x32 cells with padding."""

    def decode(self, state, prompts, *, candidates=3, keep=None):  # type: ignore[no-untyped-def]
        frame = Frame(state.frame.size_hw, (88, 128), (96, 128))
        self.all = _noise(prompts.points_xy[:, 0].numpy(), frame)
        return self.all[keep(self.all)]


def _noise(points_xy: NDArray[np.float32], frame: Frame) -> RawMasks:
    rng = np.random.default_rng(3)
    (high, wide), logits = frame.size_hw, []
    y, x = np.mgrid[:24, :32]
    for px, py in np.repeat(points_xy, 3, 0):
        far = np.hypot((y + 0.5) / 22 - py / high, (x + 0.5) / 32 - px / wide)
        noise = cv2.GaussianBlur(rng.normal(size=(24, 32)), (0, 0), 2)
        logits.append(rng.uniform(4, 30) * (rng.uniform(0.1, 0.5) - far + noise))
    count = len(logits)
    return RawMasks(
        torch.tensor(np.array(logits), dtype=torch.float32),
        torch.from_numpy(rng.random(count).astype(np.float32)), torch.arange(count) // 3, frame,
    )  # fmt: skip


def test_everything_equals_the_slow_way() -> None:
    """Enlarge all, measure all, drop, nms."""
    rgb, masker = np.zeros((150, 211, 3), np.uint8), NoiseMasker()
    found = generate_masks(
        masker, rgb, AutomaticMaskSettings(8, quality=0.3, stability=0.7, box_nms=0.6)
    )
    raw = masker.all
    grown = F.interpolate(raw.logits[None], raw.frame.padded_hw, mode="bilinear")[..., :88, :128]
    grown = F.interpolate(grown, (150, 211), mode="bilinear")[0]
    inside, around = ((grown > level).flatten(1).sum(1) for level in (1.0, -1.0))
    stability = (inside / around.clamp_min(1)).numpy()
    masks = Masks.from_dense((grown > 0).numpy())
    good = np.flatnonzero((raw.quality.numpy() > 0.3) & (stability >= 0.7) & (masks.areas > 0))
    quality = raw.quality.numpy()[good]
    kept = good[slow_suppression(masks.boxes_xyxy[good], quality, 0.6)]
    assert 10 < len(kept) < len(good) < len(masks)
    assert len(good) <= found.candidates < len(masks)
    np.testing.assert_array_equal(found.quality, raw.quality.numpy()[kept])
    np.testing.assert_array_equal(found.masks.boxes_xyxy, masks.boxes_xyxy[kept])
    np.testing.assert_array_equal(found.masks.dense(), masks[kept].dense())
    np.testing.assert_allclose(found.stability, stability[kept], atol=1e-3)


@pytest.mark.parametrize("again", [False, True])
def test_a_gpu_finds_the_same_and_waits_twice_a_batch(again: bool) -> None:
    settings = AutomaticMaskSettings(
        12, quality=0.3, stability=0.7, box_nms=0.6, crop_layers=1, use_m2m=again
    )
    here = generate_masks(FloodMasker(), scene(), settings)
    with DeviceDouble() as double:
        there = generate_masks(double.on_gpu(FloodMasker()), scene(), settings)
    assert there.masks.to_rle() == here.masks.to_rle()
    np.testing.assert_array_equal(there.quality, here.quality)
    np.testing.assert_array_equal(there.stability, here.stability)
    # Five crops of 144 prompts, 64 a batch; what passes is measured in one round, of two transfers.
    batches = 5 * (3 if not again else 3 * 3)
    assert len(double.waits) <= 2 * batches + 5 * 2


def test_crops_leave_out_what_they_cut() -> None:
    """The ground and whatever a crop's border cuts come from the whole picture only."""
    masker = FloodMasker()
    found = generate_masks(
        masker, scene(), AutomaticMaskSettings(points_per_side=16, crop_layers=1)
    )
    assert masker.encoded == 5
    assert found.prompts == 5 * 256
    plain = generate_masks(FloodMasker(), scene(), AutomaticMaskSettings(points_per_side=16))
    assert len(found.masks) == len(plain.masks)
    assert (found.masks.iou(plain.masks).max(0) == 1).all()


def test_thresholds() -> None:
    all_of_them = generate_masks(
        FloodMasker(), scene(), AutomaticMaskSettings(16, quality=0, box_nms=1.0)
    )
    assert {round(float(q), 2) for q in all_of_them.quality} == {0.8, 0.85, 0.9}
    limit = float(np.float32(0.85))
    some = generate_masks(
        FloodMasker(), scene(), AutomaticMaskSettings(16, quality=limit, box_nms=1.0)
    )
    assert {round(float(q), 2) for q in some.quality} == {0.9}, "to be exceeded, not reached"
    assert PRESETS["sam2"].quality == 0.8
    assert PRESETS["sam1"] == AutomaticMaskSettings()
    nothing = generate_masks(FloodMasker(), scene(), AutomaticMaskSettings(8, quality=0.99))
    assert len(nothing.masks) == len(nothing.quality) == 0


def test_masks_are_asked_again_with_themselves() -> None:
    masker = FloodMasker()
    found = generate_masks(masker, scene(), AutomaticMaskSettings(points_per_side=16, use_m2m=True))
    first, *again = masker.prompts
    assert sum(len(part) for part in again) == 3 * len(first) == 768
    points = torch.cat([part.points_xy for part in again if part.points_xy is not None])
    assert first.points_xy is not None
    torch.testing.assert_close(points, first.points_xy.repeat_interleave(3, 0))
    plain = FloodMasker()
    answers = plain.decode(plain.encode(scene()), first)
    masks = torch.cat([part.masks for part in again if part.masks is not None])
    torch.testing.assert_close(masks, answers.logits)
    # What stays is the second answer: of this masker, the whole thing, and never a part of it.
    assert len(found.masks) == 4
    wholes = {round(float(q), 4) for q in answers.quality[::3]}
    assert {round(float(q), 4) for q in found.quality} <= wholes
    assert found.prompts == 256


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (7, 3)])
def test_pictures_of_any_size(size_hw: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    found = generate_masks(
        FloodMasker(), rgb, AutomaticMaskSettings(points_per_side=4, crop_layers=2, min_area=4)
    )
    assert found.masks.size_hw == size_hw
    assert len(found.masks) > 0
