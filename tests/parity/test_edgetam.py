"""EdgeTAM through lexiseg's own preparing, prompts and decoder, against transformers' model, and
through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import edgetam_weights, sam2_weights
from tests.parity.tracker_equal import PHOTO, answers_on_the_command_line, same_answers

from lexiseg import imaging
from lexiseg.models import load_masker
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import LoadOptions

pytest.importorskip(
    "timm",
    exc_type=ImportError,
    reason="EdgeTAM needs timm: lexiseg[edgetam]",
)


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
    masker = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))
    side = sam2_weights.SIDE

    def theirs(**inputs: Any) -> Any:
        return model(pixel_values=squashed(rgb, side), **inputs)

    same_answers(masker, theirs, rgb, side, candidates)


def test_points_on_the_command_line(
    both: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers_on_the_command_line(both[0], tmp_path, capsys)
