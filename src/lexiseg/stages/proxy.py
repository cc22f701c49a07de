"""ProxyCLIP (Lan et al. 2024, arXiv 2408.04883): another model says which places belong together.

The last attention of CLIP is replaced by the affinity of a proxy's features, such as DINO's, whose
grid may be finer: the values are enlarged to it. No residual connection, no MLP.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.protocols import LastBlock

__all__ = ["pad_windows", "proxied", "proxy_attention"]


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
