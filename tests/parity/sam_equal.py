"""What is asked of a SAM beside the golden outputs of its official code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.close import assert_close

from lexiseg.masks import Masks
from lexiseg.protocols import Masker, MaskPrompts
from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks

GOLDEN = Path(__file__).parent / "golden"
_NAMES = {
    "points_per_side": "points_per_side", "pred_iou_thresh": "quality",
    "stability_score_thresh": "stability", "crop_n_layers": "crop_layers",
    "crop_n_points_downscale_factor": "crop_downscale", "min_mask_region_area": "min_area",
    "use_m2m": "use_m2m",
}  # fmt: skip


def read(name: str) -> dict[str, Any]:
    path = GOLDEN / f"{name}.npz"
    assert path.stat().st_size <= 200_000
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def asked(given: Mapping[str, Any], masks: Any = None) -> MaskPrompts:
    """Prompts of the official code in our coordinates: the first pixel's middle is 0.5, 0.5."""
    points, labels, boxes = (given.get(key) for key in ("points", "labels", "boxes"))
    return MaskPrompts(
        None if points is None else torch.from_numpy(points) + 0.5,
        None if labels is None else torch.from_numpy(labels),
        None if boxes is None else torch.from_numpy(boxes),
        masks,
    )


def same_logits(golden: Mapping[str, Any], name: str, raw: Any) -> None:
    """Logits and qualities are close, of masks that are sure of something."""
    want = golden[f"{name} masks"]
    assert want.min() < -2 < 2 < want.max()
    assert_close(raw.logits[:, ::4, ::4], want)
    assert_close(raw.quality, golden[f"{name} quality"])


def same_masks(
    masker: Masker, rgb: NDArray[np.uint8], want: Mapping[str, Any], case: str,
    settings: Mapping[str, Any],
) -> None:  # fmt: skip
    """At least 20 masks, of which 99 % have an equal (IoU 0.99) on the other side, both ways."""
    assert rgb.shape[0] != rgb.shape[1]
    quality = want[f"{case} quality"]
    bits = np.unpackbits(want[f"{case} masks"], count=len(quality) * rgb[..., 0].size)
    theirs = Masks.from_dense(bits.view(bool).reshape(-1, *rgb.shape[:2]))
    assert len(theirs) >= 20, "conditions under which agreement is worth something"
    assert theirs.areas.max() < 0.9 * rgb[..., 0].size
    found = generate_masks(
        masker, rgb, AutomaticMaskSettings(**{_NAMES[k]: v for k, v in settings.items()})
    )
    iou = found.masks.iou(theirs)
    for axis in (0, 1):
        assert (iou.max(axis) >= 0.99).mean() >= 0.99
    best = iou.argmax(1)
    same = iou.max(1) >= 0.99
    assert_close(found.stability[same], want[f"{case} stability"][best[same]], 0.01)
    assert_close(found.quality[same], quality[best[same]].clip(0, 1), 1e-3)


def same_in_short(exact: Masker, short: Masker, pictures: list[NDArray[np.uint8]]) -> None:
    """98 % of all candidates at 120 points a picture keep an IoU of 0.95 in another number format.

    So do 98 % of those that stand alone: of 100 cells at least, with a stability of 0.8 or more.
    """
    assert (exact.dtype_name, short.dtype_name) == ("fp32", "bf16")
    kept, steady = [], []
    for rgb in pictures:
        rng = np.random.default_rng(3)
        places = rng.uniform([0, 0], rgb.shape[1::-1], (120, 1, 2)).astype(np.float32)
        prompts = MaskPrompts(torch.from_numpy(places), torch.ones(120, 1, dtype=torch.long))
        sure, rough = (one.decode(one.encode(rgb), prompts) for one in (exact, short))
        assert (rough.logits - sure.logits).abs().max() > 1e-2, "another format indeed"
        inside, around = ((sure.logits > level).flatten(1).sum(1) for level in (1, -1))
        a, b = (raw.logits.flatten(1) > 0 for raw in (sure, rough))
        drawn = (a | b).any(1)
        kept.append(((a & b).sum(1) >= 0.95 * (a | b).sum(1))[drawn])
        steady.append(((inside >= 0.8 * around) & (inside >= 100))[drawn])
    same, firm = torch.cat(kept), torch.cat(steady)
    assert firm.sum() >= 60
    for masks in (same, same[firm]):
        assert masks.float().mean() >= 0.98
