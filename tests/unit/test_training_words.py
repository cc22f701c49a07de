"""Words of one's own for a bundle: what is learned, what is kept, and the folder that comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import small_towers
from tests.training_data import draw_scene, write_shapes
from torch import Tensor

import lexiseg
from lexiseg.cli import train as cli
from lexiseg.datasets import open_set
from lexiseg.device import generator, seeded
from lexiseg.errors import InputError, OptionError
from lexiseg.models.tiny.masknet import MaskNet, MaskNetConfig
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny.bundle import read_bundle, rewrite_bundle, write_bundle
from lexiseg.training.tiny.features import FeatureSampling
from lexiseg.training.tiny.user_words import WordsRecipe, forgetting_loss, train_words

NEW = ("gasket", "flange", "left fin", "right fin")
HOW = FeatureSampling(views=3, short_side=64, short_sides=(60.0, 90.0), crop_hw=(64, 96), places=48)
RECIPE = WordsRecipe(steps=6, warmup_steps=2, save_every=2, batch=4, evaluate_every=3, sampling=HOW)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights, which knows some words by name."""
    folder = tmp_path_factory.mktemp("bundle")
    net, tower, tokenizer = small_towers()
    tokenizer.save(str(folder / "letters.json"))
    with seeded(0):
        masker = MaskNet(
            MaskNetConfig(
                decoded_dim=net.config.fine_dim, shared_dim=12, groups=2, key_dim=4, dim=8, mlp=12,
                fine_dim=6,
            )
        )  # fmt: skip
    return write_bundle(
        folder / "base", net, tower, masker, folder / "letters.json",
        known_words=["dog", "cat", "red car"], trained_words=["dog", "cat", "red car", "sky"],
        unknown_below=0.5, tagged_below=0.8, recipe={"vision": {"steps": 1}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("data") / "mine", range(40))


def photos(root: Path, numbers: range, split: str = "train") -> Path:
    write_shapes(root, split, numbers)
    card = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(card | {"classes": ["background", *NEW]}))
    return root


def test_what_was_forgotten_is_a_slow_sum() -> None:
    with seeded(1):
        net, before = (VisionNet(small_towers()[0].config) for _ in range(2))
    rng = generator(3)
    features, meanings = torch.randn(2, 5, 8, generator=rng), torch.randn(4, 20, generator=rng)
    with torch.no_grad():
        places, words = forgetting_loss(net, before, features, meanings)

        def probabilities(one: VisionNet, feature: Tensor) -> list[float]:
            scores = [
                float(one.scale() * one.embed(feature) @ one.project(m[None])[0]) for m in meanings
            ]
            weights = np.exp(np.array(scores) - max(scores))
            return list(weights / weights.sum())

        total = 0.0
        for feature in features.flatten(0, 1):
            old, new = probabilities(before, feature), probabilities(net, feature)
            total += sum(p * np.log(p / q) for p, q in zip(old, new, strict=True))
        assert float(places) == pytest.approx(total / 10, rel=1e-4)
        cosines = [float(net.project(m[None]) @ before.project(m[None]).T) for m in meanings]
        assert float(words) == pytest.approx(1 - np.mean(cosines), rel=1e-4)
        same = forgetting_loss(net, net, features, meanings)
    assert max(abs(float(one)) for one in same) < 1e-5


def test_a_bundle_with_other_words_is_a_bundle(bundle: Path, tmp_path: Path) -> None:
    base = read_bundle(bundle)
    with seeded(5):
        net = VisionNet(base.net.config)
    out = rewrite_bundle(base, tmp_path / "new", net, words=["dog", "gasket"], recipe={"words": 1},
                         notes="mine")  # fmt: skip
    made = read_bundle(out)
    assert made.known_words == ["dog", "cat", "red car", "gasket"]
    assert made.config["trained_words"] == ["dog", "cat", "red car", "sky", "gasket"]
    assert made.config["recipe"] == {"vision": {"steps": 1}, "words": 1}
    assert made.checkpoint.record.notes == "mine"
    for name, value in net.state_dict().items():
        torch.testing.assert_close(made.net.state_dict()[name], value.half().float())
    for name in ("text.safetensors", "masker.safetensors", "tokenizer.json"):
        assert (out / name).read_bytes() == (bundle / name).read_bytes()
    assert lexiseg.load("dense", encoder=str(out), device="cpu").encoder.unknown(["gasket"]) == ()
    with pytest.raises(OptionError, match="itself"):
        rewrite_bundle(base, bundle, net, recipe={}, notes="")


