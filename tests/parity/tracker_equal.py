"""What is promised of picture encoders of others under lexiseg's own prompts and decoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.close import assert_close

from lexiseg.cli import main
from lexiseg.protocols import Masker, MaskPrompts

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


def same_answers(
    masker: Masker, theirs: Callable[..., Any], rgb: NDArray[np.uint8], side: int, candidates: int
) -> None:
    """Logits and qualities are close, for points and for boxes.

    theirs: transformers' model, given its prompts in pixels of a square of ``side``.
    """
    height, width = rgb.shape[:2]
    rng = np.random.default_rng(3)
    points = torch.from_numpy((rng.random((4, 2, 2)) * [width, height]).astype(np.float32))
    labels = torch.tensor([[1, 0], [1, 1], [1, -1], [0, 1]])
    corner = rng.random((4, 2)) * [width - 140, height - 100]
    boxes = torch.from_numpy(np.concatenate([corner, corner + 60], 1).astype(np.float32))
    scale = torch.tensor([side / width, side / height])
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
            out = theirs(multimask_output=candidates == 3, **inputs)
        assert_close(raw.logits, out.pred_masks[0].flatten(0, 1))
        assert_close(raw.quality, out.iou_scores[0].flatten())
        inside = (raw.logits > 0).float().mean((1, 2))
        assert float(raw.logits.std()) > 1
        assert bool(((inside > 0.01) & (inside < 0.99)).any())


def answers_on_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A point and a box are answered by the model in the folder, which the provenance names."""
    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(tmp_path / "photo.png")
    code = main(
        ["segment", str(tmp_path / "photo.png"), "--point", "40,50", "--box", "20,10,90,80",
         "--masker", str(folder), "--out", str(tmp_path / "o"), "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)["pictures"][0]
    assert found["provenance"]["masker"] == folder.name
    assert {one["word"] for one in found["instances"]} == {"point 1", "box 1"}
