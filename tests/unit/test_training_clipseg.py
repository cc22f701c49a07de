"""Training of prompt decoders in miniature: what is drawn, what is cut, runs that repeat."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests import clip_weights
from tests.published_trees import TREES

from lexiseg.checkpoints import IMAGENET_PIXELS, resolve
from lexiseg.cli import train as cli
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, ExtraMissing, InputError, OptionError
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import tokenizer
from lexiseg.models.clipseg import build_prompted
from lexiseg.models.clipseg.model import from_checkpoint
from lexiseg.models.tiny.film import FilmConfig, FilmHead, FilmPrompted, load_head
from lexiseg.training.clipseg import ClipSegRecipe, tiny_recipe, train_clipseg
from lexiseg.training.clipseg.backbone import write_decoder
from lexiseg.training.clipseg.phrases import LabelledPhoto, PhraseSet, open_phrases
from lexiseg.training.clipseg.sampling import PromptSampler, cut_square, find_square
from lexiseg.training.loop import RunOptions

COLOURS = {"background": (20, 20, 20), "red": (220, 30, 30), "green": (30, 200, 40)}


def write_set(root: Path, split: str, count: int, ignore: bool = True) -> None:
    """Photos of 72x48 pixels: a red block in each, a green one in every second."""
    (root / split / "images").mkdir(parents=True)
    (root / split / "masks").mkdir()
    rng = np.random.default_rng(len(split))
    for i in range(count):
        mask = np.zeros((48, 72), np.uint8)
        x = int(rng.integers(2, 30))
        mask[6:30, x : x + 24] = 1
        if i % 2:
            mask[32:46, 40:70] = 2
        rgb = np.array(list(COLOURS.values()), np.uint8)[mask]
        if ignore:
            mask[:3] = 255
        Image.fromarray(rgb).save(root / split / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / split / "masks" / f"{i}.png")
    described = {
        "title": "blocks", "classes": list(COLOURS), "background_index": 0, "ignore_index": 255,
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(described))


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    root = tmp_path / "blocks"
    write_set(root, "train", 6)
    write_set(root, "val", 2)
    return root


def small_clip() -> ClipEncoder:
    state = clip_weights.vit_state(0)
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), state)
    compute = pick("cpu", "fp32")
    return ClipEncoder(net, tokenizer(), IMAGENET_PIXELS, compute, name="small", cache=False)


def recipe(**changes: Any) -> ClipSegRecipe:
    given = {
        "steps": 4, "batch": 4, "side": 64, "layers": (0, 1, 2), "reduce_dim": 16, "save_every": 1,
        "evaluate_every": 2, "val_photos": 2,
    }  # fmt: skip
    return ClipSegRecipe(**{**given, **changes})


# Layouts


def test_the_plain_layout(blocks: Path) -> None:
    (found,) = open_phrases(blocks)
    assert [photo.phrases for photo in found.photos[:2]] == [("red",), ("red", "green")]
    assert found.by_phrase["green"] == [1, 3, 5]
    mask = found.photos[1].mask("green", (48, 72))
    assert mask.sum() == 14 * 30
    assert not found.photos[0].mask("green", (48, 72)).any()
    assert found.photos[0].ignored is not None
    assert found.photos[0].ignored((48, 72)).sum() == 3 * 72
    assert len(open_phrases(blocks, limit=3)[0].photos) == 3


def test_phrasecut(tmp_path: Path) -> None:
    entries = [
        {"image_id": 7, "phrase": "red car", "Polygons": [[[[1, 1], [10, 1], [10, 6], [1, 6]]]]},
        {"image_id": 7, "phrase": "red car", "Polygons": [[[[20, 2], [24, 2], [24, 4], [20, 4]]]]},
        {"image_id": 7, "phrase": "tree", "Polygons": [[[[30, 0], [34, 0], [34, 9], [30, 9]]]]},
        {"image_id": 150417, "phrase": "left out", "Polygons": []},  # a damaged photo
    ]
    (tmp_path / "refer_train.json").write_text(json.dumps(entries))
    (tmp_path / "images").mkdir()
    for number in (7, 150417):
        Image.fromarray(np.zeros((12, 40, 3), np.uint8)).save(tmp_path / "images" / f"{number}.jpg")
    (found,) = open_phrases(tmp_path)
    (photo,) = found.photos
    assert photo.phrases == ("red car", "tree")
    assert photo.path == tmp_path / "images" / "7.jpg"
    mask = photo.mask("red car", (12, 40))
    wanted = np.zeros((12, 40), np.bool_)
    wanted[1:7, 1:11] = True
    wanted[2:5, 20:25] = True
    np.testing.assert_array_equal(mask, wanted)
    (official,) = open_phrases(tmp_path, only=["phrasecut"])
    assert len(official.photos) == 2  # as PhraseCut's own evaluator reads it
    (tmp_path / "refer_train.json").write_text("[1]")
    with pytest.raises(InputError, match="PhraseCut"):
        open_phrases(tmp_path)


def test_voc_and_coco_stuff_as_published(tmp_path: Path) -> None:
    voc, stuff = tmp_path / "VOC2012", tmp_path / "cocostuff"
    for folder in (
        voc / "ImageSets" / "Segmentation", voc / "JPEGImages", voc / "SegmentationClass",
        stuff / "images" / "train2017", stuff / "stuffthingmaps" / "train2017",
    ):  # fmt: skip
        folder.mkdir(parents=True)
    photo = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    mask = np.zeros((20, 30), np.uint8)
    mask[:5], mask[10:, 20:] = 255, 12
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    photo.save(voc / "JPEGImages" / "a.jpg")
    palette = Image.fromarray(mask, "P")
    palette.putpalette(list(range(256)) * 3)
    palette.save(voc / "SegmentationClass" / "a.png")
    (found,) = open_phrases(voc)
    assert found.photos[0].phrases == ("dog",)
    assert found.photos[0].mask("dog", (20, 30)).sum() == 100
    photo.save(stuff / "images" / "train2017" / "b.jpg")
    Image.fromarray(mask).save(stuff / "stuffthingmaps" / "train2017" / "b.png")
    (found,) = open_phrases(stuff)
    assert found.photos[0].phrases == ("person", "stop sign")  # a value is a number less one


@pytest.mark.parametrize(
    ("name", "phrase"),
    [("voc20", "tv monitor"), ("ade20k", "flag"), ("coco", "toothbrush"), ("refcoco", "thing 3"),
     ("phrasecut-clipseg", "red car")],
)  # fmt: skip
def test_what_evaluate_opens_can_be_trained_on(name: str, phrase: str, tmp_path: Path) -> None:
    TREES[name](tmp_path)
    root = tmp_path if name.startswith(("coco", "ref")) else next(tmp_path.iterdir())
    split = "trainval" if name == "voc20" else "val" if name == "ade20k" else "train"
    (found,) = open_phrases(root, split, only=[name])
    assert found.name == name
    assert phrase in found.phrases
    photo = found.photos[found.by_phrase[phrase][0]]
    with Image.open(photo.path) as file:
        assert photo.mask(phrase, (file.height, file.width)).any()


# What is drawn


def drawn(changes: dict[str, Any], steps: int = 40) -> list[Any]:
    photos = tuple(
        LabelledPhoto(
            str(i), Path(), ("a", "b") if i % 3 == 0 else ("c",), lambda p, s: np.zeros(s, bool), ""
        )
        for i in range(9)
    )
    made = PromptSampler([PhraseSet("x", photos)], recipe(**changes))
    return [a for step in range(steps) for photo in made.sample(step) for a in photo]


def test_negatives_mixes_and_sentences_come_as_often_as_said() -> None:
    asked = drawn({"negative_share": 0.2, "visual_share": 1.0, "mix_high": 0.5, "batch": 40})
    wrong = [a for a in asked if not a.present]
    # Of the others drawn, those that the photo shows are no negatives: 5/9 are left on average.
    assert 0.06 < len(wrong) / len(asked) < 0.2
    assert all(a.text_weight <= 0.5 and a.examples and a.photo not in a.examples for a in asked)
    assert len({a.sentence for a in asked}) == 3 * 9
    none = drawn({"visual_share": 0.0, "negative_share": 0.0})
    assert all(a.text_weight == 1 and not a.examples and a.present for a in none)
    several = drawn({"max_examples": 3, "prompts": 2})
    assert {len(a.examples) for a in several} == {1, 2, 3}


def test_a_step_is_drawn_from_its_number_alone() -> None:
    first, again = drawn({}, 3), drawn({}, 3)
    assert first == again
    assert first != drawn({"seed": 1}, 3)


def test_crops_keep_the_thing() -> None:
    mask = np.zeros((40, 100), np.bool_)
    mask[5:25, 80:95] = True
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, x = find_square(mask, 40, 0.05, rng)
        assert y == 0
        assert mask[:, x : x + 40].sum() > 0.05 * mask.size
    nothing = find_square(np.zeros((40, 100), np.bool_), 40, 0.05, rng)
    assert nothing[0] == 0
    rgb = np.zeros((40, 100, 3), np.uint8)
    picture, part = cut_square(rgb, mask, (0, 60), 40, 20)
    assert picture.shape == (20, 20, 3)
    np.testing.assert_array_equal(part, mask[::2, 60::2])


# Runs


@pytest.fixture
def on_small_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lexiseg.training.clipseg.backbone.load_encoder", lambda *_, **__: small_clip()
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_a_run_that_was_stopped_reaches_the_same_numbers(
    blocks: Path, tmp_path: Path, on_small_clip: None
) -> None:
    whole = train_clipseg(blocks, tmp_path / "whole", recipe(), backbone="small")
    assert train_clipseg(blocks, tmp_path / "cut", recipe(), backbone="small",
                         options=RunOptions(stop_after=3)) is None  # fmt: skip
    rest = train_clipseg(blocks, tmp_path / "cut", recipe(), backbone="small")
    assert whole is not None
    assert rest is not None
    first, second = weights(whole), weights(rest)
    assert all(torch.equal(first[name], second[name]) for name in first)
    lines = [json.loads(x) for x in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert {"ap", "fg_iou_0.3", "mean_iou_0.3"} <= set(lines[1])
    # What was written is read back as a model.
    model = from_checkpoint(resolve(whole), pick("cpu", "fp32"), lambda name: small_clip())
    assert model.decoder.config.layers == (0, 1, 2)
    assert json.loads((whole / "config.json").read_text())["backbone"] == "small"
    rgb = np.zeros((50, 70, 3), np.uint8)
    assert model.maps(model.encode(rgb), model.words(["red"])).shape == (1, 64, 64)


def test_a_run_that_was_killed_goes_on_from_what_it_saved(
    blocks: Path, tmp_path: Path, on_small_clip: None
) -> None:
    """Killed in step 2, behind the state of step 1: step 2 is done again, and logged once."""
    rare = recipe(save_every=2, evaluate_every=3)

    def killed(line: str) -> None:
        if '"step": 2' in line:
            raise KeyboardInterrupt

    whole = train_clipseg(blocks, tmp_path / "whole", rare)
    with pytest.raises(KeyboardInterrupt):
        train_clipseg(blocks, tmp_path / "cut", rare, options=RunOptions(log=killed))
    assert torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"] == 2
    with open(tmp_path / "cut" / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')  # cut off in the middle of a line
    rest = train_clipseg(blocks, tmp_path / "cut", rare)
    assert whole is not None
    assert rest is not None
    first, second = weights(whole), weights(rest)
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    ]
    assert [line["step"] for line in logs[1]] == [0, 1, 2, 3]
    for one, other in zip(*logs, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_missing_tensorboard_shows_before_the_work(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ExtraMissing, match="tensorboard"):
        train_clipseg(blocks, tmp_path / "run", recipe(), tensorboard=True)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_gathered_gradients_are_those_of_the_whole_batch(
    blocks: Path, tmp_path: Path, on_small_clip: None
) -> None:
    # Every random choice but the crops' is the step's; no crop to choose, no dropout.
    fixed = recipe(steps=1, jitter=1.0, dropout=0.0, visual_share=0.0, min_crop_share=0.0)
    # A square of the picture's height may start anywhere: make photos square.
    for path in [*blocks.glob("*/images/*.png"), *blocks.glob("*/masks/*.png")]:
        Image.open(path).crop((0, 0, 48, 48)).save(path)
    one = train_clipseg(blocks, tmp_path / "one", fixed)
    two = train_clipseg(blocks, tmp_path / "two", replace(fixed, accumulate=2))
    assert one is not None
    assert two is not None
    a, b = weights(one), weights(two)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=2e-5, rtol=0)
    with pytest.raises(OptionError, match="equal parts"):
        recipe(batch=4, accumulate=3)


def test_the_loss_falls(blocks: Path, tmp_path: Path, on_small_clip: None) -> None:
    longer = {
        "steps": 30,
        "lr": 5e-3,
        "evaluate_every": 1000,
        "save_every": 1000,
        "visual_share": 0.0,
    }
    train_clipseg(blocks, tmp_path / "run", recipe(**longer))
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_the_bundled_encoders_head(
    blocks: Path, tmp_path: Path, random_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lexiseg.training.clipseg.backbone.load_encoder", lambda *_, **__: random_tiny
    )
    small = tiny_recipe(steps=4, side=64, batch=4, prompts=3, evaluate_every=4, val_photos=2)
    whole = train_clipseg(blocks, tmp_path / "whole", small, backbone="tiny")
    train_clipseg(
        blocks, tmp_path / "cut", small, backbone="tiny", options=RunOptions(stop_after=2)
    )
    rest = train_clipseg(blocks, tmp_path / "cut", small, backbone="tiny")
    assert whole is not None
    assert rest is not None
    first, second = weights(whole), weights(rest)
    assert all(torch.equal(first[name], second[name]) for name in first)
    # What was written is read back by its folder.
    asked: list[str] = []

    def backbone(name: str) -> Any:
        asked.append(name)
        return random_tiny

    model = build_prompted(resolve(whole), pick("cpu", "fp32"), backbone)
    assert isinstance(model, FilmPrompted)
    assert asked == ["tiny"]
    assert model.name == "decoder"
    assert set(model.sha256) >= {"film.safetensors"}
    with pytest.raises(CheckpointError, match="bundled encoder"):
        build_prompted(resolve(whole), pick("cpu", "fp32"), lambda _: object())
    rgb = np.zeros((50, 70, 3), np.uint8)
    seen = model.encode(rgb, side=64)
    assert seen.work_hw == (64, 90)
    maps = model.maps(seen, model.words(["red", "green"] * 3))
    assert maps.shape == (6, 16, 23)
    torch.testing.assert_close(maps[:2], maps[4:], atol=1e-5, rtol=0)  # batches do not matter


def test_cached_features_are_those_of_the_files(
    blocks: Path, tmp_path: Path, random_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same names, other photos, other masks and other crops are encoded again."""
    monkeypatch.setattr(
        "lexiseg.training.clipseg.backbone.load_encoder", lambda *_, **__: random_tiny
    )
    small = tiny_recipe(steps=2, side=64, batch=2, prompts=2, evaluate_every=4, val_photos=1)

    def caches(out: str, **changes: Any) -> set[str]:
        (tmp_path / out).mkdir(exist_ok=True)
        if not (tmp_path / out / "cache").exists():
            (tmp_path / out / "cache").symlink_to(tmp_path / "cache")
        train_clipseg(blocks, tmp_path / out, replace(small, **changes), backbone="tiny")
        return {path.stem for path in (tmp_path / "cache").iterdir()}

    (tmp_path / "cache").mkdir()
    first = caches("one")
    assert caches("two", lr=0.1) == first
    photo, mask = (blocks / "train" / part / "0.png" for part in ("images", "masks"))
    for number, file in enumerate((photo, mask)):
        with Image.open(file) as picture:
            pixels = np.array(picture)
        Image.fromarray(pixels[:, ::-1]).save(file)
        assert len(caches(f"changed{number}")) == len(first) + 1 + number
    assert len(caches("crops", min_crop_share=0.2)) == len(first) + 3


