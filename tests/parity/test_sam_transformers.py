"""SAM as a masker against transformers, live, on drawn weights in the published format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.close import assert_close
from tests.sam_weights import published_folder

from lexiseg.models import load_masker
from lexiseg.models.sam.trunk import scaled_pixels
from lexiseg.protocols import LoadOptions, Masker, MaskPrompts, RawMasks

SIZE_HW = (75, 130)
# Noise as a picture, and drawn weights, make errors grow; those of mistakes are over 1e-2.
EPS = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_folder(tmp_path_factory.mktemp("sam") / "sam-drawn")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from transformers import SamModel

    return SamModel.from_pretrained(folder, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def masker(folder: Path) -> Masker:
    return load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))


@pytest.fixture(scope="module")
def rgb() -> Any:
    return np.random.default_rng(2).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)


def expected(reference: Any, rgb: Any, given: dict[str, Any], single: bool = False) -> Any:
    side = reference.config.vision_config.image_size
    pixels, (h, w) = scaled_pixels(rgb, side)
    scale = torch.tensor([w / rgb.shape[1], h / rgb.shape[0]])
    asked: dict[str, Any] = {}
    if "points" in given:
        # transformers counts pixels from the middle of the first one.
        asked["input_points"] = ((given["points"] - 0.5) * scale)[None]
        asked["input_labels"] = given["labels"][None]
    if "boxes" in given:
        asked["input_boxes"] = (given["boxes"] * scale.repeat(2))[None]
    if "masks" in given:
        asked["input_masks"] = given["masks"][:, None]
    with torch.inference_mode():
        out = reference(pixel_values=pixels, multimask_output=not single, **asked)
    return out.pred_masks[0].flatten(0, 1), out.iou_scores[0].flatten()


def ours(masker: Masker, rgb: Any, given: dict[str, Any], single: bool = False) -> RawMasks:
    prompts = MaskPrompts(
        given.get("points"), given.get("labels"), given.get("boxes"), given.get("masks")
    )
    return masker.decode(masker.encode(rgb), prompts, candidates=1 if single else 3)


POINTS = torch.tensor(
    [[[20.5, 30.0], [100.0, 60.5]], [[64.0, 10.0], [5.5, 70.0]], [[129.0, 74.0], [40.0, 40.0]],
     [[3.0, 2.0], [90.0, 8.0]], [[77.0, 50.0], [12.0, 33.0]]]
)  # fmt: skip
LABELS = torch.tensor([[1, 0], [1, 1], [1, -1], [0, 1], [1, 0]])
BOXES = torch.tensor([[10.0, 5.0, 60.0, 70.0], [40.0, 20.0, 120.0, 50.0], [0.0, 0.0, 130.0, 75.0]])
CASES = {
    "a click each": {"points": POINTS[:, :1], "labels": torch.ones(5, 1, dtype=torch.long)},
    "clicks, on and beside, and padding": {"points": POINTS, "labels": LABELS},
    "boxes": {"boxes": BOXES},
    "boxes and clicks": {"points": POINTS[:3], "labels": LABELS[:3], "boxes": BOXES},
}


@pytest.mark.parametrize("single", [False, True], ids=["three", "one"])
@pytest.mark.parametrize("case", CASES)
def test_masks_and_qualities(
    masker: Masker, reference: Any, rgb: Any, case: str, single: bool
) -> None:
    given = CASES[case]
    masks, quality = expected(reference, rgb, given, single)
    raw = ours(masker, rgb, given, single)
    assert masks.std() > 0.5, "answers that differ from place to place"
    assert masks.flatten(1).std(0).mean() > 0.1, "and from prompt to prompt"
    assert_close(raw.logits, masks, EPS)
    assert_close(raw.quality, quality, EPS)
    each = 1 if single else 3
    assert raw.prompt.tolist() == [i // each for i in range(len(quality))]
    moved = {k: v if k == "labels" else v + 0.5 for k, v in given.items()}
    with pytest.raises(AssertionError, match="of the largest value"):  # by half a pixel
        assert_close(ours(masker, rgb, moved, single).logits, masks, 1e-2)


def test_earlier_answers_as_prompts(masker: Masker, reference: Any, rgb: Any) -> None:
    # transformers takes one rough mask a picture, so prompts are asked one by one.
    clicks = CASES["a click each"]
    first = ours(masker, rgb, clicks, True)
    given = {**clicks, "masks": first.logits}
    raw = ours(masker, rgb, given)
    for i in range(len(POINTS)):
        one = {key: value[i : i + 1] for key, value in given.items()}
        masks, quality = expected(reference, rgb, one)
        assert_close(raw.logits[3 * i : 3 * i + 3], masks, EPS)
        assert_close(raw.quality[3 * i : 3 * i + 3], quality, EPS)
    plain = ours(masker, rgb, clicks)
    assert (raw.logits - plain.logits).abs().max() > 0.1, "the rough mask changes the answer"
