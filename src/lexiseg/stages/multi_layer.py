"""Several layers of an encoder as one set of features (seed: layers 6, 12, 18, 24 of ViT-L/14@336).

Early layers know edges and textures, late ones what things are. Each layer's cells go through the
last norm and projection into the words' space, as the last layer's do (which that was trained for;
of earlier ones it is an approximation), and become unit vectors; their weighted mean, made a unit
vector again, is the feature of the cell. A word's cosine with it is so, up to a factor of the cell,
the weighted mean of its cosines with the layers.

    block = encoder.trunk(rgb, keep=kept_for((6, 12, 18, 24)))
    features = combined(layered(block, naclip, (6, 12, 18, 24)))       # (B, h, w, D)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import OptionError

if TYPE_CHECKING:
    from lexiseg.protocols import LastBlock

__all__ = ["combined", "kept_for", "layered"]


def kept_for(layers: Sequence[int]) -> tuple[int, ...]:
    """Return what ``AttentionEncoder.trunk`` must keep (blocks from 0) of layers counted from 1.

    Raises OptionError for layers below 1 and for one that is named twice.
    """
    if any(layer < 1 for layer in layers) or len(set(layers)) != len(layers):
        raise OptionError(f"the layers are {tuple(layers)}; count from 1, and name each once")
    return tuple(layer - 1 for layer in layers)


def layered(block: LastBlock, read: Callable[[LastBlock], Tensor], layers: Sequence[int]) -> Tensor:
    """Return the features of each layer, (B, L, h, w, D), unit length, in the order of ``layers``.

    block: of a trunk that kept ``kept_for(layers)``. read: how the last layer is read out
    (``stages.attention``), if it is among them. layers: from 1; the last is block.index + 1.
    Raises OptionError for a layer that the encoder does not have.
    """
    out = []
    for layer, index in zip(layers, kept_for(layers), strict=True):
        if index > block.index:
            raise OptionError(f"there is no layer {layer}: the encoder has 1 to {block.index + 1}")
        out.append(block.finish(read(block) if index == block.index else block.kept[index]))
    if not out:
        raise OptionError("no layers are given; give numbers from 1")
    return torch.stack(out, dim=1)


def combined(features: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Return the weighted mean over layers, (B, L, h, w, D) -> (B, h, w, D), unit length.

    weights: L numbers of 0 or more, relative to each other; None: all alike.
    Raises OptionError for other ones.
    """
    count = features.shape[1]
    if weights is None:
        return F.normalize(features.mean(1), dim=-1)
    if len(weights) != count or min(weights) < 0 or sum(weights) <= 0:
        raise OptionError(
            f"the weights of {count} layers are {tuple(weights)}; give as many numbers of 0 or more"
        )
    parts = torch.tensor(weights, dtype=features.dtype, device=features.device)
    return F.normalize(torch.einsum("blhwd,l->bhwd", features, parts / parts.sum()), dim=-1)
