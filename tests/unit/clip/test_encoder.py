from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests import clip_weights

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, OptionError, UnknownName
from lexiseg.models import load_encoder
from lexiseg.models.clip.encoder import ClipEncoder, from_checkpoint
from lexiseg.models.clip.text import shared_beginnings
from lexiseg.models.clip.tokenizer import tokenise, tokenizer
from lexiseg.prompts import TEMPLATES
from lexiseg.protocols import AttentionEncoder, Encoder, LoadOptions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_weights.write_openclip(tmp_path_factory.mktemp("w") / "My CLIP")


@pytest.fixture
def encoder(folder: Path) -> ClipEncoder:
    return from_checkpoint(resolve(folder), pick("cpu", "fp32"))


def test_a_folder_of_openclip_loads_by_its_path(folder: Path) -> None:
    encoder = load_encoder(str(folder), LoadOptions(device="cpu"))
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, AttentionEncoder)
    assert encoder.name == "my-clip"
    assert encoder.size.multiple == 16
    block = encoder.trunk(torch.zeros(1, 32, 48, 3, dtype=torch.uint8), keep=range(100))
    assert encoder.num_blocks == block.index + 1 == len(block.kept) + 1 > 1
    assert encoder.scale == pytest.approx(100)
    assert set(encoder.sha256) == {"open_clip_model.safetensors", "open_clip_config.json"}


def test_an_activation_that_is_not_the_records_raises(folder: Path) -> None:
    found = resolve(folder)
    other = replace(found, record=replace(found.record, activation="gelu"))
    with pytest.raises(CheckpointError, match=r"'gelu' in its record, but .* says quick-gelu"):
        from_checkpoint(other, pick("cpu"))
    smaller = replace(found, record=replace(found.record, embed_dim=512))
    with pytest.raises(CheckpointError, match="vectors of 48 values, its record says 512"):
        from_checkpoint(smaller, pick("cpu"))


def test_a_folder_that_is_no_clip_says_so(tmp_path: Path) -> None:
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"x")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(CheckpointError, match="is not the configuration of a model"):
        resolve(tmp_path)


def obvious(encoder: ClipEncoder, words: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """The papers' way: a word at a time, its templates in one batch, always 77 tokens."""
    out = []
    for word in words:
        tokens = tokenise(tokenizer(), [t.format(word) for t in templates], 77)
        ids = torch.zeros(len(tokens), 77, dtype=torch.long)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = torch.tensor(one)
        ends = torch.tensor([len(one) - 1 for one in tokens])
        vectors = F.normalize(encoder.net.words(ids, ends), dim=-1)
        out.append(F.normalize(vectors.mean(0), dim=0))
    return torch.stack(out)


def test_the_ensemble_is_that_of_the_papers(encoder: ClipEncoder) -> None:
    words = ["sky", "traffic light", "a very long name of a thing " * 20, "cat"]
    templates = TEMPLATES["imagenet-7"]
    got = encoder.text(words, templates)
    torch.testing.assert_close(got, obvious(encoder, words, templates), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.norm(dim=1), torch.ones(4))


def test_templates_are_complete() -> None:
    assert len(TEMPLATES["imagenet-80"]) == len(set(TEMPLATES["imagenet-80"])) == 80
    assert len(TEMPLATES["imagenet-7"]) == 7
    assert all(
        t.count("{}") == 1 for name in ("imagenet-7", "imagenet-80") for t in TEMPLATES[name]
    )


def test_words_are_encoded_once(
    encoder: ClipEncoder, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoder.text(["cat", "dog", "cat"], ["a {}", "the {}"])
    assert torch.equal(first[0], first[2])
    (kept,) = (cache / "words").iterdir()

    def never(*_: object) -> torch.Tensor:
        raise AssertionError("a known word was encoded again")

    monkeypatch.setattr(ClipEncoder, "sentences", never)
    assert torch.equal(encoder.text(["dog"], ["a {}", "the {}"])[0], first[1])
    another = from_checkpoint(resolve(folder), pick("cpu", "fp32"))
    assert torch.equal(another.text(["cat", "dog"], ["a {}", "the {}"]), first[:2])
    with pytest.raises(AssertionError, match="encoded again"):
        encoder.text(["cat"], ["a {}"])  # other templates are another question
    kept.write_bytes(b"damaged")
    fresh = from_checkpoint(resolve(folder), pick("cpu", "fp32"))
    with pytest.raises(AssertionError, match="encoded again"):
        fresh.text(["cat"], ["a {}", "the {}"])


def test_a_cache_that_cannot_be_written_only_forgets(
    encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "file"))
    assert encoder.text(["cat"]).shape == (1, 48)


def picture(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)


def test_grids_of_any_size(encoder: ClipEncoder) -> None:
    assert encoder.dense(picture(64, 96)).shape == (2, 4, 6, 48)
    stretched = encoder.trunk(picture(70, 90))
    assert stretched.grid_hw == (4, 5)
    padded = encoder.trunk(picture(70, 90), ragged="pad")
    assert padded.grid_hw == (5, 6)
    with pytest.raises(UnknownName, match="way with ragged sides"):
        encoder.trunk(picture(64, 64), ragged="fill")
    with pytest.raises(UnknownName, match="way to resize positions"):
        encoder.trunk(picture(64, 96), positions="scales")


def test_padding_is_the_mean_colour_on_both_sides(encoder: ClipEncoder) -> None:
    mean = np.rint(np.array([0.48145466, 0.4578275, 0.40821073]) * 255).astype(np.uint8)
    inner = picture(60, 64)
    by_hand = torch.from_numpy(mean).expand(2, 64, 64, 3).clone()
    by_hand[:, 2:62] = inner
    got, wanted = encoder.trunk(inner, ragged="pad"), encoder.trunk(by_hand)
    # The mean is no whole number of 255ths.
    torch.testing.assert_close(got.tokens, wanted.tokens, atol=0.05, rtol=0)
    assert not torch.allclose(got.tokens, encoder.trunk(by_hand.roll(2, 1)).tokens, atol=0.05)


def test_several_layers(encoder: ClipEncoder) -> None:
    block = encoder.trunk(picture(64, 96), keep=(0, 2), attention=(1,))
    assert {i: tuple(kept.shape) for i, kept in block.kept.items()} == {
        0: (2, 25, 64), 2: (2, 25, 64)
    }  # fmt: skip
    assert torch.equal(block.kept[2], block.tokens)  # of four blocks the last is open
    torch.testing.assert_close(block.attention[1].sum(-1), torch.ones(2, 1, 25))
    assert block.finish(block.kept[0]).shape == (2, 4, 6, 48)


def test_pooled(encoder: ClipEncoder) -> None:
    rgb = picture(64, 96)
    whole = encoder.pooled(rgb)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(2))
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, 16:32, 32:48] = True  # one cell
    inside = encoder.pooled(rgb[:1], masks)
    torch.testing.assert_close(inside[0], encoder.dense(rgb[:1])[0, 1, 2])
    assert inside[1].norm() == 0