def test_a_head_stays_on_the_picture_side_that_it_was_trained_on(
    random_tiny: Any, tmp_path: Path
) -> None:
    config = random_tiny.net.config
    sha256 = {"vision.safetensors": "a" * 64}
    model = FilmPrompted(random_tiny, FilmHead(FilmConfig(config.fine_dim, config.dim)), sha256)
    write_decoder(model, "tiny", tmp_path, tiny_recipe())
    for good in ("a" * 64, None):
        assert isinstance(load_head(tmp_path / "film.safetensors", good), FilmHead)
    with pytest.raises(CheckpointError, match="another picture side"):
        load_head(tmp_path / "film.safetensors", "b" * 64)
    (tmp_path / "film.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is not a head"):
        load_head(tmp_path / "film.safetensors")


def test_a_head_begins_as_the_cosine_alone(random_tiny: Any) -> None:
    config = random_tiny.net.config
    model = FilmPrompted(random_tiny, FilmHead(FilmConfig(config.fine_dim, config.dim)))
    rgb = np.random.default_rng(0).integers(0, 256, (40, 64, 3)).astype(np.uint8)
    seen, vectors = model.encode(rgb, side=64), model.words(["red", "green"])
    cosine = (seen.value.features[0] @ vectors.T).permute(2, 0, 1)
    maps = model.maps(seen, vectors)
    order = maps.flatten().argsort()
    assert bool((cosine.flatten()[order].diff() > -1e-6).all())


