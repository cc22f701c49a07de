"""SAM's own files through the command line: Meta's .pth of any digest, and a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.parity.golden.sam_official import picture
from tests.sam_weights import published_folder, trained

from lexiseg import imaging
from lexiseg.cli import main


@pytest.fixture
def photo(
    tmp_path: Path, colours: Any, stripes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    monkeypatch.chdir(tmp_path)
    imaging.write(tmp_path / "stripes.png", stripes)
    imaging.write(tmp_path / "street.png", picture("street"))
    torch.save(trained(), tmp_path / "sam_vit_mine.pth")
    return tmp_path


def result(folder: str) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
    return out


def test_a_click_with_metas_file_of_unknown_digest(photo: Path) -> None:
    line = "street.png --point 60,100 --box 10,20,100,150 --masker-checkpoint sam_vit_mine.pth"
    assert main(["segment", *line.split()]) == 0
    out = result("lexiseg-out/street")
    assert [one["word"] for one in out["instances"]] == ["point 1", "box 1"]
    assert out["provenance"]["masker"] == "sam-vit-mine"
    (digest,) = [v for k, v in out["provenance"]["checkpoint_sha256"].items() if "masker" in k]
    assert len(digest) == 64
    mask = np.asarray(imaging.read("lexiseg-out/street/masks/point 1.png").rgb)[..., 0] > 0
    assert 0 < mask.mean() < 0.9


def test_words_with_a_folder_of_transformers(photo: Path) -> None:
    folder = published_folder(photo / "sam-drawn")
    line = f"stripes.png red blue --method clip-then-sam --set masker={folder}"
    assert main(["segment", *line.split(), "--set", "min_agreement=0"]) == 0
    assert result("lexiseg-out/stripes")["provenance"]["masker"] == "sam-drawn"


def test_every_mask_with_the_settings_of_the_generator(photo: Path) -> None:
    line = "street.png red blue grey --method sam-then-clip --masker-checkpoint sam_vit_mine.pth"
    fields = "points_per_side=6 min_stability=0.7 crop_n_layers=1 min_mask_region_area=9"
    settings = [part for field in fields.split() for part in ("--set", field)]
    assert main(["segment", *line.split(), *settings, "--background", "none"]) == 0
    told = result("lexiseg-out/street")["provenance"]
    assert told["prompts"]["asked"] == 5 * 36
    assert told["prompts"]["masks"] > 3
    assert told["config"]["crop_n_layers"] == 1


def test_a_file_that_would_run_code_is_refused(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (Path("ran"),))  # type: ignore[return-value]

    torch.save({**trained(), "more": Evil()}, "evil.pth")
    line = "street.png --point 60,100 --masker-checkpoint evil.pth"
    assert main(["segment", *line.split()]) == 4
    assert "does not hold SAM's weights" in capsys.readouterr().err
    assert not Path("ran").exists()


def test_half_a_model_is_refused(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {k: v for k, v in trained().items() if "final_attn" not in k}
    torch.save(state, "half.pth")
    assert (
        main(["segment", "street.png", "--point", "60,100", "--masker-checkpoint", "half.pth"]) == 4
    )
    assert "not those of a whole SAM" in capsys.readouterr().err
    torch.save({"other.weight": torch.zeros(3)}, "other.pth")
    assert (
        main(["segment", "street.png", "--point", "60,100", "--masker-checkpoint", "other.pth"])
        == 4
    )
    assert "not known weights" in capsys.readouterr().err
