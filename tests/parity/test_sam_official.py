"""SAM and its automatic mask generator against the official code, on a small trained SAM.

The golden files were made by ``tests/parity/golden/make_sam.py``, which names the commit, on the
weights of ``train_sam.py``: this net draws dozens of masks, as a fresh one would not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import sam_weights
from tests.parity.golden.make_sam import GENERATED, STABILITY, prompts, rough_masks

from lexiseg.device import pick
from lexiseg.masks import Masks
from lexiseg.models.sam.masker import SamMasker, masker_of
from lexiseg.protocols import MaskPrompts
from lexiseg.stages.propose import Settings, generate

GOLDEN = Path(__file__).parent / "golden"
NAMES = {
    "points_per_side": "points_per_side", "pred_iou_thresh": "quality",
    "stability_score_thresh": "stability", "crop_n_layers": "crop_layers",
    "crop_n_points_downscale_factor": "crop_downscale", "min_mask_region_area": "least_area",
}  # fmt: skip


def read(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return read("sam")


@pytest.fixture(scope="module")
def masker() -> SamMasker:
    return masker_of(sam_weights.trained(), pick("cpu", "fp32"), name="trained")


@pytest.fixture(scope="module")
def state(masker: SamMasker, golden: dict[str, Any]) -> Any:
    return masker.encode(golden["rgb street"])


def asked(given: dict[str, Any], masks: Any = None) -> MaskPrompts:
    """Prompts of the official code in our coordinates: the first pixel's middle is 0.5, 0.5."""
    points, labels, boxes = (given.get(key) for key in ("points", "labels", "boxes"))
    return MaskPrompts(
        None if points is None else torch.from_numpy(points) + 0.5,
        None if labels is None else torch.from_numpy(labels),
        None if boxes is None else torch.from_numpy(boxes),
        masks,
    )


def compare(golden: dict[str, Any], name: str, raw: Any) -> None:
    want = golden[f"{name} masks"]
    assert want.min() < -2 < 2 < want.max(), "masks that are sure of something"
    np.testing.assert_allclose(raw.logits[:, ::4, ::4], want, atol=1e-3)
    np.testing.assert_allclose(raw.quality, golden[f"{name} quality"], atol=1e-3)


@pytest.mark.parametrize("candidates", [3, 1])
@pytest.mark.parametrize("case", ["click", "clicks", "boxes", "both"])
def test_masks_and_qualities(
    masker: SamMasker, state: Any, golden: dict[str, Any], case: str, candidates: int
) -> None:
    assert str(golden["commit"]).startswith("dca509f")
    given = prompts(golden["rgb street"].shape[:2])[case]
    raw = masker.decode(state, asked(given), candidates=candidates)
    compare(golden, f"{case} {candidates}", raw)
    if case == "click":  # all at once, or one by one
        one = masker.decode(state, asked(given)[3:4], candidates=candidates)
        at = slice(3 * candidates, 4 * candidates)
        np.testing.assert_allclose(one.logits, raw.logits[at], atol=1e-4)


@pytest.mark.parametrize("case", ["click", "both"])
def test_rough_masks_as_prompts(
    masker: SamMasker, state: Any, golden: dict[str, Any], case: str
) -> None:
    given = prompts(golden["rgb street"].shape[:2])[case]
    prompts_too = asked(given)
    raw = masker.decode(state, asked(given, rough_masks(len(prompts_too))))
    compare(golden, f"{case} again", raw)
    plain = masker.decode(state, prompts_too)
    assert (raw.logits - plain.logits).abs().mean() > 0.1, "the rough mask changes the answer"


SLOW = pytest.param("plain", marks=pytest.mark.slow)  # the official default: 1,024 points


@pytest.mark.parametrize("case", [SLOW, *(name for name in GENERATED if name != "plain")])
def test_automatic_generation(masker: SamMasker, golden: dict[str, Any], case: str) -> None:
    want, (photo, settings) = read("sam_masks"), GENERATED[case]
    rgb = golden[f"rgb {photo}"]
    quality = want[f"{case} quality"]
    bits = np.unpackbits(want[f"{case} masks"], count=len(quality) * rgb[..., 0].size)
    theirs = Masks.from_dense(bits.view(bool).reshape(-1, *rgb.shape[:2]))
    assert len(theirs) >= 20, "conditions under which agreement is worth something"
    assert theirs.areas.max() < 0.9 * rgb[..., 0].size
    given = {NAMES[key]: value for key, value in {**STABILITY, **settings}.items()}
    found = generate(masker, rgb, Settings(**given))
    iou = found.masks.iou(theirs)
    for axis in (0, 1):
        assert (iou.max(axis) >= 0.99).mean() >= 0.99
    best = iou.argmax(1)
    same = iou.max(1) >= 0.99
    np.testing.assert_allclose(
        found.stability[same], want[f"{case} stability"][best[same]], atol=0.01
    )
    np.testing.assert_allclose(found.quality[same], quality[best[same]].clip(0, 1), atol=1e-3)


def test_bf16_draws_the_same_masks(masker: SamMasker, golden: dict[str, Any]) -> None:
    """98 % of the masks that are steady keep an IoU of 0.95 with those of fp32."""
    rgb = golden["rgb coffee"]
    short = masker_of(sam_weights.trained(), pick("cpu", "bf16"), name="trained")
    assert short.dtype_name == "bf16"
    rng = np.random.default_rng(3)
    points = torch.tensor(rng.uniform([0, 0], rgb.shape[1::-1], (60, 1, 2)), dtype=torch.float32)
    asked = MaskPrompts(points, torch.ones(60, 1, dtype=torch.long))
    exact, rough = (one.decode(one.encode(rgb), asked) for one in (masker, short))
    assert (rough.logits - exact.logits).abs().max() > 1e-2, "another format indeed"
    inside, around = ((exact.logits > level).flatten(1).sum(1) for level in (1, -1))
    steady = (inside / around.clamp_min(1) >= 0.8) & (inside >= 100)
    assert steady.sum() >= 20
    a, b = (raw.logits[steady].flatten(1) > 0 for raw in (exact, rough))
    iou = (a & b).sum(1) / (a | b).sum(1)
    assert (iou >= 0.95).float().mean() >= 0.98
