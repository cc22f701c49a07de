"""ProxyCLIP and Trident: another model says which places belong together.

ProxyCLIP (Lan et al. 2024, arXiv 2408.04883): the last attention of CLIP is replaced by the
affinity of a proxy's features, such as DINO's, whose grid may be finer: the values are enlarged to
it. No residual connection, no MLP. Trident (Shi et al. 2024, arXiv 2411.09219, commit a93b346):
windows that are read out so are spliced into one map; then SAM's last attention, which saw the
whole image at once, gathers for each place from where it attends.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.protocols import LastBlock, WholeAttention

__all__ = ["gather", "pad_windows", "proxied", "proxy_attention", "spliced"]


def proxy_attention(cells: Tensor, beta: float, gamma: float, *, joint: bool = False) -> Tensor:
    """Affinities of a proxy's cells (B, H, W, C) as attention, (B, N, N), rows summing to 1.

    S = (F̂ᵀF̂ - beta * mean(S)) * gamma with F̂ of unit length (ProxyCLIP, equation 5); what is
    below 0 gets no weight. joint: the mean is over all pictures of the batch, as Trident's code
    takes it, and not over each.
    """
    unit = F.normalize(cells.flatten(1, 2), dim=-1)
    alike = unit @ unit.mT
    mean = alike.mean() if joint else alike.mean((1, 2), keepdim=True)
    alike = (alike - mean * beta) * gamma
    below = alike < 0
    # Where all places look alike, as on a blank wall, none is above: then all of them count.
    below &= ~below.all(-1, keepdim=True)
    return alike.masked_fill(below, -torch.inf).softmax(-1)


def proxied(
    block: LastBlock, cells: Tensor, beta: float, gamma: float, *, joint: bool = False
) -> Tensor:
    """Tokens of the last block on the proxy's grid, (B, H * W, W): project(attention v).

    cells: the proxy's features of the same pixels, (B, H, W, C).
    """
    size = (cells.shape[1], cells.shape[2])
    weights = proxy_attention(cells, beta, gamma, joint=joint)
    b, heads, _, d = block.v.shape
    values = block.v[:, :, 1:].float()  # without the token that stands for the picture
    plane = values.permute(0, 1, 3, 2).reshape(b, heads * d, *block.grid_hw)
    plane = F.interpolate(plane, size=size, mode="bilinear", align_corners=False)
    values = plane.view(b, heads, d, -1).mT
    return block.project((weights[:, None] @ values).to(block.v.dtype))


def pad_windows(pixels: Tensor, multiple: int, mean: tuple[float, float, float]) -> Tensor:
    """Windows (B, H, W, 3) with the mean colour around them, up to multiples: zeros for CLIP.

    mean: red, green, blue in [0, 1]. Returns float32, values from 0 to 255.
    """
    below, right = (-side % multiple for side in pixels.shape[1:3])
    top, left = below // 2, right // 2
    height, width = pixels.shape[1:3]
    colour = torch.tensor(mean, device=pixels.device) * 255
    out = colour.expand(len(pixels), height + below, width + right, 3).clone()
    out[:, top : top + height, left : left + width] = pixels.float()
    return out


Box = tuple[int, int, int, int]


def spliced(
    block: LastBlock, cells: Tensor, places: Sequence[Box], size_hw: tuple[int, int],
    beta: float, gamma: float,
) -> Tensor:  # fmt: skip
    """Windows' values on one grid, (W, H, W'): ProxyCLIP's, averaged where windows overlap.

    cells: the proxy's features of the windows, (B, h, w, C). places: of each window, in CLIP's
    cells of the whole picture: y0, x0, y1, x1. size_hw: of the whole picture, in CLIP's cells.
    """
    values = proxied(block, cells, beta, gamma, joint=True)
    b, _, width = values.shape
    h, w = cells.shape[1:3]
    plane = values.mT.reshape(b, width, h, w).float()
    rows, columns = block.grid_hw
    if w % columns:
        ratio = round(h / rows)
        plane = F.interpolate(
            plane, size=(rows * ratio, columns * ratio), mode="bilinear", align_corners=False
        )
    else:
        ratio = w // columns
    total = plane.new_zeros(width, size_hw[0] * ratio, size_hw[1] * ratio)
    count = torch.zeros_like(total[:1])
    for part, (y0, x0, y1, x1) in zip(plane, places, strict=True):
        here = (slice(y0 * ratio, y1 * ratio), slice(x0 * ratio, x1 * ratio))
        total[:, *here] += part
        count[:, *here] += 1
    return total / count


def gather(values: Tensor, whole: WholeAttention, factor: float, *, keep_negative: bool) -> Tensor:
    """Each place's mean of where SAM looks from it, (h * w, W): weights @ values.

    values: (W, H, W'), brought to SAM's grid. A head's attention counts where the cosine of its
    values passes t = factor * mean cosine over heads and keys, at most 0.9; rows sum to 1.
    keep_negative: a t below 0 stays as it is, else it is 0.6 (``refine_neg_cos``).
    """
    h, w = whole.grid_hw
    plane = F.interpolate(values[None], size=(h, w), mode="bilinear", align_corners=False)[0]
    units = F.normalize(whole.v, dim=-1)
    mean = torch.stack([unit @ unit.sum(0) for unit in units]).mean(0) / (h * w)
    limit = factor * mean
    if not keep_negative:
        limit = torch.where(limit < 0, 0.6, limit)
    limit = limit.clamp(max=0.9)[:, None]
    total = torch.zeros(h * w, h * w, device=units.device)
    for head, unit in enumerate(units):  # one head at a time: a map has 16 million values
        total += whole.attention(head).masked_fill(unit @ unit.T <= limit, 0.0)
    return total @ plane.flatten(1).mT.to(total) / total.sum(1, keepdim=True)
