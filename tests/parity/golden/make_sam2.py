"""Run the official SAM 2 code on the small trained SAM 2 and keep what it says.

``python -m tests.parity.golden.make_sam2 OFFICIAL``, where OFFICIAL is a checkout of
facebookresearch/sam2 at 2b90b9f, writes ``sam2.npz`` and ``sam2_masks.npz`` beside this file; the
weights are those that ``train_sam2`` made, the pictures those in ``sam.npz``. Masks are kept at
every fourth row and column.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests import sam2_weights as small
from tests.parity.golden.make_sam import prompts, rough_masks
from tests.parity.golden.sam2_official import COMMIT, load_official

HERE = Path(__file__).parent
# Case -> picture, settings of the official generator.
GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("street", {}),
    "other": ("coffee", {"points_per_side": 14, "pred_iou_thresh": 0.7}),
    "crops": (
        "street",
        {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "points_per_side": 12},
    ),
    "again": ("kitchen", {"use_m2m": True, "points_per_side": 10}),
}
# Masks of so small a net are less sharp; all else is as the official code has it.
STABILITY = {"stability_score_thresh": 0.7}


def main(official: Path) -> None:
    code = load_official(official)
    model = code.build().eval()
    left = model.load_state_dict(small.trained(), strict=False)
    assert not left.unexpected_keys
    assert not [name for name in left.missing_keys if name in small.meta_shapes()]
    out: dict[str, Any] = {"commit": np.array(COMMIT)}
    with np.load(HERE / "sam.npz") as file:
        pictures = {name: file[name] for name in file.files if name.startswith("rgb ")}
    predictor = code.predictor(model)
    rgb = pictures["rgb street"]
    predictor.set_image(rgb)

    def ask(given: dict[str, Any], many: bool) -> tuple[Any, Any]:
        _, points, labels, boxes = predictor._prep_prompts(
            given.get("points"), given.get("labels"), given.get("boxes"), None, True
        )
        # The predictor clamps what it hands out; the network's own words are taken before.
        kept: list[Any] = []
        hook = model.sam_mask_decoder.register_forward_hook(
            lambda _m, _i, answer: kept.append((answer[0], answer[1]))
        )
        predictor._predict(points, labels, boxes, given.get("masks"), many, return_logits=True)
        hook.remove()
        return kept[0]

    def keep(name: str, low: Any, quality: Any) -> None:
        out[f"{name} masks"] = low.flatten(0, 1).numpy()[:, ::4, ::4]
        out[f"{name} quality"] = quality.flatten().numpy()
        print(name, float(low.abs().max()), float(quality.mean()))

    for name, given in prompts(rgb.shape[:2]).items():
        for many in (True, False):
            low, quality = ask(given, many)
            keep(f"{name} {3 if many else 1}", low, quality)
        if name in ("click", "both"):
            keep(f"{name} again", *ask({**given, "masks": low.clamp(-32, 32)}, True))
            rough = rough_masks(len(quality))[:, None]
            keep(f"{name} rough", *ask({**given, "masks": rough}, True))
    np.savez_compressed(HERE / "sam2.npz", **out)

    found_all: dict[str, Any] = {"commit": np.array(COMMIT)}
    for name, (photo, settings) in GENERATED.items():
        generator = code.generator(model, **{**STABILITY, **settings})
        found = generator.generate(pictures[f"rgb {photo}"])
        print(name, len(found), "masks")
        found_all[f"{name} masks"] = np.packbits([one["segmentation"] for one in found])
        found_all[f"{name} quality"] = np.float32([one["predicted_iou"] for one in found])
        found_all[f"{name} stability"] = np.float32([one["stability_score"] for one in found])
    np.savez_compressed(HERE / "sam2_masks.npz", **found_all)


if __name__ == "__main__":
    with torch.inference_mode():
        main(Path(sys.argv[1]))
