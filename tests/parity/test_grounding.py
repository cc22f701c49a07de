"""Grounding DINO and OWLv2 through lexiseg's own preparing and reading of boxes, against
transformers' processors on the same weights (what is compared is what lexiseg wrote itself)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.close import assert_close
from tests.detector_weights import bert_tokenizer, write_grounding_dino, write_owl

from lexiseg import imaging
from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, PromptError
from lexiseg.models import load_detector
from lexiseg.models.grounding.dino import captions
from lexiseg.protocols import Detector, LoadOptions

WORDS = ["cat", "red car", "dog", "Sky"]
PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))[:2]


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-dino")
    return folder, write_grounding_dino(folder)


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-owl")
    return folder, write_owl(folder)


def _load(folder: Path) -> Detector:
    return load_detector(folder, LoadOptions(device="cpu", dtype="fp32"))


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda p: p.stem)
def test_grounding_dino_gives_the_boxes_of_its_processor(
    dino: tuple[Path, Any], photo: Path
) -> None:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        GroundingDinoImageProcessorPil,
    )

    folder, model = dino
    rgb = imaging.read(photo).rgb[:300, :230]
    found = _load(folder).detect(_load(folder).encode(rgb), WORDS, threshold=0.0)
    assert len(found) == 20  # all queries

    pixels = GroundingDinoImageProcessorPil()(rgb, return_tensors="pt")["pixel_values"]
    caption = "cat. red car. dog. sky."
    encoded = bert_tokenizer().encode(caption)
    with torch.inference_mode():
        out = model(pixel_values=pixels, input_ids=torch.tensor([encoded.ids]))
    probabilities = out.logits[0].sigmoid()
    assert probabilities[:, : len(encoded.ids)].std() > 0.01  # the drawn weights tell boxes apart
    for box, score, word, row, scores in zip(
        found.boxes_xyxy, found.scores, found.words, out.pred_boxes[0], probabilities, strict=True
    ):
        phrase = WORDS[int(word)].lower()
        place = caption.index(phrase)
        inside = [
            i for i, (a, b) in enumerate(encoded.offsets) if place <= a < b <= place + len(phrase)
        ]
        assert score == pytest.approx(float(scores[inside].max()), abs=1e-4)
        words = [i for i, t in enumerate(encoded.tokens) if t not in ("[CLS]", "[SEP]", ".")]
        assert score == pytest.approx(float(scores[words].max()), abs=1e-4)
        cx, cy, w, h = row.tolist()
        wanted = np.clip(
            [(cx - w / 2) * 230, (cy - h / 2) * 300, (cx + w / 2) * 230, (cy + h / 2) * 300],
            0, [230, 300, 230, 300],
        )  # fmt: skip
        np.testing.assert_allclose(box.numpy(), wanted, atol=0.05)  # pixels


def test_a_long_vocabulary_is_asked_in_several_captions(dino: tuple[Path, Any]) -> None:
    folder, _ = dino
    things = ("tree", "road", "lamp", "table")
    words = [f"{a} {b}" for a in ("cat", "dog", "sky", "red", "car") for b in things]
    made = captions(bert_tokenizer(), words, 20)
    assert len(made) > 1
    assert max(len(ids) for ids, _, _ in made) <= 20
    said = []
    for ids, spans, first in made:
        assert (ids[0], ids[-1]) == (2, 3)
        for k, (a, b) in enumerate(spans):
            text = " ".join(bert_tokenizer().id_to_token(i) for i in ids[a:b])
            assert text == words[first + k]
            said.append(text)
    assert said == words
    state = _load(folder).encode(np.zeros((40, 70, 3), np.uint8))
    found = _load(folder).detect(state, words, threshold=0.0)
    assert len(found) == 20 * 2  # all queries of both captions
    assert int(found.words[:20].max()) < 13 <= int(found.words[20:].min())
    with pytest.raises(PromptError, match="tokens"):
        captions(bert_tokenizer(), ["cat dog sky tree"], 5)


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda p: p.stem)
def test_owl_gives_the_boxes_of_its_processor(
    owl: tuple[Path, Any], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy", reason="transformers' processor of OWLv2 needs scipy")
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    from lexiseg.models.clip.tokenizer import tokenise, tokenizer

    folder, model = owl
    rgb = imaging.read(photo).rgb[:200, :310]
    detector = _load(folder)
    found = detector.detect(detector.encode(rgb), WORDS, threshold=0.0)

    processor = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    # The paper's code fills up with grey; this version of the processor has a black default.
    monkeypatch.setattr(processor, "pad", partial(processor.pad, constant_value=0.5))
    pixels = processor(rgb, return_tensors="pt")["pixel_values"]
    rows = tokenise(tokenizer(None), WORDS, 16)  # with start and end, as CLIPTokenizer
    ids = torch.zeros(len(rows), 16, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
    with torch.inference_mode():
        out = model(input_ids=ids, pixel_values=pixels, attention_mask=mask)
    probabilities = out.logits[0].sigmoid()
    assert probabilities.std() > 0.01
    best, word = probabilities.max(1)
    assert_close(found.scores, best, 2e-3)  # the blur is another's
    same = (found.words == word) | (
        (probabilities.sort(1).values[:, -1] - probabilities.sort(1).values[:, -2]) < 4e-3
    )
    assert bool(same.all())
    wanted = processor.post_process_object_detection(out, 0.0, torch.tensor([[200, 310]]))[0]
    clipped = wanted["boxes"].clamp(min=0)
    clipped[:, [0, 2]] = clipped[:, [0, 2]].clamp(max=310)
    clipped[:, [1, 3]] = clipped[:, [1, 3]].clamp(max=200)
    assert_close(found.boxes_xyxy, clipped, 0.5 / 310)  # half a pixel


def test_a_threshold_keeps_the_same_boxes_only(owl: tuple[Path, Any]) -> None:
    detector = _load(owl[0])
    state = detector.encode(imaging.read(PHOTOS[0]).rgb)
    every = detector.detect(state, WORDS, threshold=0.0)
    limit = float(every.scores.median())
    some = detector.detect(state, WORDS, threshold=limit)
    kept = every.scores >= limit
    assert 0 < len(some) < len(every)
    torch.testing.assert_close(some.boxes_xyxy, every.boxes_xyxy[kept])
    torch.testing.assert_close(some.words, every.words[kept])


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_owl(tmp_path / "o")
    path = tmp_path / "o" / "model.safetensors"
    weights = load_file(path)
    del weights["class_head.dense0.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"class_head\.dense0\.weight"):
        _load(tmp_path / "o")
    assert resolve(tmp_path / "o").record.family == "grounding"
    assert pick("cpu", None).device_name == "cpu"
