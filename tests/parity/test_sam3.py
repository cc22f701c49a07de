"""SAM 3 through lexiseg's own preparing of pixels, words and boxes and its reading of answers,
against transformers' processor on the same drawn weights; and through the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests import sam3_weights
from tests.close import assert_close

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.models import load_detector
from lexiseg.models.clip.tokenizer import tokenise, tokenizer
from lexiseg.models.sam2.masker import squashed
from lexiseg.models.sam3.detector import Sam3
from lexiseg.protocols import Detections, LoadOptions
from lexiseg.stages.mask_upsampling import upsample_masks

pytest.importorskip(
    "torchvision", exc_type=ImportError, reason="SAM 3 needs torchvision: lexiseg[sam3]"
)

# torch's compiler says so of itself where torchvision's pooling runs as Python.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"
SIZE = (210, 290)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-sam3")
    return folder, sam3_weights.published(folder)


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    out: NDArray[np.uint8] = imaging.read(PHOTO).rgb[: SIZE[0], : SIZE[1]]
    return out


@pytest.fixture(autouse=True)
def plain_pooling() -> Iterator[None]:
    """Where torchvision has no build for this machine, its own Python runs, uncompiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


def reference(model: Any, rgb: NDArray[np.uint8], word: str, **boxes: Any) -> tuple[Any, ...]:
    """What transformers' processor makes of a phrase: boxes, scores, masks; nothing left out."""
    from transformers.models.sam3.image_processing_sam3 import Sam3ImageProcessor

    (row,) = tokenise(tokenizer(None), [word], 32)
    ids = torch.full((1, 32), 49407)
    ids[0, : len(row)] = torch.tensor(row)
    mask = (torch.arange(32) < len(row)).long()[None]
    pixels = squashed(rgb, sam3_weights.SIDE, (0.5,) * 3, (0.5,) * 3)
    with torch.inference_mode():
        out = model(pixel_values=pixels, input_ids=ids, attention_mask=mask, **boxes)
    processor = Sam3ImageProcessor()
    (said,) = processor.post_process_instance_segmentation(
        out, threshold=0.0, mask_threshold=0.5, target_sizes=[rgb.shape[:2]]
    )
    return said["boxes"], said["scores"], said["masks"], out


def check(found: Detections, wanted: tuple[Any, ...]) -> None:
    boxes, scores, masks, out = wanted
    assert_close(found.scores, scores)
    extent = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
    assert_close(found.boxes_xyxy, torch.minimum(boxes.clamp_min(0), extent))
    assert found.masks is not None
    values = out.pred_masks[0].sigmoid() - 0.5
    assert_close(found.masks.logits, values)
    drawn = upsample_masks(found.masks)
    for i, mask in enumerate(masks):
        full = np.zeros(SIZE, np.bool_)
        x0, y0, x1, y1 = drawn.boxes_xyxy[i].tolist()
        full[y0:y1, x0:x1] = drawn.crop(i)
        assert np.mean(full != mask.bool().numpy()) < 1e-3
    # The drawn weights tell things apart, and masks neither fill the frame nor are empty.
    assert float(scores.std()) > 1e-3
    assert 0.02 < float(masks.float().mean()) < 0.98


def test_words_find_what_transformers_finds(both: tuple[Path, Any], rgb: NDArray[np.uint8]) -> None:
    folder, model = both
    detector = load_detector(folder, LoadOptions(device="cpu", dtype="fp32"))
    state = detector.encode(rgb)
    words = ["cat", "Red car"]
    every = detector.detect(state, words, threshold=0.0)
    assert every.words.tolist() == [0] * 12 + [1] * 12
    for k, word in enumerate(words):
        mine = every.words == k
        assert every.masks is not None
        part = Detections(
            every.boxes_xyxy[mine], every.scores[mine], every.words[mine], every.masks[mine]
        )
        check(part, reference(model, rgb, word))
    limit = float(every.scores.median())
    some = detector.detect(state, words, threshold=limit)
    assert torch.equal(some.scores, every.scores[every.scores >= limit])


@pytest.mark.parametrize("word", [None, "cat"])
def test_examples_find_what_transformers_finds(
    both: tuple[Path, Any], rgb: NDArray[np.uint8], word: str | None
) -> None:
    folder, model = both
    detector = load_detector(folder, LoadOptions(device="cpu", dtype="fp32"))
    assert isinstance(detector, Sam3)
    given = torch.tensor([[10.0, 20.0, 100.0, 90.0], [150.0, 30.0, 280.0, 200.0]])
    wanted = torch.tensor([True, False])
    state = detector.encode(rgb)
    found = detector.detect_like(state, word, given, wanted, threshold=0.0)
    width, height = SIZE[1], SIZE[0]
    places = [
        [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
        for x0, y0, x1, y1 in given.tolist()
    ]
    check(
        found,
        reference(
            model, rgb, word or "visual", input_boxes=torch.tensor([places]),
            input_boxes_labels=torch.tensor([[1, 0]]),
        ),
    )  # fmt: skip
    plain = detector.detect(state, [word or "visual"], threshold=0.0)
    assert float((plain.scores - found.scores).abs().max()) > 1e-3  # the boxes are felt


def test_pixels_are_those_of_the_processor(rgb: NDArray[np.uint8]) -> None:
    from transformers.models.sam3.image_processing_sam3 import Sam3ImageProcessor

    processor = Sam3ImageProcessor(size={"height": 112, "width": 112})
    wanted = processor(rgb, return_tensors="pt")["pixel_values"]
    ours = squashed(rgb, 112, (0.5,) * 3, (0.5,) * 3)
    # It scales whole numbers, and rounds to them: at most one of 255 away.
    np.testing.assert_allclose(ours, wanted, atol=2.1 / 255)


def test_the_method_on_the_command_line(
    both: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = both
    with Image.open(PHOTO) as image:
        image.resize((130, 90)).save(tmp_path / "photo.png")
    small = np.asarray(Image.open(tmp_path / "photo.png"))
    _, scores, _, _ = reference(model, small, "cat")
    least = float(scores.sort().values[-4:-2].mean())
    common = ["--method", "sam3", "--set", f"detector={folder}", "--json", "--out",
              str(tmp_path / "o"), "--set", "iou_threshold=1.0"]  # fmt: skip
    photo = str(tmp_path / "photo.png")
    assert main(["segment", photo, "cat", "--set", f"box_threshold={least}", *common]) == 0
    found = json.loads(capsys.readouterr().out)["pictures"][0]
    mine = [one["score"] for one in found["instances"]]
    best = sorted(scores.tolist(), reverse=True)[:3]
    assert 0 < len(mine) <= 3
    assert all(min(abs(score - b) for b in best) < 1e-3 for score in mine)
    assert found["provenance"]["method"] == "sam3"

    code = main(["segment", photo, "--box", "10,20,100,80", "--set", "box_threshold=0.0", *common])
    assert code == 0
    found = json.loads(capsys.readouterr().out)["pictures"][0]
    assert {one["word"] for one in found["instances"]} == {"box 1"}
    code = main(["segment", photo, "--point", "10,20", *common])
    assert code == 2
    assert "takes no points" in capsys.readouterr().err
