"""What trains the small SAMs on which golden files stand, whichever SAM it is.

A fresh SAM has no positions, and its masks all fill the frame: nothing could be seen on it. These
are trained on regions of a few dozen pictures by SAM's own losses (Kirillov et al. 2023, section A:
focal and dice, the best of three candidates, the IoU regressed), with clicks, boxes, and their own
earlier answers as prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tests.parity.golden.sam_official import CROPS, picture
from torch import nn

_REGIONS = 8  # asked of a picture in one step


class Student(Protocol):
    """The official network, and how it is asked: points and boxes in pixels of its square."""

    net: nn.Module
    side: int

    def scaled(self, rgb: Any) -> Any:
        """A picture at its working size, (H, W, 3) uint8, at most ``side`` each."""

    def features(self, pixels: Any, sizes: list[tuple[int, int]]) -> Any:
        """Of pictures (B, 3, S, S) in [0, 255], padded below and at the right of their sizes."""

    def answers(self, features: Any, i: int, given: dict[str, Any], many: bool) -> Any:
        """Logits (N, C, S / 4, S / 4) and qualities (N, C) of picture i: three or one a prompt.

        given: points (N, 1, 2), all inside; boxes (N, 4); masks (N, 1, S / 4, S / 4); or None.
        """


def things(data: Path, scaled: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """Pictures at their working size, (H, W, 3), and their regions, (N, H, W) bool."""
    from skimage.segmentation import felzenszwalb

    from lexiseg.datasets.annotations import fill_polygons
    from lexiseg.datasets.card import read_json

    out = []
    for path in sorted((data / "bsds/train/images").glob("*"))[:10]:
        rgb = np.array(Image.open(path).convert("RGB"))
        maps = [
            np.array(Image.open(p))
            for p in sorted((data / "bsds/train/masks").glob(f"{path.stem}.*.png"))
        ]
        masks = [m == v for m in maps for v in np.unique(m)]
        out.append((rgb, masks))
    coco = read_json(data / "coco/train/instances.json")
    for image in coco["images"][:10]:
        found = sorted((data / "coco/train/images").glob(f"{Path(image['file_name']).stem}.*"))
        rgb = np.array(Image.open(found[0]).convert("RGB"))
        masks = [
            fill_polygons(a["segmentation"], rgb.shape[:2])
            for a in coco["annotations"]
            if a["image_id"] == image["id"] and isinstance(a["segmentation"], list)
        ]
        out.append((rgb, masks))
    for name in CROPS:  # nobody annotated these: regions of like colour
        rgb = picture(name)
        masks = []
        for scale in (150, 500, 1200):
            found = felzenszwalb(rgb, scale, 1.5, 300)
            masks += [found == v for v in np.unique(found)]
        out += [(rgb, masks)] * 6
    ready = []
    for rgb, masks in out:
        small = scaled(rgb)
        kept = []
        for mask in masks:
            one = np.array(Image.fromarray(mask).resize(small.shape[1::-1], Image.NEAREST))
            if 0.008 < one.mean() < 0.8:
                kept.append(one)
        if kept:
            ready.append((small, np.stack(kept)))
    return ready


def batch(sets: list[Any], rng: np.random.Generator, side: int) -> Any:
    """One step's pictures (B, 3, S, S), and for each its regions (8, S, S) with prompts."""
    pixels, asked = [], []
    for i in rng.choice(len(sets), 2, replace=False):
        rgb, masks = sets[i]
        if rng.random() < 0.5:
            rgb, masks = rgb[:, ::-1], masks[:, :, ::-1]
        chosen = masks[rng.choice(len(masks), _REGIONS)]
        h, w = rgb.shape[:2]
        pixels.append(np.pad(rgb, ((0, side - h), (0, side - w), (0, 0))).transpose(2, 0, 1))
        truth = np.zeros((_REGIONS, side, side), np.float32)
        truth[:, :h, :w] = chosen
        points, boxes = [], []
        for mask in chosen:
            ys, xs = np.nonzero(mask)
            k = rng.integers(len(ys))
            points.append([xs[k], ys[k]])
            boxes.append([xs.min(), ys.min(), xs.max(), ys.max()])
        boxes = np.array(boxes, np.float32) + rng.normal(0, 2, (_REGIONS, 4))
        asked.append((truth, np.array(points, np.float32), boxes.astype(np.float32), (h, w)))
    return torch.from_numpy(np.stack(pixels).astype(np.float32)), asked


