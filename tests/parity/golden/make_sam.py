"""Run the official SAM code on the small trained SAM and keep what it says.

``python -m tests.parity.golden.make_sam OFFICIAL``, where OFFICIAL is a checkout of
facebookresearch/segment-anything at dca509f, writes ``sam.npz`` and ``sam_masks.npz`` beside this
file; the weights are those that ``train_sam`` made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.parity.golden.sam_official import COMMIT, CROPS, load_official, picture
from tests.sam_weights import SIZES, trained

HERE = Path(__file__).parent
# Case -> picture, settings of the official generator.
GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("street", {}),
    "other": ("coffee", {"points_per_side": 14, "pred_iou_thresh": 0.8}),
    "crops": (
        "street",
        {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "points_per_side": 16},
    ),
    "area": ("kitchen", {"min_mask_region_area": 60, "crop_n_layers": 1, "points_per_side": 10}),
}
# Masks of so small a net are less sharp; all else is as the official code has it.
STABILITY = {"stability_score_thresh": 0.7}


def prompts(size_hw: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Prompts in the official code's coordinates: pixels, from the middle of the first one."""
    rng = np.random.default_rng(0)
    extent = np.array(size_hw[::-1], np.float32)
    points = (rng.random((6, 3, 2)) * extent).astype(np.float32)
    labels = np.array([[1, 0, -1], [1, 1, 0], [0, 1, 1], [1, -1, -1], [1, 0, 0], [1, 1, 1]])
    low, size = rng.random((4, 2)) * extent * 0.6, extent * (0.15 + rng.random((4, 1)) * 0.25)
    boxes = np.concatenate([low, low + size], 1).astype(np.float32)
    return {
        "click": {"points": points[:, :1], "labels": np.ones((6, 1), np.int64)},
        "clicks": {"points": points, "labels": labels},
        "boxes": {"boxes": boxes},
        "both": {"points": points[:4, :1], "labels": labels[:4, :1], "boxes": boxes},
    }


def rough_masks(count: int) -> Any:
    """Rough masks as prompts, logits (N, h, w): a blob each."""
    rng = np.random.default_rng(1)
    side = SIZES["image"] // 4
    y, x = np.mgrid[:side, :side]
    out = [
        6 - 0.6 * np.hypot(y - cy, (x - cx) * 1.4)
        for cy, cx in rng.uniform(0.1, 0.7, (count, 2)) * side
    ]
    return torch.tensor(np.array(out), dtype=torch.float32)


def main(official: Path) -> None:
    code = load_official(official)
    sam = code.build(SIZES).eval()
    sam.load_state_dict(trained())
    out: dict[str, Any] = {"commit": np.array(COMMIT)}
    for name in CROPS:
        out[f"rgb {name}"] = picture(name)
    predictor = code.Predictor(sam)
    predictor.transform.target_length = SIZES["image"]
    rgb = out["rgb street"]
    predictor.set_image(rgb)
    size_hw = rgb.shape[:2]

    def ask(given: dict[str, Any], many: bool) -> Any:
        parts: dict[str, Any] = {"point_coords": None, "point_labels": None, "boxes": None}
        if "points" in given:
            coords = predictor.transform.apply_coords(given["points"], size_hw)
            parts["point_coords"] = torch.as_tensor(coords, dtype=torch.float)
            parts["point_labels"] = torch.as_tensor(given["labels"])
        if "boxes" in given:
            boxes = predictor.transform.apply_boxes(given["boxes"], size_hw)
            parts["boxes"] = torch.as_tensor(boxes, dtype=torch.float)
        rough = given.get("masks")
        _, quality, low = predictor.predict_torch(
            **parts, mask_input=rough, multimask_output=many, return_logits=True
        )
        return low, quality

    for name, given in prompts(size_hw).items():
        for many in (True, False):
            low, quality = ask(given, many)
            out[f"{name} {3 if many else 1} masks"] = low.flatten(0, 1).numpy()[:, ::4, ::4]
            out[f"{name} {3 if many else 1} quality"] = quality.flatten().numpy()
        if name in ("click", "both"):
            low, quality = ask({**given, "masks": rough_masks(len(quality))[:, None]}, True)
            out[f"{name} again masks"] = low.flatten(0, 1).numpy()[:, ::4, ::4]
            out[f"{name} again quality"] = quality.flatten().numpy()
    np.savez_compressed(HERE / "sam.npz", **out)

    kept: dict[str, Any] = {"commit": np.array(COMMIT)}
    for name, (photo, settings) in GENERATED.items():
        generator = code.Generator(sam, **{**STABILITY, **settings})
        generator.predictor.transform.target_length = SIZES["image"]
        found = generator.generate(picture(photo))
        print(name, len(found), "masks")
        kept[f"{name} masks"] = np.packbits([one["segmentation"] for one in found])
        kept[f"{name} quality"] = np.float32([one["predicted_iou"] for one in found])
        kept[f"{name} stability"] = np.float32([one["stability_score"] for one in found])
    np.savez_compressed(HERE / "sam_masks.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
