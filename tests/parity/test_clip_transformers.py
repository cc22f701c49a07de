"""CLIP against transformers' CLIPModel on the same weights, at native and at other sizes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from benchmarks.drawn import to_transformers
from tests import clip_weights
from tests.close import assert_close
from torch import Tensor

from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import END, START, tokenise, tokenizer
from lexiseg.models.clip.weights import from_transformers

HEADS = 2  # more than one, so that a wrong order of heads is seen
SIZES = [(64, 64), (96, 48), (80, 112)]  # native first
ACTIVATIONS = {"quick-gelu": "quick_gelu", "gelu": "gelu"}


def reference(state: Mapping[str, Tensor], activation: str) -> Any:
    from transformers import CLIPConfig, CLIPModel

    hidden = {"hidden_act": ACTIVATIONS[activation], "num_attention_heads": HEADS}
    config = CLIPConfig(
        projection_dim=clip_weights.EMBED,
        vision_config={
            **hidden,
            "hidden_size": clip_weights.WIDTH,
            "intermediate_size": 4 * clip_weights.WIDTH,
            "num_hidden_layers": clip_weights.LAYERS,
            "image_size": clip_weights.IMAGE,
            "patch_size": clip_weights.PATCH,
        },
        text_config={
            **hidden,
            "hidden_size": clip_weights.TEXT_WIDTH,
            "intermediate_size": 4 * clip_weights.TEXT_WIDTH,
            "num_hidden_layers": clip_weights.TEXT_LAYERS,
            "eos_token_id": 49407,
        },
        attn_implementation="eager",
    )
    model = CLIPModel(config).eval()
    model.load_state_dict(to_transformers(state), strict=True)
    return model


@pytest.fixture(scope="module", params=sorted(ACTIVATIONS))
def pair(request: pytest.FixtureRequest) -> tuple[Clip, Any]:
    state = clip_weights.vit_state(1)
    config = ClipConfig.of(state, request.param, vision_heads=HEADS, text_heads=HEADS)
    return Clip.of(config, state), reference(state, request.param)


def pixels(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))


def entropy(maps: Tensor) -> float:
    """Mean entropy of attention rows, as a part of the largest that there could be."""
    flat = maps.float().clamp_min(1e-12)
    return float(-(flat * flat.log()).sum(-1).mean() / torch.tensor(flat.shape[-1]).log())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures(pair: tuple[Clip, Any], height: int, width: int) -> None:
    ours, theirs = pair
    x = pixels(height, width)
    with torch.no_grad():
        wanted = theirs.vision_model(
            x, interpolate_pos_encoding=True, output_hidden_states=True, output_attentions=True
        )
        projected = theirs.visual_projection(wanted.pooler_output)
        layers = range(clip_weights.LAYERS - 1)
        block = ours.visual.trunk(x, "size", keep=[-1, *layers], attention=layers)
        whole = torch.nn.functional.scaled_dot_product_attention(block.q, block.k, block.v)
        last = block.complete(block.project(whole))
    # The weights must not degenerate, or wrong code would pass.
    assert all(entropy(maps) < 0.8 for maps in wanted.attentions)
    for i, maps in block.attention.items():
        assert_close(maps, wanted.attentions[i])
    hidden = [block.kept[-1], *(block.kept[i] for i in layers), last]
    assert len(hidden) == len(wanted.hidden_states)
    for got, want in zip(hidden, wanted.hidden_states, strict=True):
        assert_close(got, want)
    assert_close(ours.visual(x, "size"), projected)


def test_the_other_way_to_resize_positions_is_another_one(pair: tuple[Clip, Any]) -> None:
    ours, _ = pair
    x = pixels(96, 48)
    by_size, by_scale = ours.visual(x, "size"), ours.visual(x, "scale")
    assert float((by_size - by_scale).abs().max()) > 1e-4
    assert torch.equal(ours.visual(pixels(64, 64), "size"), ours.visual(pixels(64, 64), "scale"))


def test_texts(pair: tuple[Clip, Any]) -> None:
    ours, theirs = pair
    table = tokenizer()
    texts = ["cat", "a photo of a very large grey bridge over a river", "sky, blue", "x " * 100]
    tokens = tokenise(table, texts, 77)
    padded = torch.full((len(texts), 77), table.token_to_id(END) or 0)
    for row, ids in enumerate(tokens):
        padded[row, : len(ids)] = torch.tensor(ids)
    ends = torch.tensor([len(ids) - 1 for ids in tokens])
    with torch.no_grad():
        wanted = theirs.text_model(padded, output_hidden_states=True)
        projected = theirs.text_projection(wanted.pooler_output)
        hidden = ours.words.hidden(padded)
    for got, want in zip(hidden, wanted.hidden_states, strict=True):
        assert_close(got, want)
    assert_close(ours.words(padded, ends), projected)
    # What stands after the end changes nothing, nor does leaving it out.
    short = [row for row, ids in enumerate(tokens) if len(ids) < 77]
    longest = max(len(tokens[row]) for row in short)
    cut = ours.words(padded[short, :longest], ends[short])
    assert_close(cut, projected[short])


def test_the_wrong_activation_gives_other_features() -> None:
    state = clip_weights.vit_state(1)
    quick, plain = (
        Clip.of(ClipConfig.of(state, name, vision_heads=HEADS, text_heads=HEADS), state)
        for name in ("quick-gelu", "gelu")
    )
    difference = (quick.visual(pixels(64, 64)) - plain.visual(pixels(64, 64))).abs().max()
    assert float(difference) > 1e-2


def test_their_names_are_read() -> None:
    state = clip_weights.vit_state(2)
    read = from_transformers(to_transformers(state))
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


def strings(count: int) -> list[str]:
    """Texts with letters of many scripts, marks, emoji, control characters and great length."""
    draw = random.Random(7)
    words = [
        "photo", "of", "a", "CAT", "it's", "we'll", "they’re", "Straße", "İstanbul", "naïve",
        "cafe\u0301", "Ångström", "ﬁne", "猫", "東京タワー", "собака", "كلب", "הכלב", "हिन्दी",
        "ไทย", "한국어", "😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "1234567", "3.14", "x²", "½", "№7", "--",
        "...",
        "!?", "<|endoftext|>", "<|startoftext|>", "http://a.b/c?d=e", "a_b", "C++", "#tag", "@you",
        "&amp;", "\t", "\n", "\u00a0", "\u200b", "\u3000", "𝒜", "𓀀", "'S", "D'OH",
        "supercalifragilistic",
    ]  # fmt: skip
    planes = [(0x20, 0x7F), (0xA0, 0x24F), (0x370, 0x5FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF),
              (0x1F300, 0x1FAFF), (0x2000, 0x206F)]  # fmt: skip
    out = []
    for i in range(count):
        if i % 3 == 0:
            length = draw.choice((1, 3, 10, 120))
            points = [draw.randint(*draw.choice(planes)) for _ in range(length)]
            out.append("".join(map(chr, points)))
        else:
            picked = [draw.choice(words) for _ in range(draw.choice((1, 2, 5, 90)))]
            out.append(draw.choice((" ", "  ", "")).join(picked))
    return out


def test_tokens() -> None:
    from transformers import CLIPTokenizer

    table = tokenizer()
    written = json.loads(table.to_str())["model"]
    theirs = CLIPTokenizer(vocab=written["vocab"], merges=[tuple(m) for m in written["merges"]])
    texts = ["", " ", *strings(2000)]
    got = tokenise(table, texts, 77)
    assert max(map(len, got)) == 77
    assert got == theirs(texts, truncation=True, max_length=77)["input_ids"]


def test_the_numbers_of_tokens_are_the_published_ones() -> None:
    # From the notebook "Interacting with CLIP" and the tests of transformers.
    (got,) = tokenise(tokenizer(), ["a photo of a cat"], 77)
    assert got == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer().get_vocab_size() == 49408
    assert [tokenizer().token_to_id(name) for name in (START, END)] == [49406, 49407]
