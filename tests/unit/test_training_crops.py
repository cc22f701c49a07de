"""Crops that are cut on a device: labels stay with their places, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tests.device_double import GPU, DeviceDouble
from tests.training_data import bare_set, shape_set
from torch import Tensor

from lexiseg.training.tiny.crops import (
    CropBatch,
    CropSampling,
    PhotoStore,
    cut_windows,
    make_crops,
    sample_points,
)
from lexiseg.training.tiny.photos import ImageSet

CPU = torch.device("cpu")
HEIGHT, WIDTH = 48, 80
CLASSES = ("background", "left eye", "right eye", "hair")


def coordinates(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A photo whose red says the column (times 3) and whose green the row (times 5)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x, 5 * y, np.full_like(x, 100)], -1).astype(np.uint8)


def eyes(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Class indices, 255 in a corner."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 5:30] = 1
    mask[8:44, 45:75] = 2
    mask[40:, 70:] = 255
    return mask


def faces(count: int = 3, name: str = "faces") -> ImageSet:
    sizes = [(HEIGHT - 2 * k, WIDTH - 3 * k) for k in range(count)]
    return ImageSet(
        name, CLASSES, 0, [coordinates(*s) for s in sizes], [eyes(*s) for s in sizes],
        np.full(count, 1 / count), {1: 2, 2: 1},
    )  # fmt: skip


# At its own size, and the colours as they are.
PLAIN = CropSampling(
    batch=6, sizes_hw=((32, 64), (40, 48)), short_sides=(48.0, 48.0), stretch=0.0, points=200,
    paste_share=0.0, jitter=0.0, cast=0.0, grey_share=0.0, blur_share=0.0,
)  # fmt: skip


def drawn(store: PhotoStore, how: CropSampling, step: int = 0, **more: Any) -> CropBatch:
    weights = more.get("weights", [1.0] * len(store.names))
    return make_crops(store, weights, how, np.random.default_rng([0, step]))


def test_windows_are_those_of_grid_sample() -> None:
    """PyTorch's own bilinear and nearest sampling, photo by photo."""
    one = faces()
    assert one.masks is not None
    store = PhotoStore([one], CPU)
    rng = np.random.default_rng(1)
    photos = torch.tensor([0, 2, 1, 2])
    windows, flips = torch.zeros(4, 4), torch.tensor([False, True, False, True])
    for b, i in enumerate(photos.tolist()):
        h, w = one.photos[i].shape[:2]
        height, width = rng.uniform(10, h), rng.uniform(10, w)
        top, left = rng.uniform(0, h - height), rng.uniform(0, w - width)
        windows[b] = torch.tensor([top, left, height, width])
    windows[0] = torch.tensor([0.0, 0.0, HEIGHT, WIDTH])
    pixels, labels = cut_windows(store, photos, windows, flips, (20, 36))
    assert pixels.shape == (4, 3, 20, 36)
    for b, i in enumerate(photos.tolist()):
        h, w = one.photos[i].shape[:2]
        top, left, height, width = windows[b].tolist()
        x = (left + (torch.arange(36) + 0.5) / 36 * width) / w * 2 - 1
        y = (top + (torch.arange(20) + 0.5) / 20 * height) / h * 2 - 1
        x = x.flip(0) if flips[b] else x
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]
        photo = torch.from_numpy(one.photos[i]).permute(2, 0, 1)[None].float()
        wanted = F.grid_sample(photo, grid, padding_mode="border", align_corners=False)[0]
        torch.testing.assert_close(pixels[b], wanted, rtol=0, atol=0.01)
        mask = torch.from_numpy(one.masks[i])[None, None].float()
        near = F.grid_sample(mask, grid, mode="nearest", padding_mode="border", align_corners=False)
        assert (labels[b] == near[0, 0].long()).float().mean() > 0.99  # rounding at borders