def test_a_speck_and_a_whole_picture_as_examples(random_tiny: Any) -> None:
    config = random_tiny.net.config
    model = FilmPrompted(random_tiny, FilmHead(FilmConfig(config.fine_dim, config.dim)))
    rgb = np.random.default_rng(0).integers(0, 256, (40, 64, 3)).astype(np.uint8)
    speck: NDArray[np.bool_] = np.zeros((40, 64), np.bool_)
    speck[11, 17] = True
    pairs = [(rgb, speck), (rgb, np.ones_like(speck))]
    vectors = torch.stack([model.examples([pair]) for pair in pairs])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert float((vectors[0] - vectors[1]).abs().max()) > 1e-3
    torch.testing.assert_close(model.examples(pairs), vectors.mean(0))


def test_the_command(blocks: Path, tmp_path: Path, on_small_clip: None, capsys: Any) -> None:
    flags = ["--data", str(blocks), "--backbone", "small", "--out", str(tmp_path / "run")]
    flags += [
        "--set",
        "side=64",
        "--set",
        "batch=2",
        "--set",
        "layers=0,2",
        "--set",
        "reduce_dim=8",
    ]
    assert cli.run(["clipseg", *flags, "--steps", "2", "--stop-after", "1"]) == 0
    assert "go on with --resume" in capsys.readouterr().out
    with pytest.raises(OptionError, match="not empty"):
        cli.run(["clipseg", *flags, "--steps", "2"])
    with pytest.raises(OptionError, match=r"recipe\.steps 2 \(now 3\)"):
        cli.run(["clipseg", *flags, "--steps", "3", "--resume"])
    assert cli.run(["clipseg", *flags, "--steps", "2", "--resume"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "decoder")
