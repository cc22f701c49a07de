"""The method resclip: what it feeds back, and for which encoders it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tests.parity.golden.make_proxies import deep_weights
from tests.parity.golden.make_windows import weights
from tests.parity.test_proxies_official import clip

from lexiseg.errors import OptionError
from lexiseg.methods.resclip import Config, Segmenter
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.stages.word_vectors import WordVectors

SMALL = Config(short_side=64, window=64, stride=32, templates="plain", refine="none")


@pytest.fixture(scope="module")
def deep() -> ClipEncoder:
    return clip(deep_weights())


def test_an_image_is_encoded_for_words_and_not_before(
    deep: ClipEncoder, stripes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    seg = Segmenter(deep, SMALL)
    view = seg.prepare(stripes)
    assert view.encoded == ()
    assert view.windows_xyxy.tolist() == [[0, 0, 96, 64]]
    passes: list[int] = []
    real = ClipEncoder.trunk
    monkeypatch.setattr(
        ClipEncoder, "trunk", lambda self, pixels, **k: passes.append(len(pixels))
        or real(self, pixels, **k),
    )  # fmt: skip
    first = seg(view, ["dog", "cat"], background=None)
    assert sum(passes) == 2  # 64 x 96 pixels: two windows
    seg(view, ["dog", "cat"], background=None)
    assert sum(passes) == 4
    assert view.encoded == ()  # a view stays as it was
    again = seg(stripes, ["dog", "cat"], background=None)
    np.testing.assert_array_equal(first.semantic(), again.semantic())
    with pytest.raises(OptionError, match="call the segmenter with some"):
        seg.encode_scale(stripes, 1.0)


def test_other_words_change_what_cells_say(deep: ClipEncoder) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    view = Segmenter(deep, SMALL).prepare(rgb)
    some, others = (
        F.normalize(torch.randn(5, deep.text(["dog"]).shape[1], generator=g), dim=-1)
        for g in (torch.Generator().manual_seed(seed) for seed in (0, 1))
    )

    def cells(vectors: torch.Tensor, **changes: Any) -> torch.Tensor:
        words = WordVectors(vectors, torch.arange(5), 5, 0)
        seg = Segmenter(deep, replace(SMALL, first_threshold=0.0, **changes))
        return seg.with_words(view, words).encoded[0].cells

    one = cells(some)
    assert one.equal(cells(some))
    assert not one.equal(cells(others))
    assert not one.equal(cells(some, rcs=(2.0, 0.0)))
    # Where nothing of the answer is fed back, words change nothing.
    assert cells(some, sfr=(1.8, 0.0)).equal(cells(others, sfr=(1.8, 0.0)))


def test_it_is_for_a_clip_that_is_deep_enough(colours: Any, stripes: NDArray[np.uint8]) -> None:
    with pytest.raises(OptionError, match="resclip needs a CLIP, and 'colours' is none"):
        Segmenter(colours, SMALL)
    with pytest.raises(OptionError, match="'test' has fewer blocks; give a larger CLIP"):
        Segmenter(clip(weights()), SMALL)(stripes, ["dog", "cat"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"rcs": (0.0, 0.5)}, {"rcs": (1.0, 1.1)}, {"sfr": (-1.0, 0.5)}, {"sfr": (1.0, -0.1)},
        {"first_threshold": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_fed_back_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Config(**wrong)
