"""Train the small SAM on which the golden file stands; half an hour on one core.

``python -m tests.parity.golden.train_sam OFFICIAL DATA OUT.npz --minutes 25``, where OFFICIAL is a
checkout of facebookresearch/segment-anything at dca509f and DATA a folder with the sets ``bsds``
and ``coco``. A fresh SAM has no positions, and its masks all fill the frame: nothing could be seen
on it. This one is trained on regions of a few dozen pictures by SAM's own losses (Kirillov et al.
2023, section A: focal and dice, the best of three candidates, the IoU regressed), with clicks,
boxes, and its own earlier answers as prompts. Its weights are kept in 8 bits, a scale a row.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tests.parity.golden.sam_official import CROPS, load_official, picture, scaled
from tests.sam_weights import SIZES, quantised, trained

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"


def things(data: Path) -> list[tuple[Any, Any]]:
    """Pictures at their working size, (H, W, 3), and their regions, (N, H, W) bool."""
    from skimage.segmentation import felzenszwalb

    from lexiseg.datasets.card import read_json
    from lexiseg.datasets.coco import fill_polygons

    out = []
    side = SIZES["image"]
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
        small = scaled(rgb, side)
        kept = []
        for mask in masks:
            one = np.array(Image.fromarray(mask).resize(small.shape[1::-1], Image.NEAREST))
            if 0.008 < one.mean() < 0.8:
                kept.append(one)
        if kept:
            ready.append((small, np.stack(kept)))
    return ready


def batch(sets: list[Any], rng: np.random.Generator) -> Any:
    """One step's pictures (B, 3, S, S), and for each 8 regions (8, S, S) with prompts."""
    side, pixels, asked = SIZES["image"], [], []
    for i in rng.choice(len(sets), 2, replace=False):
        rgb, masks = sets[i]
        if rng.random() < 0.5:
            rgb, masks = rgb[:, ::-1], masks[:, :, ::-1]
        chosen = masks[rng.choice(len(masks), 8)]
        h, w = rgb.shape[:2]
        pixels.append(np.pad(rgb, ((0, side - h), (0, side - w), (0, 0))).transpose(2, 0, 1))
        truth = np.zeros((8, side, side), np.float32)
        truth[:, :h, :w] = chosen
        points, boxes = [], []
        for mask in chosen:
            ys, xs = np.nonzero(mask)
            k = rng.integers(len(ys))
            points.append([xs[k], ys[k]])
            boxes.append([xs.min(), ys.min(), xs.max(), ys.max()])
        boxes = np.array(boxes, np.float32) + rng.normal(0, 2, (8, 4))
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


def sharpened(sam: Any, code: Any, factor: float = 8.0) -> Any:
    """Make the last layers surer: so small a net is timid, and rates hardly any mask above 0.88.

    Logits are multiplied; ratings are stretched so that about half of the masks at a grid of points
    pass that. Both are linear in the last layers' weights.
    """
    from lexiseg.stages.propose import _grid

    sam.eval()
    for head in sam.mask_decoder.output_hypernetworks_mlps:
        for value in (head.layers[-1].weight, head.layers[-1].bias):
            value.data *= factor
    predictor = code.Predictor(sam)
    predictor.transform.target_length = SIZES["image"]
    ratings = []
    for name in CROPS:
        rgb = picture(name)
        predictor.set_image(rgb)
        points = _grid(rgb.shape[:2], 12).points_xy
        points = predictor.transform.apply_coords_torch(points, rgb.shape[:2])
        with torch.no_grad():
            found = predictor.predict_torch(points, torch.ones(len(points), 1))
        ratings.append(found[1].flatten())
    middle, spread = torch.cat(ratings).quantile(0.45), torch.cat(ratings).std()
    last = sam.mask_decoder.iou_prediction_head.layers[-1]
    stretch = 0.06 / spread
    last.weight.data *= stretch
    last.bias.data = (last.bias.data - middle) * stretch + 0.88
    return sam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("official", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--trained", type=Path, help="only sharpen what was trained before")
    options = parser.parse_args()
    code = load_official(options.official)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sam = code.build(SIZES).train()
    if options.trained:
        sam.load_state_dict(trained(options.trained))
        np.savez_compressed(options.out, **quantised(sharpened(sam, code).state_dict()))
        return
    # The official positions start at zero.
    for name, value in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(value, std=0.1)
    sets = things(options.data)
    print(f"{len(sets)} pictures", flush=True)
    optimiser = torch.optim.AdamW(sam.parameters(), 1e-3, weight_decay=0.01)
    started, step, seen = time.time(), 0, []
    while (done := (time.time() - started) / (60 * options.minutes)) < 1:
        rate = 1e-3 * min(1, step / 300) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = rate
        pixels, asked = batch(sets, rng)
        normal = (pixels - sam.pixel_mean) / sam.pixel_std
        for i, one in enumerate(asked):
            h, w = one[3]
            normal[i, :, h:] = 0
            normal[i, :, :, w:] = 0
        features = sam.image_encoder(normal)
        total = 0.0
        for i, (truth, points, boxes, (h, w)) in enumerate(asked):
            small = F.avg_pool2d(torch.from_numpy(truth)[None], 4)[0].round()
            inside = torch.zeros(small.shape[1:])
            inside[: h // 4, : w // 4] = 1
            way = step % 4  # clicks twice as often as boxes and as earlier answers
            given: dict[str, Any] = {"points": None, "boxes": None, "masks": None}
            if way != 2:
                given["points"] = (torch.from_numpy(points)[:, None], torch.ones(8, 1))
            if way == 2:
                given["boxes"] = torch.from_numpy(boxes)
            rounds = 2 if way == 3 else 1
            for again in range(rounds):
                sparse, dense = sam.prompt_encoder(**given)
                many = way < 2 or (way == 3 and again == 0)
                logits, quality = sam.mask_decoder(
                    features[i : i + 1], sam.prompt_encoder.get_dense_pe(), sparse, dense, many
                )
                mask_loss, quality_loss, iou = losses(logits, quality, small, inside, 1 - done)
                best = mask_loss.argmin(1)
                rows = torch.arange(8)
                total = total + mask_loss[rows, best].mean() + quality_loss.mean()
                # Every candidate learns a little, so that none of them dies.
                total = total + 0.05 * mask_loss.mean()
                seen.append(float(iou[rows, best].mean()))
                given["masks"] = logits[rows, best][:, None].detach()
        optimiser.zero_grad()
        (total / len(asked)).backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(step, f"{done:.2f} IoU {np.mean(seen[-400:]):.3f}", flush=True)
        if step % 1000 == 0:
            np.savez_compressed(options.out, **quantised(sam.state_dict()))
    np.savez_compressed(options.out, **quantised(sharpened(sam, code).state_dict()))


if __name__ == "__main__":
    main()
