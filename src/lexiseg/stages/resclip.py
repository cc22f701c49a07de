"""ResCLIP (Yang et al. 2024, arXiv 2411.15851): earlier attention and a first answer feed back.

RCS mixes the last attention with the mean of the middle blocks' maps. SFR asks for words once,
and lets cells that got the same word attend to each other. Both add to the attention of NACLIP,
SCLIP or ClearCLIP. Where the published code differs from the paper, this follows the code (commit
0e085f7); such places say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.protocols import LastBlock
from lexiseg.stages.attention import nearness
from lexiseg.stages.pamr import affinities, pamr
from lexiseg.stages.tiled_argmax import sum_tensors

__all__ = ["RCS_BLOCKS", "Feedback", "agreement", "resclip", "unbroken"]

RCS_BLOCKS = (5, 6, 7, 8)  # counted from 0
_STD = 5.0  # cells


@dataclass(frozen=True, eq=False)
class Feedback:
    """What the words say back.

    vectors: (Q, D) of all queries, the background's first. scale: of the softmax. threshold: a
    pixel whose best query has a smaller probability counts as query 0 (temp_thd). rcs, sfr: (τ, λ).
    near: cells of one word count less where another word lies between (delete_same_entity).
    readout: whose attention it is added to, "naclip", "sclip" or "clearclip".
    """

    vectors: Tensor
    scale: float
    threshold: float
    rcs: tuple[float, float]
    sfr: tuple[float, float]
    near: bool = True
    readout: str = "naclip"


def resclip(block: LastBlock, pixels: Tensor, feedback: Feedback, patch: int) -> Tensor:
    """The last block's tokens, (B, T, W), after the projection.

    On NACLIP's attention project(A v), without residual connection and MLP:

    L = τ_s ((1 - λ_s) kkᵀ / √d + λ_s SFR / max(SFR)) + ω;  A = τ_r ((1 - λ_r) softmax(L) + λ_r RCS)

    ClearCLIP's has qqᵀ and no ω; SCLIP's sums the softmaxes of qqᵀ and kkᵀ, without ω, and the
    block goes on as it was trained to: complete(project(A v)).

    pixels: the windows, (B, 3, H, W). The block keeps the attention of ``RCS_BLOCKS``.
    """
    rcs = torch.stack([block.attention[i] for i in RCS_BLOCKS]).mean(0)
    first = _attended(block, rcs, None, feedback)
    cells = block.finish(first)
    logits = torch.einsum("bhwd,qd->bqhw", cells, feedback.vectors.to(cells))
    logits = F.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False)
    agreements = [
        agreement(_labels(maps, window, feedback, patch, block.grid_hw), near=feedback.near)
        for maps, window in zip(logits, pixels, strict=True)
    ]
    return _attended(block, rcs, torch.stack(agreements).to(rcs.device), feedback)


def _attended(block: LastBlock, rcs: Tensor, sfr: Tensor | None, feedback: Feedback) -> Tensor:
    q, k, v = block.q.float(), block.k.float(), block.v.float()
    alike = {"naclip": (k,), "clearclip": (q,), "sclip": (q, k)}[feedback.readout]
    weights = sum_tensors(_softmax(one, sfr, block, feedback) for one in alike)
    tau, part = feedback.rcs
    weights = tau * ((1 - part) * weights + part * rcs)
    out = block.project((weights @ v).to(block.v.dtype))
    return block.complete(out) if feedback.readout == "sclip" else out


def _softmax(one: Tensor, sfr: Tensor | None, block: LastBlock, feedback: Feedback) -> Tensor:
    """How much tokens attend to each other that are alike in ``one``, (B, heads, T, d)."""
    weights = one @ one.mT * one.shape[-1] ** -0.5
    if sfr is not None:
        tau, part = feedback.sfr
        # The code computes this product in half precision, whatever the weights are.
        shared = (part * (sfr / sfr.amax((1, 2), keepdim=True)).half()).float()[:, None]
        weights = tau * ((1 - part) * weights + shared)
    if feedback.readout == "naclip":
        weights = weights + nearness(block.grid_hw, _STD).to(weights)
    out: Tensor = weights.softmax(-1)
    return out


def _labels(
    maps: Tensor, window: Tensor, feedback: Feedback, patch: int, grid_hw: tuple[int, int]
) -> Tensor:
    """The word of each cell, (h, w): the most frequent one of its pixels' winners."""
    flowed = pamr(maps, affinities(window.to(maps.device)), steps=10)
    best, word = (flowed * feedback.scale).softmax(0).max(0)
    word = torch.where(best < feedback.threshold, 0, word)
    h, w = grid_hw
    pixels = word[: h * patch, : w * patch].view(h, patch, w, patch).permute(0, 2, 1, 3)
    return pixels.reshape(h, w, -1).mode(-1).values


def agreement(labels: Tensor, *, near: bool) -> Tensor:
    """Which cells of (h, w) labels share a word, smoothed by rows, (T, T) with T = 1 + h * w.

    The first token agrees with none. near: where ``unbroken`` says that another word lies between
    two cells, they count exp(-distance / largest distance), distances in rows or columns,
    whichever is more. Each row is smoothed by a Gaussian of 5 cells along the row order, as the
    code does, and sums to 1.
    """
    h, w = labels.shape
    flat = labels.reshape(-1)
    same = (flat[:, None] == flat).float()
    if near:
        _, _, steps = _distances(h, w, labels.device)
        fade = torch.exp(-steps / max(1, h - 1, w - 1))
        same = torch.where(unbroken(labels), same, same * fade)
    size = min(h * w, int(6 * _STD + 1))
    size += 1 - size % 2
    offsets = torch.arange(size, device=labels.device) - size // 2
    kernel = torch.exp(-(offsets.float() ** 2) / (2 * _STD**2))
    smooth = F.conv1d(same[:, None], (kernel / kernel.sum())[None, None], padding=size // 2)[:, 0]
    smooth = smooth / (smooth.sum(1, keepdim=True) + 1e-8)
    return F.pad(smooth, (1, 0, 1, 0))


def unbroken(labels: Tensor) -> Tensor:
    """Whether the straight line between two cells of (h, w) labels stays on one word, (N, N).

    As the code looks: lines of all lengths are sampled at as many places as the longest one, and
    of a line of s steps only the first s + 1 places are looked at, that is its beginning.
    """
    h, w = labels.shape
    y, x, steps = _distances(h, w, labels.device)
    flat, out = labels.reshape(-1), torch.ones_like(steps, dtype=torch.bool)
    for i, t in enumerate(torch.linspace(0, 1, max(h, w))):
        yy = (y[:, None] * (1 - t) + y * t).round().long()
        xx = (x[:, None] * (1 - t) + x * t).round().long()
        out &= (flat[yy * w + xx] == flat[:, None]) | (i > steps)
    return out


def _distances(h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of N cells, (N,), and how many steps apart they are, (N, N)."""
    y, x = torch.arange(h, device=device), torch.arange(w, device=device)
    y, x = y.repeat_interleave(w), x.repeat(h)
    return y, x, torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs())