def test_labels_stay_with_their_places_after_crop_scale_and_flip() -> None:
    store = PhotoStore([faces(1)], CPU)
    plain = eyes()
    flips, checked = set(), 0
    for step in range(6):
        crops = drawn(store, replace(PLAIN, short_sides=(40.0, 70.0), stretch=0.2), step)
        for b in range(6):
            red, green = (crops.pixels[b, k].numpy() for k in (0, 1))
            column, row = np.rint(red / 3).astype(int), np.rint(green / 5).astype(int)
            flipped = bool(crops.flips[b])
            assert flipped == (red[0, 0] > red[0, -1])
            flips.add(flipped)
            wanted = {0: 0, 255: 255, 1: 2 if flipped else 1, 2: 1 if flipped else 2}
            for y in range(0, red.shape[0], 5):
                for x in range(0, red.shape[1], 5):
                    r, c = row[y, x], column[y, x]
                    near = plain[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3]
                    if len(np.unique(near)) == 1:  # at a border rounding decides
                        assert int(crops.labels[b, y, x]) == wanted[int(near[0, 0])]
                        checked += 1
    assert flips == {False, True}
    assert checked > 1000


def same(a: CropBatch, b: CropBatch) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in CropBatch.__dataclass_fields__
    )


def test_a_batch_is_a_function_of_the_step_alone() -> None:
    store = PhotoStore([shape_set(name="voc"), bare_set()], CPU)
    how = CropSampling(batch=5, sizes_hw=((32, 64), (64, 32)), short_sides=(60.0, 90.0))
    first = [drawn(store, how, step) for step in range(3)]
    again = [drawn(store, how, step) for step in reversed(range(3))][::-1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].photos, first[1].photos)
    assert all(float(c.pixels.min()) >= 0 and float(c.pixels.max()) <= 255 for c in first)
    bare = torch.cat([c.labels[c.sets == 1].flatten() for c in first])
    assert bare.numel()
    assert (bare == 255).all()


def test_sets_and_photos_are_drawn_by_their_weights() -> None:
    one = replace(faces(3), weights=np.array([0.8, 0.1, 0.1]))
    store = PhotoStore([one, bare_set()], CPU)
    how = replace(PLAIN, batch=40, sizes_hw=((16, 24),))
    crops = [drawn(store, how, step, weights=[3, 1]) for step in range(10)]
    sets, photos = (torch.cat([getattr(c, n) for c in crops]) for n in ("sets", "photos"))
    assert float((sets == 1).float().mean()) == pytest.approx(0.25, abs=0.08)
    assert float((photos[sets == 0] == 0).float().mean()) == pytest.approx(0.8, abs=0.08)
    assert photos[sets == 1].min() == 3


def test_one_class_of_another_photo_is_pasted() -> None:
    """Photos of one colour each, all of one class but for a square: where a crop has another
    photo's colour, its label is that square's, and the place is said to be pasted."""
    photos = [np.full((60, 90, 3), 60 * k, np.uint8) for k in (1, 3)]
    masks = [np.zeros((60, 90), np.uint8) for _ in photos]
    for k, mask in enumerate(masks):
        mask[15:45, 20:70] = k + 1
    one = ImageSet("pets", ("ground", "cat", "dog"), 0, photos, masks, np.full(2, 0.5), {})
    how = replace(
        PLAIN, batch=30, sizes_hw=((48, 64),), short_sides=(60.0, 60.0), paste_share=0.6,
        paste_sets=("pets",), paste_short_sides=(60.0, 60.0), paste_areas=(0.05, 0.9),
    )  # fmt: skip
    store = PhotoStore([one, replace(one, name="others")], CPU)
    crops = drawn(store, how)
    own = 60.0 + 120 * (crops.photos % 2)
    foreign = (crops.pixels[:, 0] - own[:, None, None]).abs() > 100
    assert not crops.pasted[crops.sets == 1].any()
    count = int(crops.pasted[crops.sets == 0].flatten(1).any(1).sum())
    assert count == pytest.approx(0.6 * int((crops.sets == 0).sum()), abs=5)
    assert (crops.pasted | ~foreign).all()  # nothing foreign that is not said to be pasted
    for b in range(30):
        there = crops.labels[b][crops.pasted[b]].unique().tolist()
        assert there in ([], [1], [2])
        if foreign[b].any():
            assert there == [2 if own[b] == 60 else 1]