def losses(logits: Any, quality: Any, truth: Any, inside: Any, early: float) -> Any:
    """Of each candidate, (N, C): masks, and the squared error of the IoU."""
    truth, inside = truth[:, None], inside[None, None]
    p = logits.sigmoid()
    plain = F.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    focal = (plain * (1 - (p * truth + (1 - p) * (1 - truth))) ** 2 * inside).sum((2, 3))
    focal = focal / inside.sum()
    on, off = truth * inside, (1 - truth) * inside
    even = (plain * on).sum((2, 3)) / on.sum((2, 3)) + (plain * off).sum((2, 3)) / off.sum((2, 3))
    dice = 1 - (2 * (p * truth * inside).sum((2, 3)) + 1) / (((p + truth) * inside).sum((2, 3)) + 1)
    hard = (logits > 0) & (inside > 0)
    both = (hard & (truth > 0)).sum((2, 3))
    iou = both / (hard | (truth > 0)).sum((2, 3)).clamp_min(1)
    return 10 * focal + dice + early * even, (quality - iou).square(), iou


def fit(student: Student, data: Path, minutes: float, save: Callable[[], None]) -> None:
    """Train the whole network for so many minutes of a core; saved now and then."""
    rng = np.random.default_rng(0)
    sets = things(data, student.scaled)
    print(f"{len(sets)} pictures", flush=True)
    parameters = list(student.net.parameters())
    optimiser = torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01)
    started, step, seen = time.process_time(), 0, []
    while (done := (time.process_time() - started) / (60 * minutes)) < 1:
        rate = 1e-3 * min(1, step / 300) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = rate
        pixels, asked = batch(sets, rng, student.side)
        features = student.features(pixels, [one[3] for one in asked])
        total = 0.0
        for i, (truth, points, boxes, (h, w)) in enumerate(asked):
            small = F.avg_pool2d(torch.from_numpy(truth)[None], 4)[0].round()
            inside = torch.zeros(small.shape[1:])
            inside[: h // 4, : w // 4] = 1
            way = step % 4  # clicks twice as often as boxes and as earlier answers
            given: dict[str, Any] = {"points": None, "boxes": None, "masks": None}
            if way == 2:
                given["boxes"] = torch.from_numpy(boxes)
            else:
                given["points"] = torch.from_numpy(points)[:, None]
            rounds = 2 if way == 3 else 1
            for again in range(rounds):
                many = way < 2 or (way == 3 and again == 0)
                logits, quality = student.answers(features, i, given, many)
                mask_loss, quality_loss, iou = losses(logits, quality, small, inside, 1 - done)
                best = mask_loss.argmin(1)
                rows = torch.arange(len(best))
                total = total + mask_loss[rows, best].mean() + quality_loss.mean()
                # Every candidate learns a little, so that none of them dies.
                total = total + 0.05 * mask_loss.mean()
                seen.append(float(iou[rows, best].mean()))
                given["masks"] = logits[rows, best][:, None].detach()
        optimiser.zero_grad()
        (total / len(asked)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(step, f"{done:.2f} IoU {np.mean(seen[-400:]):.3f}", flush=True)
        if step % 500 == 0:
            save()


def surer(
    masks: Any, quality: nn.Linear, ratings: Any, *, factor: float, passed: float, spread: float
) -> None:
    """Make the last layers surer: so small a net is timid, and rates hardly any mask highly.

    masks: the MLPs that make mask vectors: logits get ``factor`` times as large. quality: the last
    layer of the ratings, which are stretched so that about half of those given exceed ``passed``.
    Both are linear.
    """
    for head in masks:
        for value in (head.layers[-1].weight, head.layers[-1].bias):
            value.data *= factor
    stretch = spread / ratings.std()
    quality.weight.data *= stretch
    quality.bias.data = (quality.bias.data - ratings.quantile(0.45)) * stretch + passed
