"""The benchmark of masks of everything: both ways find as much, and the row tells it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import plain_sam
from benchmarks.rows import everything
from tests.sam_weights import published_folder

from lexiseg.models import load_masker
from lexiseg.protocols import LoadOptions
from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks
from lexiseg.stages.nms import nms


def test_the_plainest_way_finds_as_many_masks(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "sam-drawn")
    rgb = np.random.default_rng(0).integers(0, 256, (70, 110, 3)).astype(np.uint8)
    masker = load_masker(folder, LoadOptions(device="cpu", dtype="fp32"))
    settings = AutomaticMaskSettings(points_per_side=6, quality=0.05, stability=0.2)
    ours = generate_masks(masker, rgb, settings)
    theirs = plain_sam.generate(plain_sam.load(str(folder), "cpu"), rgb, 6, 0.05, 0.2)
    assert 1 <= len(ours.masks) < 108
    assert abs(len(ours.masks) - theirs) <= 1


def test_both_suppress_alike() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 20, (80, 2))
    boxes = np.concatenate([low, low + rng.integers(2, 30, (80, 2))], 1)
    scores = rng.random(80).astype(np.float32)
    ends = torch.from_numpy(boxes - [0, 0, 1, 1]).float()
    assert plain_sam.greedy(ends, torch.from_numpy(scores), 0.7) == list(nms(boxes, scores, 0.7))


@pytest.mark.slow
def test_the_row_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32}
    monkeypatch.setattr(everything, "SHAPE", {**shape, "global_attn_indexes": [1]})
    monkeypatch.setattr(everything, "SIDE", 3)
    monkeypatch.setattr(everything, "TRIED", 3)
    monkeypatch.delenv("LEXISEG_SAM_CODE", raising=False)
    result = everything.run(Namespace(official=None, device="cpu"))
    ours, theirs = result["ours"]["fp32"], result["theirs"]
    assert 0 < ours["passed"] < 27
    assert abs(ours["masks"] - theirs["masks"]) <= 2
    text = everything.table(result)
    assert "plainest way on transformers" in text
    assert f"{ours['seconds']:.1f} s" in text
