"""ProxyCLIP, Trident and ResCLIP, from picture to label map, against their official code.

The golden files were made by ``tests/parity/golden/make_proxies.py``, which names commits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import proxy_weights
from tests.parity.golden.make_proxies import deep_weights
from tests.parity.golden.make_windows import MEAN, STD, weights
from tests.parity.labels_equal import same_labels, same_maps, same_words, worth_comparing

from lexiseg.checkpoints import Preprocessing
from lexiseg.device import pick
from lexiseg.methods import proxy_clip, resclip, trident
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import tokenizer
from lexiseg.models.dino.net import DinoNet
from lexiseg.models.dino.proxy import DinoProxy
from lexiseg.models.sam.trunk import SamTrunk, trunk_of
from lexiseg.stages.clip_windows import Windows
from lexiseg.stages.proxy_attention import proxy_attention
from lexiseg.stages.resclip import RCS_BLOCKS
from lexiseg.stages.tiled_argmax import ArgmaxRules, argmax_labels
from lexiseg.stages.word_vectors import WordVectors

GOLDEN = Path(__file__).parent / "golden"


def clip(state: dict[str, torch.Tensor]) -> ClipEncoder:
    red, green, blue = (value / 255 for value in MEAN)
    spread = (STD[0] / 255, STD[1] / 255, STD[2] / 255)
    return ClipEncoder(
        Clip.of(ClipConfig.of(state, "quick-gelu"), state),
        tokenizer(),
        Preprocessing(None, (red, green, blue), spread),
        pick("cpu", "fp32"),
        name="test",
    )


def dino(patch: int) -> DinoProxy:
    net = DinoNet.of(proxy_weights.dino_state(patch))
    return DinoProxy(net, patch, pick("cpu", "fp32"), name="test")


def golden(name: str) -> tuple[dict[str, Any], WordVectors]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        want = {key: file[key] for key in file.files}
    owners = torch.from_numpy(want["owners"])
    worth_comparing(want["labels"])
    return want, WordVectors(torch.from_numpy(want["vectors"]), owners, int(owners.max()) + 1, 0)


def compare(want: dict[str, Any], words: WordVectors, seen: Windows, threshold: float) -> None:
    maps = seen.logits(words).pixels()
    same_maps(maps, want["logits"])
    thresholds = np.full(words.num_classes, threshold, np.float32)
    found = argmax_labels([seen.logits(words)], words, ArgmaxRules(40, thresholds))
    labels = np.where(found.labels < 0, 0, found.labels)
    same_labels(labels, want["labels"], maps, words, 40, threshold)


def entropy(weights: torch.Tensor) -> float:
    """Mean entropy of rows over its maximum."""
    weights = weights / weights.sum(-1, keepdim=True)
    each = -(weights * weights.clamp_min(1e-12).log()).sum(-1).mean()
    return float(each / np.log(weights.shape[-1]))


def test_proxyclip() -> None:
    want, words = golden("proxyclip")
    assert str(want["commit"]).startswith("e7b767f")
    proxy = dino(8)
    cells = proxy.cells(torch.from_numpy(want["rgb"][None, :112, :112]))
    assert entropy(proxy_attention(cells, 1.2, 12.0)) < 0.8
    config = proxy_clip.Config(short_side=112, window=104, stride=56, beta=1.2, gamma=12.0)
    view = proxy_clip.Segmenter(clip(weights()), proxy, config).prepare(want["rgb"])
    compare(want, words, view.encoded[0], 0.049)


def test_trident() -> None:
    want, words = golden("trident")
    assert str(want["commit"]).startswith("a93b346")
    sam = SamTrunk(trunk_of(proxy_weights.sam_state()), pick("cpu", "fp32"), name="test")
    whole = sam.whole_attention(want["rgb"])
    assert entropy(whole.attention(0)) < 0.8
    config = trident.Config(
        short_side=130, window=112, stride=64, beta=1.2, gamma=3.0, cos_factor=1.2
    )
    view = trident.Segmenter(clip(weights()), dino(16), sam, config).prepare(want["rgb"])
    # The official code's labels take every word for itself here.
    maps = view.encoded[0].logits(words).pixels()
    same_maps(maps, want["logits"])
    same_words(maps.argmax(0), want["labels"], maps)


@pytest.mark.parametrize(
    ("name", "readout"),
    [("resclip", "naclip"), ("resclip_sclip", "sclip"), ("resclip_clearclip", "clearclip")],
)
def test_resclip(name: str, readout: str) -> None:
    want, words = golden(name)
    assert str(want["commit"]).startswith("0e085f7")
    encoder = clip(deep_weights())
    block = encoder.trunk(torch.from_numpy(want["rgb"])[None], attention=RCS_BLOCKS)
    assert entropy(torch.stack([block.attention[i] for i in RCS_BLOCKS])) < 0.8
    config = resclip.Config(
        short_side=100, window=80, stride=32, logit_scale=40.0, first_threshold=0.047,
        rcs=(2.0, 0.3), sfr=(2.1, 0.7), readout=readout,
    )  # fmt: skip
    segmenter = resclip.Segmenter(encoder, config)
    (seen,) = segmenter.with_words(segmenter.prepare(want["rgb"]), words).encoded
    compare(want, words, seen, 0.046)


@pytest.mark.parametrize("patch", [8, 16])
def test_proxies_look_at_what_they_were_shown(patch: int) -> None:
    proxy = dino(patch)
    pixels = torch.zeros(1, 6 * patch, 9 * patch, 3)
    lit = pixels.clone()
    lit[:, : 2 * patch, 7 * patch :] = 255
    change = (proxy.cells(lit) - proxy.cells(pixels)).norm(dim=-1)[0]
    assert change.shape == (6, 9)
    assert change[:2, 7:].min() > change[4:, :5].max()
