"""SAM 3's points and boxes: its picture encoder under lexiseg's own prompts and decoder, against
transformers' tracker, and through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import sam3_tracker_weights
from tests.parity.tracker_equal import PHOTO, answers_on_the_command_line, same_answers
from tests.sam3_tracker_weights import SIDE

from lexiseg import imaging
from lexiseg.models import load_masker
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import LoadOptions


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
    masker = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))
    with torch.inference_mode():
        maps = seen_by(model, rgb)

    def theirs(**inputs: Any) -> Any:
        return model(image_embeddings=maps, **inputs)

    same_answers(masker, theirs, rgb, SIDE, candidates)


def test_points_on_the_command_line(
    both: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers_on_the_command_line(both[0], tmp_path, capsys)
