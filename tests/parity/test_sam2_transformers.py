"""SAM 2 through lexiseg's own encoder, decoder and preparing, against transformers' model with the
same drawn weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import sam2_weights
from tests.close import assert_close

from lexiseg import imaging
from lexiseg.models import load_masker
from lexiseg.models.sam2.masker import Sam2Masker, squashed
from lexiseg.protocols import LoadOptions, MaskPrompts

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    out: NDArray[np.uint8] = imaging.read(PHOTO).rgb[:210, :290]
    assert out.shape[0] != out.shape[1]
    return out


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sam2Masker, Any]:
    folder = tmp_path_factory.mktemp("tiny-sam2")
    model = sam2_weights.published(folder)
    masker = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))
    assert isinstance(masker, Sam2Masker)
    return masker, model


def asked() -> dict[str, MaskPrompts]:
    rng = np.random.default_rng(3)
    points = torch.from_numpy((rng.random((5, 3, 2)) * [290, 210]).astype(np.float32))
    labels = torch.tensor([[1, 0, -1], [1, 1, 0], [0, 1, 1], [1, -1, -1], [1, 0, 0]])
    corner = rng.random((5, 2)) * [150, 110]
    boxes = np.concatenate([corner, corner + 20 + rng.random((5, 2)) * 70], 1)
    box = torch.from_numpy(boxes.astype(np.float32))
    rough = torch.from_numpy(rng.normal(0, 8, (5, 64, 64)).astype(np.float32))
    return {
        "click": MaskPrompts(points[:, :1], torch.ones(5, 1, dtype=torch.long)),
        "clicks": MaskPrompts(points, labels),
        "boxes": MaskPrompts(boxes_xyxy=box),
        "both": MaskPrompts(points, labels, box),
        "masks": MaskPrompts(points[:, :1], labels[:, :1], masks=rough),
    }


@pytest.mark.parametrize("case", list(asked()))
@pytest.mark.parametrize("candidates", [3, 1])
def test_logits_and_quality_are_those_of_transformers(
    both: tuple[Sam2Masker, Any], rgb: NDArray[np.uint8], case: str, candidates: int
) -> None:
    masker, model = both
    given = asked()[case]
    raw = masker.decode(masker.encode(rgb), given, candidates=candidates)

    scale = torch.tensor([sam2_weights.SIDE / rgb.shape[1], sam2_weights.SIDE / rgb.shape[0]])
    inputs: dict[str, Any] = {"multimask_output": candidates == 3}
    if given.points_xy is not None and given.point_labels is not None:
        inputs["input_points"] = ((given.points_xy - 0.5) * scale)[None]
        inputs["input_labels"] = given.point_labels[None]
    if given.boxes_xyxy is not None:
        inputs["input_boxes"] = (given.boxes_xyxy * scale.repeat(2))[None]
    wanted, quality = [], []
    with torch.inference_mode():
        embeddings = model.get_image_embeddings(squashed(rgb, sam2_weights.SIDE))
        for i in range(len(given)):  # transformers takes one rough mask at a time
            one = {k: v[:, i : i + 1] if k != "multimask_output" else v for k, v in inputs.items()}
            if given.masks is not None:
                one["input_masks"] = given.masks[None, i : i + 1]
            out = model(image_embeddings=embeddings, **one)
            wanted.append(out.pred_masks[0, 0])
            quality.append(out.iou_scores[0, 0])
    masks = torch.cat(wanted)
    assert_close(raw.logits, masks)
    assert_close(raw.quality, torch.cat(quality))
    assert raw.prompt.tolist() == [i for i in range(5) for _ in range(candidates)]
    # Drawn weights must not degenerate: masks differ, and neither fill the frame nor are empty.
    inside = (masks > 0).float().mean((1, 2))
    assert float(masks.std()) > 1
    assert candidates == 1 or float(((inside > 0.02) & (inside < 0.98)).float().mean()) > 0.5


def test_attention_of_the_drawn_weights_looks_somewhere(
    both: tuple[Sam2Masker, Any], rgb: NDArray[np.uint8]
) -> None:
    _, model = both
    layer = model.mask_decoder.transformer.layers[1].cross_attn_token_to_image
    seen: list[torch.Tensor] = []
    hooks = [
        linear.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
        for linear in (layer.q_proj, layer.k_proj)
    ]
    with torch.inference_mode():
        model(
            pixel_values=squashed(rgb, sam2_weights.SIDE),
            input_points=torch.tensor([[[[40.0, 60.0]]]]),
            input_labels=torch.tensor([[[1]]]),
        )
    for hook in hooks:
        hook.remove()
    q, k = (x.unflatten(-1, (8, -1)).squeeze(1).movedim(-2, 1) for x in seen)
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    entropy = -(weights * weights.clamp_min(1e-12).log()).sum(-1) / np.log(weights.shape[-1])
    assert float(entropy.mean()) < 0.8


def test_pixels_are_scaled_as_transformers_processor_scales_them(rgb: NDArray[np.uint8]) -> None:
    # Its processor wants torchvision; what it calls is this function of torch, on whole pixels.
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    wanted = torch.nn.functional.interpolate(pixels, (128, 128), mode="bilinear", antialias=True)
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    wanted = (wanted - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert_close(squashed(rgb, 128), wanted, 1e-5)
