"""CLIP from a folder of published files to label maps: from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import clip_weights

import lexiseg
from lexiseg.cli import main
from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods.dense import PRESETS, Config
from lexiseg.stages.attention import READOUTS

WORDS = ["sky", "road", "car|van", "tree", "house"]
SMALL: dict[str, Any] = {"short_side": 64, "window": 64, "stride": 32, "templates": "plain"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(clip_weights.write_openclip(tmp_path_factory.mktemp("weights") / "clip-small"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    path = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB").resize((150, 97)))


@pytest.mark.parametrize("refine", ["guided", "none", "pamr"])
def test_a_closed_vocabulary_labels_every_pixel(
    folder: str, photo: NDArray[np.uint8], refine: str
) -> None:
    seg = lexiseg.load("dense", encoder=folder, device="cpu", refine=refine, **SMALL)
    out = seg(photo, WORDS, background=None)
    assert out.words == ("sky", "road", "car", "tree", "house")
    assert out.label_map.shape == (97, 150)
    assert out.label_map.min() >= 0
    assert len(np.unique(out.label_map)) >= 2
    assert out.provenance.config["refine"] == refine
    assert set(out.provenance.checkpoint_sha256) == {
        "open_clip_model.safetensors", "open_clip_config.json"
    }  # fmt: skip
    assert out.score_map is not None
    # Each word's share is that of its best synonym: they need not sum to 1.
    assert (out.score_map.grid.sum(0) <= 1.01).all()


def test_every_readout_gives_its_own_map(folder: str, photo: NDArray[np.uint8]) -> None:
    maps = {}
    for name in READOUTS:
        seg = lexiseg.load("dense", encoder=folder, readout=name, refine="none", **SMALL)
        maps[name] = seg(photo, WORDS, background=None).label_map
    for one in maps:
        for other in maps:
            assert one == other or (maps[one] != maps[other]).any()


def test_a_view_serves_other_words(folder: str, photo: NDArray[np.uint8]) -> None:
    seg = lexiseg.load("dense", encoder=folder, refine="none", **SMALL)
    view = seg.prepare(photo)
    fresh = seg(photo, ["dog", "cat"], background=None)
    seg(view, WORDS, background=None)
    again = seg(view, ["dog", "cat"], background=None)
    assert (again.label_map == fresh.label_map).all()
    assert view.windows_xyxy.shape == (3, 4)
    assert view.windows_xyxy[-1].tolist()[2:] == [150, 97]


def test_background_and_thresholds(folder: str, photo: NDArray[np.uint8]) -> None:
    seg = lexiseg.load("dense", encoder=folder, refine="none", **SMALL)
    out = seg(photo, ["sky"])
    assert (out.label_map == -1).any()  # the background's words win somewhere
    high = lexiseg.load("dense", encoder=folder, refine="none", threshold=1.0, **SMALL)
    assert (high(photo, WORDS, background=None).label_map == -1).mean() > 0.5


@pytest.mark.parametrize("size", [(5, 3), (3, 90), (97, 150)])
def test_any_size_scales_and_mirror(folder: str, size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seg = lexiseg.load("dense", encoder=folder, scales=(1.0, 1.5), flip=True, **SMALL)
    assert seg(photo, WORDS, background=None).label_map.shape == size


def test_presets_hold_the_papers_settings() -> None:
    assert {"maskclip", "sclip", "naclip", "clearclip"} <= set(PRESETS)
    sclip = Config(**PRESETS["sclip"])
    assert (sclip.short_side, sclip.window, sclip.stride) == (336, 224, 112)
    assert (sclip.logit_scale, sclip.readout, len(sclip.sentences)) == (40, "sclip", 80)
    assert Config(**PRESETS["naclip"]).refine == "pamr"
    clear = Config(**PRESETS["clearclip"])
    assert (clear.window, clear.stride, clear.logit_scale, clear.ragged) == (448, 224, 50, "pad")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"readout": "sclib"}, "did you mean 'sclip'"),
        ({"positions": "sizes"}, "did you mean 'size'"),
        ({"ragged": "padding"}, "did you mean 'pad'"),
        ({"stride": 0}, "stride is 0"),
        ({"layers": (0, 2)}, "count from 1"),
        ({"logit_scale": -1.0}, "logit_scale is -1"),
        ({"pamr_steps": 0}, "pamr_steps is 0"),
        ({"area_threshold": 1.5}, "area_threshold is 1.5"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises((OptionError, UnknownName), match=message):
        Config(**setting)


def test_the_command(folder: str, photo: NDArray[np.uint8], tmp_path: Path, capsys: Any) -> None:
    Image.fromarray(photo).save(tmp_path / "p.png")
    line = [
        "segment", str(tmp_path / "p.png"), "--words", "sky; road", "--encoder", folder,
        "--background", "none", "--set", "readout=sclip", "--set", "short_side=64",
        "--set", "window=64", "--out", str(tmp_path / "out"), "--device", "cpu",
    ]  # fmt: skip
    assert main(line) == 0
    result = json.loads((tmp_path / "out" / "p" / "result.json").read_text())
    assert "sclip" in json.dumps(result)
    assert (
        main(["segment", str(tmp_path / "p.png"), "sky", "--encoder", "clip-vit-b16.openai"]) == 4
    )
    assert "lexiseg models pull clip-vit-b16.openai" in capsys.readouterr().err


def test_the_words_and_settings_of_a_data_set(
    folder: str, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(photo).save(tmp_path / "p.png")
    line = [
        "segment", str(tmp_path / "p.png"), "@voc21", "--preset", "sclip@voc21",
        "--encoder", folder, "--set", "short_side=64", "--set", "window=64",
        "--set", "templates=plain", "--set", "threshold=0", "--out", str(tmp_path / "out"),
        "--device", "cpu", "--quiet",
    ]  # fmt: skip
    assert main(line) == 0
    result = json.loads((tmp_path / "out" / "p" / "result.json").read_text())
    config = result["provenance"]["config"]
    assert (config["logit_scale"], config["area_threshold"]) == (65.0, 0.1)
    seg = lexiseg.load("dense", encoder=folder, preset="sclip@voc21", **SMALL)
    out = seg(photo, "@voc21")
    assert out.words[0] == "background"
    assert len(out.words) == 21
    assert (lexiseg.load("dense", encoder=folder, **SMALL)(photo, "@ade20k").semantic() >= 0).all()


def test_the_command_for_models(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.split("  ")[0]).name for line in lines] == [
        "open_clip_model.safetensors", "open_clip_config.json"
    ]  # fmt: skip
    assert all(len(line.split("  ")[1]) == 64 for line in lines)
    assert main(["models", "path", folder]) == 0
    assert capsys.readouterr().out.strip() == folder
    assert main(["models", "remove", "clip-vit-b16.openai"]) == 0
    assert "nothing of clip-vit-b16.openai" in capsys.readouterr().out
    assert main(["models", "pull", "clip-vit-b16.openai", "--offline"]) == 4
    assert "--offline forbids it" in capsys.readouterr().err
