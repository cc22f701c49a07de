"""The picture side's training in miniature, and the whole recipe from folders to a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training_data import (
    CLASSES,
    SMALL,
    bare_set,
    draw_scene,
    random_backbone,
    sentence_encoder,
    shape_set,
    word_bank,
    write_shapes,
    write_wordnet,
)
from torch import Tensor

import lexiseg
from lexiseg.errors import InputError, OptionError
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig
from lexiseg.models.tiny.vision import FROZEN_BLOCKS, VisionNet
from lexiseg.training.tiny import TinyRecipe, recipe, train_tiny
from lexiseg.training.tiny.crops import CropSampling, is_held_out
from lexiseg.training.tiny.masker import MaskerRecipe
from lexiseg.training.tiny.objects import ObjectSampling
from lexiseg.training.tiny.text import TextRecipe
from lexiseg.training.tiny.vision import VisionRecipe, train_vision

RECIPE = VisionRecipe(
    steps=6, warmup_steps=2, decay_steps=3, save_every=2,
    sampling=CropSampling(batch=2, sizes_hw=((32, 64), (64, 32)), points=40),
)  # fmt: skip


def trained(out: Path, stop_after: int | None = None, given: VisionRecipe = RECIPE) -> VisionNet:
    sets = [shape_set(), bare_set()]
    fitted = train_vision(
        sets, word_bank(sets), random_backbone(), out, given, SMALL, stop_after=stop_after
    )
    return fitted.net


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_six_steps_are_three_and_three_bit_for_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole").state_dict()
    assert not same(trained(tmp_path / "parts", stop_after=3).state_dict(), whole)
    assert same(trained(tmp_path / "parts").state_dict(), whole)
    for a, b in zip(lines(tmp_path / "parts"), lines(tmp_path / "whole"), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    assert [line["step"] for line in lines(tmp_path / "whole")] == list(range(6))
    assert ["distill" in line for line in lines(tmp_path / "whole")] == [True, False] * 3
    with pytest.raises(OptionError, match=r"recipe\.sampling\.batch 2 \(now 3\)"):
        trained(tmp_path / "parts", given=replace(RECIPE, sampling=CropSampling(batch=3)))


def test_the_low_blocks_stay_and_the_others_learn(tmp_path: Path) -> None:
    start, net = random_backbone()[0].state_dict(), trained(tmp_path).state_dict()
    for name, value in start.items():
        part, _, below = name.partition(".")
        low = part == "stem" or (part == "blocks" and int(below.split(".")[0]) < FROZEN_BLOCKS)
        assert torch.equal(net[f"backbone.{name}"], value) == low, name
    assert set(VisionNet(SMALL).state_dict()) == set(net)
    assert all(torch.isfinite(value).all() for value in net.values())


def test_the_backbone_stops_learning_where_that_is_asked(tmp_path: Path) -> None:
    stopped = replace(RECIPE, backbone_steps=0, ema_decay=None)
    start, net = random_backbone()[0].state_dict(), trained(tmp_path, given=stopped).state_dict()
    assert all(torch.equal(net[f"backbone.{name}"], value) for name, value in start.items())
    assert not torch.equal(net["head.weight"], VisionNet(SMALL).state_dict()["head.weight"])


@pytest.mark.slow
def test_the_loss_falls(tmp_path: Path) -> None:
    sets = [shape_set()]
    given = replace(
        RECIPE, steps=40, warmup_steps=3, decay_steps=10, save_every=40, lr=4e-3,
        distill_weight=0.0,
    )  # fmt: skip
    train_vision(sets, word_bank(sets), random_backbone(), tmp_path, given, SMALL)
    losses = [line["loss"] for line in lines(tmp_path)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


TOWER = TextConfig(
    vocab_size=120, token_dim=8, dim=16, layers=1, heads=2, mlp=24, max_tokens=8, out_dim=20
)


def small_recipe(wordnet: Path) -> TinyRecipe:
    return TinyRecipe(
        text=TextRecipe(
            steps=4, batch=24, warmup_steps=2, num_phrases=60, chunks=2, wordnet=str(wordnet)
        ),
        vision=replace(RECIPE, steps=3, distill_weight=0.0),
        masker=MaskerRecipe(
            steps=2,
            sampling=ObjectSampling(batch=2, sizes_hw=((64, 96),), short_sides=(60.0, 90.0)),
        ),
        text_sizes=TOWER,
        vision_sizes=replace(SMALL, text_dim=20),
        masker_sizes=MaskNetConfig(
            decoded_dim=SMALL.fine_dim, shared_dim=12, groups=2, key_dim=4, dim=8, mlp=12,
            fine_dim=6,
        ),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_recipe_from_folders_to_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "read_mobilenet", lambda path: random_backbone())
    data, out = tmp_path / "data", tmp_path / "out"
    write_shapes(data / "shapes", "train", range(8))
    learned = sum(not is_held_out("shapes", f"scene{number}") for number in range(8))
    given = small_recipe(write_wordnet(tmp_path / "wordnet"))
    logged: list[str] = []

    def train(
        out: Path, stop_after: int | None = None, only: list[str] | None = None
    ) -> Path | None:
        return train_tiny(
            data, "net.tflite", out, given, only=only, teacher=sentence_encoder,
            log=logged.append, stop_after=stop_after,
        )  # fmt: skip

    assert train(out, stop_after=2) is None
    bundle = train(out)
    assert bundle is not None
    assert any("going on from step 2" in line for line in logged)
    assert any(f"shapes: {learned} photos" in line for line in logged)
    seg = lexiseg.load("dense", encoder=str(bundle), short_side=64, device="cpu")
    assert seg.encoder.known_words == CLASSES[1:]
    assert "sky" in seg.encoder.tagged_words  # a background word
    photo = draw_scene(0)[0]
    result = seg(photo, ["ball", "left fin"], background=None)
    assert result.semantic().shape == photo.shape[:2]
    with pytest.raises(InputError, match="none of the data sets"):
        train(tmp_path / "other", only=["no such set"])
