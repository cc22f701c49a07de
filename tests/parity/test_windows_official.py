"""SCLIP, NACLIP and ClearCLIP, from picture to label map, against outputs of their official code.

The golden files were made by ``tests/parity/golden/make_windows.py``, which names commits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.parity.golden.make_windows import MEAN, STD, weights
from tests.parity.labels_equal import same_labels, same_maps, worth_comparing

from lexiseg.checkpoints import Preprocessing
from lexiseg.device import pick
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import tokenizer
from lexiseg.stages.attention import readout
from lexiseg.stages.clip_windows import Windows, WindowSettings, encode_windows
from lexiseg.stages.pamr import Pamr, resampled_pixels
from lexiseg.stages.tiled_argmax import ArgmaxRules, argmax_labels
from lexiseg.stages.word_vectors import WordVectors

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    state = weights()
    mean = (MEAN[0] / 255, MEAN[1] / 255, MEAN[2] / 255)
    std = (STD[0] / 255, STD[1] / 255, STD[2] / 255)
    return ClipEncoder(
        Clip.of(ClipConfig.of(state, "quick-gelu"), state),
        tokenizer(),
        Preprocessing(None, mean, std),
        pick("cpu", "fp32"),
        name="test",
    )


@dataclass
class Golden:
    commit: str
    rgb: NDArray[np.uint8]
    words: WordVectors
    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]
    score: NDArray[np.float32]


def golden(name: str) -> Golden:
    with np.load(GOLDEN / f"{name}.npz") as file:
        owners = torch.from_numpy(file["owners"])
        words = WordVectors(torch.from_numpy(file["vectors"]), owners, int(owners.max()) + 1, 0)
        return Golden(
            str(file["commit"]), file["rgb"], words, file["logits"], file["labels"], file["score"]
        )


def full(seen: Windows, words: WordVectors) -> torch.Tensor:
    return seen.logits(words).pixels()


def compare(
    want: Golden, seen: Windows, rules: ArgmaxRules, maps: torch.Tensor, threshold: float
) -> None:
    worth_comparing(want.labels)
    same_maps(maps, want.logits)
    thresholds = np.full(want.words.num_classes, threshold, np.float32)
    thresholds[0] = 0
    rules = replace(rules, thresholds=thresholds)
    found = argmax_labels([seen.logits(want.words)], want.words, rules)
    labels = np.where(found.labels < 0, 0, found.labels)  # below the threshold: class 0
    same_labels(labels, want.labels, maps, want.words, rules.scale, threshold)


def test_sclip(encoder: ClipEncoder) -> None:
    want = golden("sclip")
    seen = encode_windows(encoder, want.rgb, WindowSettings(96, 64, 32), readout("sclip"))
    assert want.commit.startswith("b56bd30")
    compare(want, seen, ArgmaxRules(65, area_threshold=0.03), full(seen, want.words), 0.08)


def test_naclip_with_pamr_on_the_whole_picture(encoder: ClipEncoder) -> None:
    want = golden("naclip")
    seen = encode_windows(encoder, want.rgb, WindowSettings(100, 8192, 8192), readout("naclip"))
    # Its sides are no multiples of a cell: the remainder is not seen, and the map is stretched.
    assert seen.work_hw == (100, 135)
    refine = Pamr(resampled_pixels(want.rgb, seen.work_hw), steps=10)
    assert want.commit.startswith("0cac3a6")
    compare(want, seen, ArgmaxRules(40, pamr=refine), refine(full(seen, want.words)), 0.08)


def test_clearclip_with_padded_windows(encoder: ClipEncoder) -> None:
    want = golden("clearclip")
    seen = encode_windows(
        encoder, want.rgb, WindowSettings(120, 88, 56, ragged="pad"), readout("clearclip")
    )
    assert seen.padding == (4, 4)
    assert want.commit.startswith("ad68a40")
    compare(want, seen, ArgmaxRules(50), full(seen, want.words), 0.06)


def test_the_other_way_to_resize_positions_would_be_noticed(encoder: ClipEncoder) -> None:
    want = golden("clearclip")
    other = WindowSettings(120, 88, 56, positions="size", ragged="pad")
    maps = full(encode_windows(encoder, want.rgb, other, readout("clearclip")), want.words)
    with pytest.raises(AssertionError, match="of the largest value"):
        same_maps(maps, want.logits)


def test_the_drawn_weights_attend_to_something(encoder: ClipEncoder) -> None:
    """Uniform attention would let wrong code pass: every layer's entropy is clearly below it."""
    rgb = torch.from_numpy(golden("sclip").rgb)[None]
    block = encoder.trunk(rgb, attention=(0, 1, 2))
    logits = [block.q @ block.k.mT, block.q @ block.q.mT, block.k @ block.k.mT]
    maps = [(one * block.q.shape[-1] ** -0.5).softmax(-1) for one in logits]
    for rows in [*block.attention.values(), *maps]:
        entropy = -(rows * rows.clamp_min(1e-12).log()).sum(-1).mean()
        assert float(entropy) < 0.8 * np.log(rows.shape[-1])
