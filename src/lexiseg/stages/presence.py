"""Regions of a word that the background explains nearly as well: they lose the word."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["doubtful_places", "without_doubtful"]


def without_doubtful(probabilities: Tensor, background: int, presence: float) -> Tensor:
    """Return probabilities (C, h, w) in which doubtful regions have lost their winner.

    What is doubtful: see ``doubtful_places``. Other classes share what the winner had there.
    background: the class of all background words. presence: in [0, 1].
    """
    best, winner = probabilities.max(0)
    share = best / (best + probabilities[background]).clamp_min(torch.finfo(best.dtype).tiny)
    on_host = torch.stack([winner.to(share.dtype), share]).cpu().numpy()  # one wait for a device
    doubtful = doubtful_places(on_host[0].astype(np.int64), on_host[1], background, presence)
    if not doubtful.any():
        return probabilities
    there = torch.from_numpy(doubtful).to(probabilities.device)
    others = probabilities.scatter(0, winner[None], 0)
    rest = others.sum(0).clamp_min(torch.finfo(best.dtype).tiny)
    return torch.where(there, others / rest, probabilities)


def doubtful_places(
    winner: NDArray[np.int64], share: NDArray[np.float32], background: int, presence: float
) -> NDArray[np.bool_]:
    """Return the 8-connected regions of a winner whose mean share is below ``presence``, (h, w).

    winner: (h, w), the class of each place. share: (h, w), its probability as a part of its and the
    background's: what else is asked does not change it. Regions of the background are never meant.
    """
    import cv2

    out = np.zeros(winner.shape, np.bool_)
    for word in np.unique(winner[share < presence]).tolist():  # a region has such a place, or none
        if word == background:
            continue
        own = np.asarray(winner == word, np.uint8)
        count, parts = cv2.connectedComponents(own, connectivity=8)
        areas = np.bincount(parts.ravel(), minlength=count)
        means = np.bincount(parts.ravel(), share.ravel(), minlength=count) / np.maximum(areas, 1)
        weak = means < presence
        weak[0] = False
        out |= weak[parts]
    return out
