"""The picture side's training in miniature, and the whole recipe from folders to a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.device_double import GPU, DeviceDouble
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
from torch import Tensor, nn

import lexiseg
from lexiseg.cli import train as cli
from lexiseg.device import Compute, generator
from lexiseg.errors import InputError, OptionError
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig
from lexiseg.models.tiny.vision import LOW_BLOCKS, VisionNet
from lexiseg.training import loop
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny import TinyRecipe, recipe, train_tiny, vision, words
from lexiseg.training.tiny.crops import CropBatch, CropSampling
from lexiseg.training.tiny.head import HeadRecipe
from lexiseg.training.tiny.masker import MaskerRecipe
from lexiseg.training.tiny.objects import ObjectSampling
from lexiseg.training.tiny.photos import is_held_out
from lexiseg.training.tiny.stuff import STUFF_WORDS, StuffSampling
from lexiseg.training.tiny.text import TextRecipe
from lexiseg.training.tiny.vision import VisionRecipe, train_vision

RECIPE = VisionRecipe(
    steps=6, warmup_steps=2, decay_steps=3, save_every=2,
    sampling=CropSampling(
        batch=3, sizes_hw=((32, 64), (64, 32)), points=40, paste_sets=("shapes",)
    ),
    stuff=StuffSampling(points=30, side=64, grid=6, min_confidence=0.1),
)  # fmt: skip
SETS = [shape_set(), bare_set()]


class Greenery(nn.Module):
    """In place of the teacher of stuff: what is green is grass, anything else a wall."""

    def forward(self, pixels: Tensor) -> Tensor:
        logits = torch.zeros(len(pixels), 32, pixels.shape[-2] // 4, pixels.shape[-1] // 4)
        red, green = (F.avg_pool2d(pixels[:, k], 4) for k in (0, 1))
        logits[:, 1 + STUFF_WORDS.index("grass")] = (green - red) / 8
        logits[:, 1 + STUFF_WORDS.index("wall")] = 5
        return logits


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vision, "read_teacher", lambda path: Greenery())
    path = tmp_path / "teacher.tflite"
    path.write_bytes(b"one")
    return path


def trained(
    out: Path, stop_after: int | None = None, given: VisionRecipe = RECIPE,
    teacher: Path | None = None,
) -> VisionNet:  # fmt: skip
    bank = word_bank(SETS, stuff=STUFF_WORDS if teacher else ())
    fitted = train_vision(
        SETS,
        bank,
        random_backbone(),
        out,
        given,
        SMALL,
        teacher=teacher,
        options=RunOptions(stop_after=stop_after),
    )
    return fitted.net


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_six_steps_are_three_and_three_bit_for_bit(tmp_path: Path, teacher: Path) -> None:
    """With all parts of the loss, and refused with other settings, photos or another teacher."""
    whole = trained(tmp_path / "whole", teacher=teacher).state_dict()
    half = trained(tmp_path / "parts", stop_after=3, teacher=teacher).state_dict()
    assert not same(half, whole)
    assert same(trained(tmp_path / "parts", teacher=teacher).state_dict(), whole)
    for a, b in zip(lines(tmp_path / "parts"), lines(tmp_path / "whole"), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    assert [line["step"] for line in lines(tmp_path / "whole")] == list(range(6))
    assert ["distill" in line for line in lines(tmp_path / "whole")] == [True, False] * 3
    assert all(line["stuff"] > 0 for line in lines(tmp_path / "whole"))
    with pytest.raises(OptionError, match=r"recipe\.sampling\.batch 3 \(now 4\)"):
        trained(tmp_path / "parts", given=replace(RECIPE, sampling=CropSampling(batch=4)),
                teacher=teacher)  # fmt: skip
    with pytest.raises(OptionError, match="teacher"):
        trained(tmp_path / "parts")
    teacher.write_bytes(b"other")
    with pytest.raises(OptionError, match="teacher"):
        trained(tmp_path / "parts", teacher=teacher)


def test_all_layers_learn_each_at_its_rate(tmp_path: Path) -> None:
    """After one step of AdamW, whose first step is the rate itself, with the sign of the
    gradient, for weights that are not decayed."""
    given = replace(RECIPE, steps=1, warmup_steps=0, decay_steps=None, ema_decay=None,
                    distill_weight=0.0)  # fmt: skip
    start = random_backbone()[0].state_dict()
    net = trained(tmp_path, given=given).state_dict()
    for part, rate in (("stem", 1.5e-4), ("blocks.5.narrow", 1.5e-4), ("blocks.6.narrow", 6e-4)):
        change = (net[f"backbone.{part}.bias"] - start[f"{part}.bias"]).abs().max()
        assert float(change) == pytest.approx(rate, rel=0.05), part
    assert LOW_BLOCKS == 6


def test_without_a_rate_the_low_blocks_stay(tmp_path: Path) -> None:
    start = random_backbone()[0].state_dict()
    net = trained(tmp_path, given=replace(RECIPE, low_lr=0.0)).state_dict()
    for name, value in start.items():
        part, _, below = name.partition(".")
        low = part == "stem" or (part == "blocks" and int(below.split(".")[0]) < LOW_BLOCKS)
        assert torch.equal(net[f"backbone.{name}"], value) == low, name
    assert all(torch.isfinite(value).all() for value in net.values())


def test_a_step_is_made_on_the_device_and_waits_for_its_values_alone(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged is read behind the step; the teachers have been asked before."""
    given = replace(RECIPE, steps=2, save_every=2)
    here = trained(tmp_path / "here", given=given, teacher=teacher).state_dict()
    # A generator of a GPU needs one, and the double knows one thread.
    monkeypatch.setattr(words, "generator", lambda seed, device: generator(seed))
    monkeypatch.setattr(loop, "prefetch", lambda make, steps: map(make, steps))
    starts: list[int] = []
    with DeviceDouble() as double:
        monkeypatch.setattr(vision, "pick", lambda device: double.compute)
        make_crops = vision.make_crops

        def counted(*args: Any) -> CropBatch:
            starts.append(len(double.waits))
            return make_crops(*args)

        monkeypatch.setattr(vision, "make_crops", counted)
        there = trained(tmp_path / "there", given=given, teacher=teacher).state_dict()
        assert there["log_scale"].device == GPU
        there = {name: value.cpu() for name, value in there.items()}
    # Clipping sorts gradients by the device that they really have, and moves their norms.
    inside = [w for w in double.waits[starts[0] : starts[1]] if w.operation != "cpu"]
    assert len(inside) == len(lines(tmp_path / "there")[0]) - 2, inside  # the loss and its parts
    assert all("training.loop" in wait.where for wait in inside)
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_loss_falls(tmp_path: Path) -> None:
    sets = [shape_set()]
    given = replace(
        RECIPE, steps=40, warmup_steps=3, decay_steps=10, save_every=40, lr=4e-3,
        distill_weight=0.0, ema_decay=0.9,
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
        head=HeadRecipe(steps=20, warmup_steps=2),
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


def test_known_words_had_masks_or_seeds_or_are_the_teachers(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", "train", range(3))
    for part, value in (("images", 90), ("seeds", 80)):
        folder = tmp_path / "coco-unlabelled" / part
        folder.mkdir(parents=True)
        Image.fromarray(np.full((20, 30), value, np.uint8)).save(folder / "a.png")
    sets = recipe.open_sets(tmp_path, TinyRecipe(), None)
    assert [s.name for s in sets] == ["seeds", "shapes"]  # in the recipe's order, then others
    known = recipe.known_words(sets, STUFF_WORDS)
    assert {"toothbrush", "left fin", "armchair"} <= set(known)
    assert "background" not in known
    assert len(known) == len(set(known)) == 80 + 4 + len(set(STUFF_WORDS) - set(sets[0].classes))
    assert [s.name for s in recipe.open_sets(tmp_path, TinyRecipe(), ["shapes"])] == ["shapes"]
    both = ["shapes", "coco-unlabelled"]
    assert len(recipe.open_sets(tmp_path, TinyRecipe(), both)) == 2


def test_a_cpu_gets_a_smaller_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    small, full = recipe.recipe_for("cpu").vision, TinyRecipe().vision
    assert small.sampling.batch < full.sampling.batch == 96
    assert (small.low_lr, full.low_lr) == (0, 1.5e-4)
    assert small.stuff.side < full.stuff.side
    monkeypatch.setattr(recipe, "pick", lambda device: Compute(GPU, torch.bfloat16))
    assert recipe.recipe_for() == TinyRecipe()


def test_wrong_files_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    write_shapes(tmp_path / "data" / "shapes", "train", range(2))
    (tmp_path / "notes.txt").write_text("no network at all")
    out = tmp_path / "out"
    flags = ["tiny", "--data", str(tmp_path / "data"), "--out", str(out), "--device", "cpu"]
    file = ["--backbone", str(tmp_path / "notes.txt")]
    for more, message in (
        ([], "--backbone is missing"),
        ([*file, "--teacher", str(tmp_path / "none.tflite")], "none.tflite' is not a file"),
        (["--stage", "head", "--teacher", file[1]], "--teacher is for the picture side"),
    ):
        with pytest.raises(OptionError, match=message):
            cli.run([*flags, *more])
    pytest.importorskip("tflite", reason="the reader needs tflite: lexiseg[train]")
    with pytest.raises(InputError, match="no TensorFlow Lite file"):
        cli.run([*flags, *file])
    assert not out.exists()


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
            data, "net.tflite", out, given, only=only, sentence_encoder=sentence_encoder,
            options=RunOptions(log=logged.append, stop_after=stop_after),
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
