"""SAM 3's points and boxes: its picture encoder under lexiseg's own prompts and decoder, against
transformers' tracker, and through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests import sam3_tracker_weights
from tests.sam3_tracker_weights import SIDE

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.models import load_masker
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import MaskPrompts

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-sam3-tracker")
    return folder, sam3_tracker_weights.published(folder)


def seen_by(model: Any, rgb: NDArray[np.uint8]) -> list[torch.Tensor]:
    """What transformers' tracker makes of a picture, with "no memory" where Meta adds it.

    That is the map of a cell for 14 pixels, the last that the decoder reads, as transformers' video
    tracker has it too; its tracker of single pictures adds it to a fourth map, which nothing reads.
    """
    pixels = squashed(rgb, SIDE, (0.5,) * 3, (0.5,) * 3)
    fine, middle, coarse, _ = model.get_image_features(pixels, return_dict=True).fpn_hidden_states
    maps = zip((fine, middle, coarse + model.no_memory_embedding), (4, 2, 1), strict=True)
    side = SIDE // 14
    return [one.permute(1, 2, 0).reshape(1, -1, n * side, n * side) for one, n in maps]


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
    scale = torch.tensor([SIDE / 290, SIDE / 210])
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
                image_embeddings=seen_by(model, rgb), multimask_output=candidates == 3, **inputs
            )
        np.testing.assert_allclose(raw.logits, out.pred_masks[0].flatten(0, 1), atol=1e-3)
        np.testing.assert_allclose(raw.quality, out.iou_scores[0].flatten(), atol=1e-4)
        inside = (raw.logits > 0).float().mean((1, 2))
        assert float(raw.logits.std()) > 1
        assert bool(((inside > 0.01) & (inside < 0.99)).any())


def test_points_on_the_command_line(
    both: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(tmp_path / "photo.png")
    code = main(
        ["segment", str(tmp_path / "photo.png"), "--point", "40,50", "--box", "20,10,90,80",
         "--masker", str(both[0]), "--out", str(tmp_path / "o"), "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)["pictures"][0]
    assert found["provenance"]["masker"].startswith("tiny-sam3-tracker")
    assert {one["word"] for one in found["instances"]} == {"point 1", "box 1"}
