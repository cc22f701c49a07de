"""`lexiseg segment` with the methods that find things one by one, from tiny checkpoints in the
published formats; what the detectors say is compared with transformers' own outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.detector_weights import bert_tokenizer, write_grounding_dino, write_owl

from lexiseg.cli import main

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(path)
    return path


def segment(
    photo: Path, out: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, Any]:
    code = main(["segment", str(photo), *arguments, "--out", str(out), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)["pictures"][0]
    return found


@pytest.mark.slow
def test_grounded_asks_at_the_boxes_of_grounding_dino(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        GroundingDinoImageProcessorPil,
    )

    model = write_grounding_dino(tmp_path / "dino")
    rgb = np.asarray(Image.open(photo))
    pixels = GroundingDinoImageProcessorPil()(rgb, return_tensors="pt")["pixel_values"]
    encoded = bert_tokenizer().encode("cat. sky.")
    with torch.inference_mode():
        out = model(pixel_values=pixels, input_ids=torch.tensor([encoded.ids]))
    words = [i for i, t in enumerate(encoded.tokens) if t in ("cat", "sky")]
    score, word = out.logits[0].sigmoid()[:, words].max(1)
    least = float(score.sort().values[-6:-4].mean())  # five boxes pass
    cx, cy, w, h = out.pred_boxes[0].unbind(1)
    size = torch.tensor([130, 90, 130, 90])
    boxes = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1) * size
    boxes = torch.minimum(boxes.clamp_min(0), size)[score >= least]

    said = segment(
        photo, tmp_path / "out", capsys, "cat", "sky", "--method", "grounded",
        "--set", f"detector={tmp_path / 'dino'}", "--set", f"box_threshold={least}",
        "--set", "box_nms_threshold=1.0", "--set", "iou_threshold=1.0", "--dtype", "fp32",
    )  # fmt: skip
    assert said["provenance"]["method"] == "grounded"
    assert said["provenance"]["masker"] == "tiny"
    assert said["provenance"]["prompts"]["asked"] == 5
    for box in said["provenance"]["prompts"]["boxes_xyxy"]:
        assert np.abs(boxes.numpy() - box).max(1).min() < 0.1
    want = {"cat": score[(word == 0) & (score >= least)], "sky": score[(word == 1)]}
    for instance in said["instances"]:
        near = np.abs(want[instance["word"]].numpy() - instance["score"]).min()
        assert near < 1e-3
    labels = np.asarray(Image.open(next((tmp_path / "out").rglob("labels.png"))))
    assert labels.shape == (90, 130)
    assert 0 < (labels > 0).mean() <= 1


def test_grounded_with_owl_and_an_excluded_word(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_owl(tmp_path / "owl", 1)
    method = ["--method", "grounded", "--set", f"detector={tmp_path / 'owl'}", "--top-k", "2",
              "--set", "box_threshold=0.0", "--set", "iou_threshold=1.0"]  # fmt: skip
    both = segment(photo, tmp_path / "a", capsys, "cat", "sky", "dog", *method)
    # Each box has one word; how drawn weights share boxes out between words is up to them.
    best = max(both["instances"], key=lambda instance: instance["score"])["word"]
    other = "cat" if best != "cat" else "sky"
    less = segment(photo, tmp_path / "b", capsys, "--words", f"{best} -{other}", *method)
    assert {instance["word"] for instance in less["instances"]} == {best}
    assert less["provenance"]["prompts"]["asked"] >= 1
    # Excluded, the winner takes its boxes, and the other word gets none of them.
    taken = [one["rle"] for one in both["instances"] if one["word"] == best]
    code = main(
        ["segment", str(photo), "--words", f"{other} -{best}", "--out", str(tmp_path / "c"),
         "--json", *method]
    )  # fmt: skip
    said = json.loads(capsys.readouterr().out)["pictures"][0]
    assert code == (0 if said["instances"] else 3)
    assert {one["word"] for one in said["instances"]} <= {other}
    assert not [one for one in said["instances"] if one["rle"] in taken]
    assert both["provenance"]["encoder"] == "owl"