def test_a_run_in_parts_is_the_whole_run(bundle: Path, mine: Path, tmp_path: Path) -> None:
    logged: list[str] = []

    def train(name: str, stop_after: int | None = None) -> Path | None:
        options = RunOptions(stop_after=stop_after, log=logged.append)
        return train_words(mine, tmp_path / name, RECIPE, bundle=bundle, options=options)

    whole = train("whole")
    assert train("parts", stop_after=3) is None
    parts = train("parts")
    assert whole is not None
    assert parts is not None
    for file in whole.iterdir():
        assert (parts / file.name).read_bytes() == file.read_bytes(), file.name
    assert "4 words, 40 photos" in " ".join(logged)
    config = json.loads((whole / "config.json").read_text())
    assert config["known_words"] == ["dog", "cat", "red car", *NEW]
    assert config["recipe"]["words"]["recipe"]["steps"] == 6
    seg = lexiseg.load(str(whole), short_side=64, device="cpu")
    photo = draw_scene(0)[0]
    assert seg(photo, ["gasket", "dog"]).semantic().shape == photo.shape[:2]
    with pytest.raises(OptionError, match="data_digest"):
        train_words(photos(tmp_path / "others", range(3)), tmp_path / "whole", RECIPE,
                    bundle=bundle)  # fmt: skip


def test_few_photos_are_all_learned_from(bundle: Path, tmp_path: Path) -> None:
    logged: list[str] = []
    few = photos(tmp_path / "few", range(5))
    options = RunOptions(log=logged.append)
    assert train_words(few, tmp_path / "run", RECIPE, bundle=bundle, options=options)
    assert any("no photo is held out" in line for line in logged)
    card = json.loads((few / "dataset.json").read_text())
    (few / "dataset.json").write_text(json.dumps(card | {"classes": ["background"]}))
    with pytest.raises(InputError, match="no class to learn"):
        train_words(few, tmp_path / "other", RECIPE, bundle=bundle)


def test_the_command(bundle: Path, mine: Path, tmp_path: Path, capsys: Any) -> None:
    flags = ["words", "--data", str(mine), "--backbone", str(bundle), "--out", str(tmp_path / "r")]
    flags += ["--set", "batch=2", "--set", "sampling.views=1", "--set", "sampling.short_side=64"]
    assert cli.run([*flags, "--steps", "2"]) == 0
    made = Path(capsys.readouterr().out.strip())
    assert made == tmp_path / "r" / "bundle"
    assert "gasket" in read_bundle(made).known_words
    with pytest.raises(OptionError, match="not empty"):
        cli.run([*flags, "--steps", "2"])
    with pytest.raises(OptionError, match="--stage is for tiny"):
        cli.run([*flags, "--steps", "2", "--resume", "--stage", "head"])
    with pytest.raises(OptionError, match="stage"):
        cli.run(["tiny", "--data", str(mine), "--out", str(tmp_path / "s"), "--stage", "foot"])
    refine = ["tiny", "--stage", "head", "--data", str(mine), "--backbone", str(bundle)]
    refine += ["--out", str(tmp_path / "s"), "--steps", "2", "--set", "head.batch=2"]
    refine += ["--set", "head.sampling.views=1", "--set", "head.sampling.short_side=64"]
    assert cli.run([*refine, "--stop-after", "1"]) == 0
    assert "go on with --resume" in capsys.readouterr().out
    assert cli.run([*refine, "--resume"]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "s" / "bundle"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bundled_model_learns_words_and_keeps_its_own(tmp_path: Path) -> None:
    """Drawn gaskets and flanges, of which it knows nothing; photos of cars and dogs stay as they
    were."""
    data = photos(tmp_path / "mine", range(16))
    photos(data, range(100, 108), "val")
    sampling = FeatureSampling(views=4, short_side=160, short_sides=(140.0, 220.0), places=200)
    made = train_words(data, tmp_path / "run", WordsRecipe(steps=150, sampling=sampling))
    assert made is not None
    scores, maps = [], []
    words = ["person", "car", "dog", "cat", "building", "tree", "grass", "sky", "bird", "chair"]
    examples = Path(__file__).parents[2] / "examples" / "photos"
    for encoder in ("tiny", str(made)):
        seg = lexiseg.load("dense", encoder=encoder, short_side=160, device="cpu")
        scores.append(lexiseg.evaluate(seg, open_set(data, "val")).score.mean_iou.value)
        seg = lexiseg.load("dense", encoder=encoder, device="cpu")
        maps.append([seg(path, words).semantic() for path in sorted(examples.glob("*.jpg"))[:6]])
    assert scores[0] < 0.2
    assert scores[1] > 0.8
    same = [float((a == b).mean()) for a, b in zip(*maps, strict=True)]
    assert min(same) > 0.85
    assert np.mean(same) > 0.93
