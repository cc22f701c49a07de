"""The benchmark of CLIP, run on a small one: its two ways must agree, whatever their times are."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest
from benchmarks import clip_probe
from benchmarks.drawn import Sizes
from benchmarks.rows import clip

SMALL = Sizes(width=128, layers=3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "SIZES", SMALL)
    monkeypatch.setattr(clip, "PHOTOS", (("small", (150, 101), 90),))
    monkeypatch.setattr(clip, "ROUNDS", 1)
    monkeypatch.setattr(clip, "MANY", 25)
    monkeypatch.setattr(clip, "SAMPLE", 3)
    monkeypatch.setattr(clip, "LARGE", ((300, 200), 90, 30))
    monkeypatch.setattr("benchmarks.rows.speed.many_words", lambda count: WORDS[:count])


def test_both_ways_say_the_same(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(command: list[str]) -> str:
        import json

        return json.dumps(clip_probe.main(json.loads(command[-1])))

    monkeypatch.setattr(clip, "output", here)
    result = clip.run(Namespace(device="cpu"))
    assert result["maps"]["small"]["fp32"]["agreement"] >= 0.9999
    assert result["words"]["fp32"]["difference"] < 1e-5
    if result["bf16"]:
        assert result["maps"]["small"]["bf16"]["agreement"] >= 0.95
        assert result["words"]["bf16"]["difference"] < 0.1
    assert result["large"]["labels"] >= 10
    written = clip.table(result)
    assert "| small, 25 words: fp32 |" in written
    assert ("bf16 was not measured" in written) is not result["bf16"]
    assert "windows one by one" in written


def test_bf16_agrees_with_fp32(small: None) -> None:
    """Where it is slow too: of drawn weights, whose attention is sharp, nearly all pixels."""
    labels: list[Any] = []
    vectors = None
    for dtype in ("fp32", "bf16"):
        model = clip.encoder(SMALL, "cpu", dtype)
        seg = clip.segmenter(model, 90)
        view = seg.prepare(clip.photo((150, 101)))
        if vectors is None:
            vectors = clip.centres(view.encoded[0].cells, 21)
        model.vectors = vectors
        labels.append(seg(view, clip.names(21), background=None).label_map)
    assert (labels[0] == labels[1]).mean() >= 0.95


WORDS = [f"{kind} {thing}" for kind in ("old", "red", "small") for thing in (
    "house", "car", "tree", "boat", "dog", "cat", "road", "sign", "bird",
)]  # fmt: skip
