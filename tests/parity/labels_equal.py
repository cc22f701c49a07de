"""When a label map is that of official code: wherever the winning word has a lead."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.close import assert_close, assert_labels, lead

from lexiseg.stages.word_vectors import WordVectors

# The golden words have no part that all features share, so their logits are small differences of
# large numbers; mistakes are over 1e-2.
EPS = 1e-3


def worth_comparing(labels: NDArray[np.uint8]) -> None:
    """At least ten words win, and none wins more than 30 % of the pixels."""
    shares = np.bincount(labels.reshape(-1)) / labels.size
    assert (shares > 0).sum() >= 10
    assert shares.max() <= 0.3


def same_maps(maps: torch.Tensor, want: NDArray[np.float32]) -> None:
    """Logits (C, H, W) are close to the golden ones, which are kept for every sixth pixel."""
    assert_close(maps[:, ::6, ::6], want, EPS)


def same_labels(
    labels: NDArray[np.integer[Any]], want: NDArray[np.uint8], maps: torch.Tensor,
    words: WordVectors, scale: float, threshold: float,
) -> None:  # fmt: skip
    """Classes (H, W), of the word with the largest softmax of scale times the logits.

    A pixel below the threshold is class 0. Open is where two classes' logits are as large, or the
    winner is at the threshold: changing logits by e changes a softmax by scale * e / 2 at most.
    Classes that won nothing are left out: an area threshold gave theirs to the next best.
    """
    classes = [maps[words.class_ids == k].amax(0) for k in np.unique(want)]
    best = (maps * scale).softmax(0).amax(0)
    margins = np.minimum(lead(torch.stack(classes)), (best - threshold).abs().numpy() * 2 / scale)
    assert_labels(labels, want, torch.stack(classes), EPS, margins=margins)


def same_words(labels: torch.Tensor, want: NDArray[np.uint8], maps: torch.Tensor) -> None:
    """Winning words (H, W), each for itself."""
    assert_labels(labels, want, maps, EPS)
