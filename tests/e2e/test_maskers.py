"""`lexiseg segment` with published mask models, from tiny checkpoints in transformers' layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import sam2_weights

from lexiseg.cli import main
from lexiseg.protocols import LoadOptions

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(path)
    return path


def test_points_and_boxes_with_sam2(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lexiseg.models import load_masker
    from lexiseg.stages.mask_prompting import decode_clicks
    from lexiseg.stages.mask_upsampling import upsample_masks

    sam2_weights.published(tmp_path / "sam2")
    code = main(
        ["segment", str(photo), "--point", "40,50", "--point", "100,20", "--box", "20,10,90,80",
         "--not-point", "5,5", "--masker", str(tmp_path / "sam2"), "--out", str(tmp_path / "o"),
         "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)["pictures"][0]
    assert found["provenance"]["masker"] == "sam2"
    masker = load_masker(tmp_path / "sam2", LoadOptions(device="cpu"))
    raw = decode_clicks(
        masker, masker.encode(np.asarray(Image.open(photo))), [(40, 50), (100, 20)],
        [(20, 10, 90, 80)], [(5, 5)],
    )  # fmt: skip
    areas = upsample_masks(raw).areas
    kept = [float(q) for q, area in zip(raw.quality, areas, strict=True) if area]
    assert [one["quality"] for one in found["instances"]] == pytest.approx(kept, abs=1e-3)
