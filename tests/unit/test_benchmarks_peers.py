"""The benchmark of rebuilt peers: LangSAM's way on equal weights, rembg's on worked cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.drawn_detector import bert_tokenizer, write_grounding_dino
from benchmarks.rebuilt import LangSam, rembg_cutout, rembg_mask
from benchmarks.rows import everything, peers
from tests.sam_weights import published_folder

from lexiseg import imaging


def test_rembg_stretches_the_map_and_darkens_partial_colours() -> None:
    ramp = np.tile(np.linspace(0.2, 0.6, 320, dtype=np.float32), (320, 1))
    mask = rembg_mask(ramp, (48, 80))
    assert mask.shape == (48, 80)
    assert mask[:, 0].max() <= 3  # of 255, wherever the map began
    assert mask[:, -1].min() >= 252
    half = np.full((48, 80), 128, np.uint8)
    rgb = np.full((48, 80, 3), 200, np.uint8)
    np.testing.assert_allclose(
        rembg_cutout(rgb, half, matting=False)[0, 0], [100, 100, 100, 128], atol=1
    )
    with pytest.raises(ValueError, match="same everywhere"):
        rembg_mask(np.ones((4, 4)), (8, 9))


def test_rembg_solves_between_the_eroded_parts() -> None:
    pytest.importorskip("pymatting")
    pytest.importorskip("scipy")
    rgb = np.zeros((60, 90, 3), np.uint8)
    rgb[:, 40:] = (250, 120, 30)
    mask = np.zeros((60, 90), np.uint8)
    mask[:, 44:] = 255  # four pixels off: the colours say where the edge is
    cutout = rembg_cutout(rgb, mask, matting=True)
    assert cutout[30, 41:, 3].min() >= 250
    assert cutout[30, :39, 3].max() <= 5
    np.testing.assert_allclose(cutout[30, 60, :3], (250, 120, 30), atol=2)


def test_agreement_pairs_masks_by_score() -> None:
    masks = np.zeros((3, 4, 5), np.bool_)
    masks[0, :2], masks[1, 1:] = True, True  # the third is empty
    ours = masks[[1, 0]].copy()
    ours[1, 3, 4] = True
    theirs = masks, np.float32([0.9, 0.8, 0.7])
    found = peers.agreement([theirs], [(ours, np.float32([0.8, 0.90001]))])
    assert (found["theirs"], found["ours"], found["both"]) == (2, 2, 2)
    assert found["least"] == pytest.approx(0.95)
    assert found["equal"] == pytest.approx(0.975)
    assert peers.agreement([theirs], [(ours, np.float32([0.1, 0.2]))])["equal"] is None


@pytest.mark.slow
def test_both_ways_find_the_same_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(peers, "BOXES", 12)
    detector, masker = tmp_path / "grounding-dino", tmp_path / "sam-drawn"
    detector.mkdir()
    write_grounding_dino(detector)
    published_folder(masker)
    rgb = imaging.read(everything.PHOTO).rgb[:300, :230]
    ours, threshold = peers.segmenter(detector, masker, rgb)
    result = ours(rgb, list(peers.WORDS))
    way = LangSam(str(detector), bert_tokenizer(), str(masker))
    theirs = way(rgb, "car. tree. lamp.", threshold)
    found = peers.agreement([theirs], [(result.masks.dense(), result.scores)])
    assert found["both"] == found["ours"] >= 3
    assert 0.01 < result.masks.areas.mean() / rgb[..., 0].size < 0.99
    assert found["least"] > 0.99


def test_the_table_has_both_peers() -> None:
    way = {"theirs_s": 3.0, "ours_s": 2.0, "theirs": 9, "ours": 8, "both": 8, "equal": 0.999,
           "least": 0.9}  # fmt: skip
    cut = {"sad": 1.0, "mse": 2.0, "gradient": 0.3, "composite": 0.4, "seconds": 0.5}
    text = peers.table({
        "langsam": {"threads": 1, "size_hw": [4, 5], "ways": {"one caption": way}},
        "rembg": {"things": 2, "set": "msrc", "kinds": {"hair": {"rembg's way": cut}}},
    })  # fmt: skip
    assert "| one caption | 3.0 | 2.0 | 1.50 | 8 | 9 | 99.90 | 90.00 |" in text
    assert "| rembg's way | 1.00 | 2 | 0.300 | 0.40 | 0.50 |" in text