def test_a_resnet_opens_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = clip_weights.write_openclip(tmp_path / "rn")
    save_file(clip_weights.resnet_state(), folder / "open_clip_model.safetensors")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = [1, 2, 1, 1]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    encoder = from_checkpoint(resolve(folder), pick("cpu", "fp32"))
    assert encoder.size.multiple == 32
    assert encoder.dense(picture(64, 96)).shape == (2, 2, 3, 48)
    with pytest.raises(OptionError, match="no attention maps"):
        encoder.trunk(picture(64, 96), attention=(0,))


def test_bf16_agrees_with_fp32(folder: Path, encoder: ClipEncoder) -> None:
    half = from_checkpoint(resolve(folder), pick("cpu", "bf16"))
    exact, rough = encoder.dense(picture(64, 96)), half.dense(picture(64, 96))
    assert rough.dtype == torch.float32
    assert float((exact * rough).sum(-1).min()) > 0.99
    assert float((encoder.text(["cat"]) * half.text(["cat"])).sum()) > 0.99


def test_shared_beginnings_change_nothing(encoder: ClipEncoder) -> None:
    words = [f"{kind} {thing}" for kind in ("red", "old", "a red red") for thing in "abcdefgh"]
    templates = ("{}", "a photo of a {}.", "a photo of {}", "{} in a video game, far away")
    tokens = tokenise(tokenizer(), [t.format(w) for w in words for t in templates], 77)
    beginnings, owners = shared_beginnings(tokens)
    assert max(map(len, beginnings)) >= 6  # start, a photo of a, and a kind
    for ids, owner in zip(tokens, owners, strict=True):
        assert tuple(ids[: len(beginnings[owner])]) == beginnings[owner]
        assert len(ids) > len(beginnings[owner])
    wanted = obvious(encoder, words, templates)
    torch.testing.assert_close(encoder.text(words, templates), wanted, atol=1e-5, rtol=0)
    # Few texts share nothing, and are computed as they are.
    assert shared_beginnings(tokens[:3]) == ([], [])
    torch.testing.assert_close(
        F.normalize(encoder.sentences([words[0]]), dim=-1),
        obvious(encoder, words[:1], ("{}",)), atol=1e-5, rtol=0,
    )  # fmt: skip
