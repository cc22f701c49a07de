"""Prompts as planes through the space of features: a word's, and one fitted to example pictures.

A plane (D + 1) gives a place with the unit-length feature f the logit ``f @ plane[:D] + plane[D]``.
An example says what it means by its inside and what it does not mean by its outside, so its plane
is a ridge regression of the one against the other; words that mean something else stand for what no
example shows. All numbers were chosen on training photos of VOC and MSRC.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["of_examples", "of_words"]

# The odds that places of a cosine with a word show it: even at the second number.
_SLOPE, _EVEN = 14.0, 0.63
# Regression towards 1 inside and -1 outside: even odds at the margin, which keeps what is neither
# out; the slope makes likely logits of it.
_RIDGE, _MARGIN, _GAIN = 0.05, 0.1, 6.5
_WORDS = 0.25  # the words' part of what is not meant; the examples' outsides have the rest
_OTHER = 0.6  # words whose cosine with the examples is below it mean something else
_AGAIN = 0.7  # places beside a box whose cosine with it is above it may be the same thing


def of_words(vectors: Tensor) -> Tensor:
    """Vectors of words (K, D), unit length -> planes (K, D + 1)."""
    shift = vectors.new_full((len(vectors), 1), -_EVEN)
    return _SLOPE * torch.cat([vectors, shift], 1)


def of_examples(
    features: Sequence[Tensor],
    inside: Sequence[Tensor],
    words: Tensor,
    boxes: Sequence[bool] | None = None,
) -> Tensor:
    """Return the plane of one thing that examples show, (D + 1,).

    features: of each example, (h, w, D), unit length. inside: the part of each place that is
    meant, (h, w) in [0, 1]. words: (K, D), unit length, what there is besides. boxes: which
    examples' insides are boxes, with other things in them: a first plane says which half of a box
    is the least like what is not meant, and that half counts; what is like it outside the box may
    be the same thing again, and does not count. Examples count by their places: a
    larger one says more. Where examples have no outside, words alone say what is not meant; without
    any the plane is that of a word at the examples' mean feature.
    """
    places = torch.cat([f.flatten(0, 1) for f in features])
    shares = [part.flatten() for part in inside]
    # A thing smaller than a cell is where it covers most.
    cores = [(part >= part.amax().clamp(max=0.5)) & (part > 0) for part in shares]
    share, core = torch.cat(shares), torch.cat(cores)
    wanted, rest = share * core, (1 - share) * ~core
    plane = _fitted(places, wanted, rest, words)
    if boxes is None or not any(boxes) or not rest.any():
        return plane
    start = 0
    for part, box in zip(cores, boxes, strict=True):
        own = slice(start, start + len(part))
        if box:
            logits = places[own] @ plane[:-1]
            wanted[own] *= logits >= logits[part].median()
            alike = places[own] @ F.normalize(wanted[own] @ places[own], dim=0)
            rest[own] *= alike < _AGAIN
        start += len(part)
    return _fitted(places, wanted, rest, words)


def _fitted(places: Tensor, wanted: Tensor, rest: Tensor, words: Tensor) -> Tensor:
    """Places (N, D), and how much each is meant and is not, (N,) -> the plane."""
    middle = F.normalize(wanted @ places, dim=0)
    others = words[words @ middle < _OTHER]
    if not len(others) and not rest.any():
        return of_words(middle[None])[0]
    part = _WORDS if rest.any() else 1.0
    within = wanted / wanted.sum()
    beside = (1 - part) * rest / rest.sum().clamp_min(1e-6)
    counts = others.new_full((len(others),), part / max(len(others), 1))
    samples = F.pad(torch.cat([places, others]), (0, 1), value=1.0)
    gram = (samples * torch.cat([within + beside, counts])[:, None]).T @ samples
    gram.diagonal().add_(_RIDGE)
    plane: Tensor = torch.linalg.solve(gram, samples.T @ torch.cat([within - beside, -counts]))
    plane[-1] -= _MARGIN
    return _GAIN * plane
