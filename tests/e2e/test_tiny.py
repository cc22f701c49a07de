"""The command and the Python interface with the bundled model, on real photos, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lexiseg
import lexiseg.imaging
from lexiseg.cli import main

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def mask(path: Path) -> Any:
    with Image.open(path) as image:
        return np.array(image) > 0


def test_a_photo_and_words_give_masks(tmp_path: Path, capsys: Any) -> None:
    assert run("segment", PHOTOS / "cat.jpg", "cat", "tree", "--out", tmp_path / "o") == 0
    cat = mask(tmp_path / "o/cat/masks/cat.png")
    assert cat.shape == (1080, 1920)
    assert cat[300:500, 800:1200].mean() > 0.9  # its face
    assert cat[:, :100].mean() < 0.1  # the curtain
    result = json.loads((tmp_path / "o/cat/result.json").read_text("utf-8"))
    assert result["provenance"]["encoder"] == "tiny"
    assert len(result["provenance"]["checkpoint_sha256"]["vision.safetensors"]) == 64
    with Image.open(tmp_path / "o/cat/overlay.png") as shown:
        assert shown.width * shown.height > 1920 * 1080  # the legend is beside or under it
    assert "cat" in capsys.readouterr().out


def test_the_same_from_python(tmp_path: Path) -> None:
    seg = lexiseg.load("tiny")
    out = seg(PHOTOS / "cat.jpg", ["cat", "tree"])
    assert out["cat"].union()[300:500, 800:1200].mean() > 0.9
    lexiseg.save_overlay(out, tmp_path / "cat.png", PHOTOS / "cat.jpg")
    assert lexiseg.imaging.read(tmp_path / "cat.png").rgb.shape[1] >= 1920
    assert len(lexiseg.to_coco(out)["annotations"]) == len(out)
    again = seg(PHOTOS / "cat.jpg", ["cat", "tree"])
    assert (again.label_map == out.label_map).all()


def rotated(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to see it upright
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def rgba(image: Image.Image, path: Path) -> None:
    image.putalpha(200)
    image.save(path)


def sixteen_bits(image: Image.Image, path: Path) -> None:
    lexiseg.imaging.write(path, np.asarray(image).astype(np.uint16) * 257)


# All without loss, so that the masks are the same to the pixel.
KINDS: dict[str, Callable[[Image.Image, Path], None]] = {
    "turned.png": rotated,
    "inks.tif": lambda image, path: image.convert("CMYK").save(path),
    "clear.png": rgba,
    "deep.png": sixteen_bits,
    "plain.webp": lambda image, path: image.save(path, lossless=True),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gets_the_same_mask(name: str, tmp_path: Path) -> None:
    photo = Image.fromarray(lexiseg.imaging.read(PHOTOS / "bird.jpg").rgb)
    seg = lexiseg.load("tiny")
    expected = seg(np.asarray(photo), ["bird"])["bird"].union()
    assert expected.any()
    KINDS[name](photo, tmp_path / name)
    assert (seg(tmp_path / name, ["bird"])["bird"].union() == expected).all()


@pytest.mark.parametrize("method", ["dense", "clip-then-sam", "sam-then-clip"])
def test_what_is_hidden_is_never_counted_drawn_or_cut_out(method: str, tmp_path: Path) -> None:
    with Image.open(PHOTOS / "pets.jpg") as image:
        rgb = np.asarray(image.convert("RGB").resize((192, 160)))
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:, :64] = 0
    lexiseg.imaging.write(tmp_path / "t.png", np.dstack([rgb, alpha]))
    line = ["segment", tmp_path / "t.png", "dog", "grass", "--cutout", "--out", tmp_path / "o"]
    line += ["--set", "points_per_side=6"] if method == "sam-then-clip" else []
    assert run(*line, "--method", method, "--background", "none") in (0, 3)
    out = tmp_path / "o" / "t"
    drawn = [*out.glob("masks/*.png"), out / "labels.png"]
    for path in drawn:
        assert not mask(path)[:, :64].any(), path
    for path in [*out.glob("cutouts/*.png"), *out.glob("segmented.png")]:
        assert not lexiseg.imaging.read(path).alpha[:, :64].any(), path  # type: ignore[index]
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert sum(word["share"] for word in result["vocabulary"]) <= 2 / 3 + 1e-5
    assert all(box["box_xywh"][0] >= 64 for box in result["instances"])


def test_a_preset_for_another_encoder_says_so(tmp_path: Path, capsys: Any) -> None:
    assert run("segment", PHOTOS / "cat.jpg", "cat", "--preset", "sclip", "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert "the preset 'sclip' sets it" in said
    assert "clip-vit-b16.openai" in said


def test_a_picture_of_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (90, 140, 230)).save(tmp_path / "dot.png")
    assert run("segment", tmp_path / "dot.png", "sky", "dog", "--out", tmp_path / "o") == 0
    assert mask(tmp_path / "o/dot/labels.png").shape == (1, 1)
    code = run(
        "segment", tmp_path / "dot.png", "sky", "--background", "none", "--out", tmp_path / "o"
    )
    assert code == 0
    assert mask(tmp_path / "o/dot/masks/sky.png").all()


def test_words_that_are_unknown_are_told(tmp_path: Path, capsys: Any) -> None:
    args = ("--out", tmp_path / "o", "--json")
    assert run("segment", PHOTOS / "cat.jpg", "cat", "sphygmomanometer", *args) == 0
    (picture,) = json.loads(capsys.readouterr().out)["pictures"]
    assert [item["word"] for item in picture["unknown"]] == ["sphygmomanometer"]
    assert len(picture["unknown"][0]["nearest"]) >= 1


def test_the_whole_command_needs_no_network_and_no_transformers(tmp_path: Path) -> None:
    code = """
import socket, sys
def refuse(*args, **options): raise AssertionError("a connection")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from lexiseg.cli import main
code = main(sys.argv[1:])
assert not {"transformers", "diffusers", "timm"} & set(sys.modules)
sys.exit(code)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, "segment", PHOTOS / "bird.jpg", "bird", "--out", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "bird" in ended.stdout


def test_bench_models_and_info_know_the_bundled_model(capsys: Any) -> None:
    assert run("bench", PHOTOS / "bird.jpg", "bird", "--repeats", 1, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"encode", "words", "label"} <= set(facts["stage_seconds"])
    assert run("models") == 0
    assert "tiny" in capsys.readouterr().out
    assert run("models", "path", "tiny") == 0
    assert (Path(capsys.readouterr().out.strip()) / "manifest.json").is_file()
    assert run("models", "pull", "tiny") == 0
    capsys.readouterr()
    assert run("info", "--json") == 0
    assert "vision.safetensors" in json.loads(capsys.readouterr().out)["bundled weights (sha256)"]
