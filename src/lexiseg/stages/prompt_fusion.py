"""Maps of several prompts made into one of each word, and words into probabilities that compete."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import UnknownName

__all__ = ["FUSIONS", "compete", "fuse"]

FUSIONS = ("max", "mean", "attention")


def fuse(logits: Tensor, vectors: Tensor, how: str) -> Tensor:
    """Maps of prompts that stand for one thing, (N, h, w) logits -> one map, (h, w).

    vectors: (N, C), the prompts'. how: "max", the best at each place; "mean" of the logits;
    "attention", a mean whose weights at each place are a softmax over the prompts' logits there
    plus ten times the prompt's mean cosine to the others, so that of several phrases those count
    that see something, and one that means something else counts little.
    """
    if how not in FUSIONS:
        raise UnknownName.among("way to fuse prompts", how, FUSIONS)
    count = len(logits)
    if count == 1:
        return logits[0]
    if how == "max":
        return logits.amax(0)
    if how == "mean":
        return logits.mean(0)
    unit = F.normalize(vectors.float(), dim=-1)
    alike = ((unit @ unit.T).sum(1) - 1) / (count - 1)
    weight = (logits + 10 * alike[:, None, None].to(logits.device)).softmax(0)
    return (weight * logits).sum(0)


def compete(
    logits: Tensor, background: int | None, cutoff: float, rest: Tensor | None = None
) -> Tensor:
    """Independent maps, (O, h, w) logits -> probabilities, (O, h, w), that share with nothing.

    Odds are kept: without rivals a word's probability is the sigmoid of its map, where ``cutoff``
    is 0.5. background: the class_id of nothing, whose odds are those of ``cutoff`` and of ``rest``,
    (M, h, w), the maps of background words; None for a closed vocabulary, in which words share all.
    A word wins where its map is the highest and passes ``cutoff``: CLIPSeg's arg-max.
    """
    if background is not None:
        nothing = torch.full_like(logits[:1], math.log(cutoff / (1 - cutoff)))
        if rest is not None and len(rest):
            nothing = torch.cat([nothing, rest]).logsumexp(0, keepdim=True)
        logits = torch.cat([logits[:background], nothing, logits[background + 1 :]])
    return logits.softmax(0)
