"""EdgeTAM through lexiseg's own preparing, prompts and decoder, against transformers' model, and
through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import edgetam_weights, sam2_weights

from lexiseg import imaging
from lexiseg.models import load_masker
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import MaskPrompts

pytest.importorskip(
    "timm",
    exc_type=ImportError,
    reason="EdgeTAM needs timm: lexiseg[edgetam]",
)

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-edgetam")
    return folder, edgetam_weights.published(folder)


@pytest.mark.parametrize("candidates", [3, 1])
def test_logits_and_quality_are_those_of_transformers(
    both: tuple[Path, Any], candidates: int
) -> None:
    folder, model = both
    rgb = imaging.read(PHOTO).rgb[:210, :290]
    masker = load_masker(folder, device="cpu", dtype="fp32")
    rng = np.random.default_rng(3)
    points = torch.from_numpy((rng.random((4, 2, 2)) * [290, 210]).astype(np.float32))
    labels = torch.tensor([[1, 0], [1, 1], [1, -1], [0, 1]])
    corner = rng.random((4, 2)) * [150, 110]
    boxes = torch.from_numpy(np.concatenate([corner, corner + 60], 1).astype(np.float32))
    scale = torch.tensor([sam2_weights.SIDE / 290, sam2_weights.SIDE / 210])
    state = masker.encode(rgb)
    for given, inputs in (
        (
            MaskPrompts(points, labels),
            {"input_points": ((points - 0.5) * scale)[None], "input_labels": labels[None]},
        ),
        (MaskPrompts(boxes_xyxy=boxes), {"input_boxes": (boxes * scale.repeat(2))[None]}),
    ):
        raw = masker.decode(state, given, candidates=candidates)
        with torch.inference_mode():
            out = model(
                pixel_values=squashed(rgb, sam2_weights.SIDE),
                multimask_output=candidates == 3,
                **inputs,
            )
        np.testing.assert_allclose(raw.logits, out.pred_masks[0].flatten(0, 1), atol=1e-3)
        np.testing.assert_allclose(raw.quality, out.iou_scores[0].flatten(), atol=1e-4)
        inside = (raw.logits > 0).float().mean((1, 2))
        assert float(raw.logits.std()) > 1
        assert bool(((inside > 0.01) & (inside < 0.99)).any())


def test_points_on_the_command_line(
    both: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lexiseg.cli import main

    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(tmp_path / "photo.png")
    code = main(
        ["segment", str(tmp_path / "photo.png"), "--point", "40,50", "--box", "20,10,90,80",
         "--masker", str(both[0]), "--out", str(tmp_path / "o"), "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)["pictures"][0]
    assert found["provenance"]["masker"] == "tiny-edgetam0"
    assert {one["word"] for one in found["instances"]} == {"point 1", "box 1"}
