"""proxy-clip and trident from the command, with tiny folders in the published formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import clip_weights
from tests.parity.test_proxies_transformers import sam, vit

from lexiseg.cli import main

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("weights")
    clip_weights.write_openclip(root / "clip")
    vit().save_pretrained(root / "dino")
    sam().save_pretrained(root / "sam")
    with Image.open(PHOTO) as photo:
        photo.resize((96, 70)).save(root / "photo.png")
    return {name: str(root / name) for name in ("clip", "dino", "sam", "photo.png")}


@pytest.mark.parametrize("method", ["proxy-clip", "trident"])
def test_a_folder_each_is_enough(
    folders: dict[str, str], method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"encoder={folders['clip']}", f"proxy={folders['dino']}", "short_side=112",
                "window=112", "stride=48", "templates=plain"]  # fmt: skip
    if method == "trident":
        settings += [f"sam={folders['sam']}"]
    arguments = [item for setting in settings for item in ("--set", setting)]
    code = main(
        ["segment", folders["photo.png"], "sky", "road", "--method", method, "--background",
         "none", "--out", str(tmp_path), "--json", *arguments]
    )  # fmt: skip
    assert code == 0
    said = json.loads(capsys.readouterr().out)["pictures"][0]
    assert said["provenance"]["method"] == method
    hashed = set(said["provenance"]["checkpoint_sha256"])
    assert any("model.safetensors" in name for name in hashed)
    labels = np.asarray(Image.open(next(tmp_path.rglob("labels.png"))))
    assert labels.shape == (70, 96)
    assert set(np.unique(labels)) <= {1, 2}  # a closed vocabulary: every pixel has a word


def test_missing_proxies_name_the_command(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["segment", folders["photo.png"], "sky", "--method", "proxy-clip", "--set",
         f"encoder={folders['clip']}", "--out", str(tmp_path)]
    )  # fmt: skip
    assert code == 4
    assert "lexiseg models pull dino-vit-b8" in capsys.readouterr().err


def test_proxies_want_a_clip(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["segment", folders["photo.png"], "sky", "--method", "proxy-clip", "--set", "encoder=tiny",
         "--set", f"proxy={folders['dino']}", "--out", str(tmp_path)]
    )  # fmt: skip
    assert code == 2
    assert "needs a CLIP" in capsys.readouterr().err
