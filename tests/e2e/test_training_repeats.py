"""Training for real, on photos drawn here: it learns, and the same seed gives the same run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_data import (
    SMALL,
    bare_set,
    random_backbone,
    sentence_encoder,
    shape_set,
    word_bank,
    write_shapes,
    write_wordnet,
)

import lexiseg
from lexiseg.datasets import open_set
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig
from lexiseg.models.tiny.vision import VisionConfig
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny import TinyRecipe, recipe, train_tiny
from lexiseg.training.tiny.crops import CropSampling
from lexiseg.training.tiny.masker import MaskerRecipe
from lexiseg.training.tiny.objects import ObjectSampling
from lexiseg.training.tiny.text import TextRecipe
from lexiseg.training.tiny.vision import VisionRecipe, train_vision

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS = 200
VISION = VisionRecipe(
    steps=STEPS, warmup_steps=10, decay_steps=60, save_every=50, lr=4e-3, ema_decay=0.97,
    low_lr=0.0, subset_share=0.1,
    sampling=CropSampling(
        batch=6, sizes_hw=((64, 96), (96, 64)), short_sides=(60.0, 90.0), points=256,
        paste_sets=("shapes",),
    ),
)  # fmt: skip


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_the_same_seed_gives_the_same_run_also_when_it_is_killed(tmp_path: Path) -> None:
    sets = [shape_set(20), bare_set()]
    bank = word_bank(sets)

    def train(name: str, stop_after: int | None = None) -> dict[str, torch.Tensor]:
        fitted = train_vision(
            sets,
            bank,
            random_backbone(),
            tmp_path / name,
            VISION,
            SMALL,
            options=RunOptions(stop_after=stop_after),
        )
        return fitted.net.state_dict()

    def losses(name: str) -> list[float]:
        return [line["loss"] for line in lines(tmp_path / name)]

    whole, again = train("whole"), train("again")
    train("killed", stop_after=123)
    resumed = train("killed")
    assert len(losses("whole")) == STEPS
    assert losses("again") == losses("whole")
    assert losses("killed") == losses("whole")
    for name, value in whole.items():
        assert torch.equal(again[name], value), name
        assert torch.equal(resumed[name], value), name


def test_a_bundle_that_is_trained_here_finds_what_it_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "read_mobilenet", lambda path: random_backbone())
    data = tmp_path / "data" / "shapes"
    write_shapes(data, "train", range(60))
    write_shapes(data, "val", range(100, 112))
    given = TinyRecipe(
        text=TextRecipe(
            steps=60, lr=1e-2, batch=24, warmup_steps=5, num_phrases=60, chunks=2,
            wordnet=str(write_wordnet(tmp_path / "wordnet")),
        ),
        vision=replace(VISION, distill_weight=0.0),
        masker=MaskerRecipe(
            steps=150, warmup_steps=10, decay_steps=60, ema_decay=0.97,
            sampling=ObjectSampling(batch=4, sizes_hw=((64, 96),), short_sides=(60.0, 90.0)),
        ),
        text_sizes=TextConfig(
            vocab_size=120, token_dim=20, dim=16, layers=1, heads=2, mlp=24, max_tokens=8,
            out_dim=20,
        ),
        vision_sizes=VisionConfig(
            dim=32, context_dim=32, context_layers=1, heads=2, mlp=48, middle_dim=32,
            fine_dim=24, text_dim=20,
        ),
        masker_sizes=MaskNetConfig(
            decoded_dim=24, shared_dim=24, groups=2, key_dim=8, dim=16, mlp=24,
            fine_dim=12,
        ),
    )  # fmt: skip
    bundle = train_tiny(
        tmp_path / "data", "net.tflite", tmp_path / "out", given, sentence_encoder=sentence_encoder
    )
    assert bundle is not None
    seg = lexiseg.load("dense", encoder=str(bundle), short_side=72, device="cpu")
    score = lexiseg.evaluate(seg, open_set(data, "val")).score
    assert score.mean_iou.value > 0.8
    # The mask of the best candidate after one click or box: better at the end than at the start.
    ious = [line["iou"] for line in lines(tmp_path / "out" / "masker")]
    assert np.mean(ious[-25:]) > np.mean(ious[:25]) + 0.2