def test_a_class_that_fills_the_crop_or_is_the_background_is_not_pasted() -> None:
    photo, mask = coordinates(), np.ones((HEIGHT, WIDTH), np.uint8)
    full = ImageSet("voc", CLASSES, 0, [photo], [mask], np.ones(1), {})
    empty = replace(full, masks=[np.zeros_like(mask)])
    for one in (full, empty):
        crops = drawn(PhotoStore([one], CPU), replace(PLAIN, paste_share=1.0))
        assert not crops.pasted.any()


def test_points_are_even_over_what_is_labelled_and_over_its_classes() -> None:
    """A tenth of one class, nine tenths of another, and as much unlabelled: with a share of 0.4,
    the small class gets 0.6 / 10 + 0.4 / 2 of the points."""
    labels = torch.full((2, 20, 40), 255)
    labels[0, :, 4:] = 7
    labels[0, :2, :] = 3
    labels[0, 2:, :4] = 255
    small = int((labels[0] == 3).sum()) / int((labels[0] != 255).sum())
    points, drawn_labels = sample_points(labels, 4000, 0.4, np.random.default_rng(0))
    assert points.abs().max() < 1
    column = ((points[..., 0] + 1) / 2 * 40).long()
    row = ((points[..., 1] + 1) / 2 * 20).long()
    for b in range(2):
        assert torch.equal(labels[b, row[b], column[b]], drawn_labels[b])
    assert (drawn_labels[0] != 255).all()
    assert (drawn_labels[1] == 255).all()
    share = float((drawn_labels[0] == 3).float().mean())
    assert share == pytest.approx(0.6 * small + 0.4 / 2, abs=0.03)


def test_colours_change_only_where_that_is_asked() -> None:
    store = PhotoStore([faces(1)], CPU)
    plain = drawn(store, PLAIN).pixels
    changed = drawn(store, replace(PLAIN, jitter=0.3, cast=0.08, blur_share=0.5)).pixels
    assert 1 < float((plain - changed).abs().mean()) < 60
    grey = drawn(store, replace(PLAIN, grey_share=1.0)).pixels
    torch.testing.assert_close(grey, plain.mean(1, keepdim=True).expand_as(plain))
    blurred = drawn(store, replace(PLAIN, blur_share=1.0)).pixels
    inside: Tensor = F.avg_pool2d(plain, 3, 1)
    torch.testing.assert_close(blurred[:, :, 1:-1, 1:-1], inside)


def test_the_digest_stands_for_photos_labels_and_sizes() -> None:
    one = faces(1)
    assert one.masks is not None
    changed = one.masks[0].copy()
    changed[0, 0] = 3
    turned = replace(one, photos=[one.photos[0].reshape(WIDTH, HEIGHT, 3)],
                     masks=[one.masks[0].reshape(WIDTH, HEIGHT)])  # fmt: skip
    sets = [one, replace(one, masks=[changed]), replace(one, name="b"), turned]
    digests = {PhotoStore([s], CPU).digest() for s in sets}
    assert len(digests) == 4
    assert PhotoStore([faces(1)], CPU).digest() in digests


def test_crops_and_points_are_made_on_the_device_without_waiting_for_it() -> None:
    how = CropSampling(batch=4, sizes_hw=((32, 64),), short_sides=(60.0, 90.0), points=30)
    here = drawn(PhotoStore([shape_set(name="voc"), bare_set()], CPU), how)
    points = sample_points(here.labels, 30, 0.4, np.random.default_rng(2))
    with DeviceDouble() as double:
        store = PhotoStore([shape_set(name="voc"), bare_set()], GPU)
        with double.counting() as waits:
            crops = drawn(store, how)
            there = sample_points(crops.labels, 30, 0.4, np.random.default_rng(2))
        assert crops.pixels.device == crops.labels.device == there[0].device == GPU
        assert not waits
        assert torch.equal(there[0].cpu(), points[0])
        assert same(here, CropBatch(*(getattr(crops, n).cpu()
                                      for n in CropBatch.__dataclass_fields__)))  # fmt: skip
