"""The benchmark of CLIP, run on a small one: its two ways must agree, whatever their times are."""

from __future__ import annotations

from argparse import Namespace

import pytest
from benchmarks.drawn import Sizes
from benchmarks.rows import clip


def test_both_ways_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "SIZES", Sizes(width=128, layers=3))
    monkeypatch.setattr(clip, "PHOTOS", (("small", (150, 101), 90),))
    monkeypatch.setattr(clip, "RUNS", 1)
    monkeypatch.setattr(clip, "MANY", 25)
    monkeypatch.setattr("benchmarks.rows.speed.many_words", lambda count: WORDS[:count])
    result = clip.run(Namespace(device="cpu"))
    assert result["maps"]["small"]["fp32"]["agreement"] >= 0.9999
    assert result["maps"]["small"]["bf16"]["agreement"] >= 0.95
    assert result["words"]["fp32"]["difference"] < 1e-5
    assert result["words"]["bf16"]["difference"] < 0.1
    written = clip.table(result)
    assert written.count("\n") == 2 + 5 + 5 + 1
    assert "windows one by one" in written


WORDS = [f"{kind} {thing}" for kind in ("old", "red", "small") for thing in (
    "house", "car", "tree", "boat", "dog", "cat", "road", "sign", "bird",
)]  # fmt: skip
