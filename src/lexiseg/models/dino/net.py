"""DINO's vision transformer (Caron et al. 2021), with the names of its published weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.device import skip_init
from lexiseg.errors import CheckpointError

__all__ = ["DinoNet", "from_transformers"]

_HEAD = 64  # values of a head, in every published size
_EPSILON = 1e-6


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(b, t, w))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = _Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class DinoNet(nn.Module):
    """Normalised pixels (B, 3, H, W), sides in multiples of the patch -> cells (B, h, w, C)."""

    def __init__(
        self, width: int, layers: int, patch: int, side: int, hidden: int, heads: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + side * side, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.blocks = nn.ModuleList(_Block(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    @classmethod
    def of(cls, state: Mapping[str, Tensor], heads: int | None = None) -> DinoNet:
        """Build the net that a state dict with DINO's names describes, and fill it.

        heads: of 64 values each where nothing says otherwise. Raises CheckpointError where names
        or shapes do not fit.
        """
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
        try:
            width, _, patch, _ = state["patch_embed.proj.weight"].shape
            layers = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("blocks."))
            with skip_init():
                net = cls(
                    width, layers, patch, math.isqrt(state["pos_embed"].shape[1] - 1),
                    state["blocks.0.mlp.fc1.weight"].shape[0], heads or max(1, width // _HEAD),
                )  # fmt: skip
            filled = {name: value.float() for name, value in state.items()}
            net.load_state_dict(filled, strict=True, assign=True)
        except (KeyError, ValueError, RuntimeError) as error:
            first = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"the weights are not those of a DINO vision transformer ({first}); "
                "copy or pull them again"
            ) from error
        return net.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed.proj(pixels)  # type: ignore[operator]
        h, w = patches.shape[2:]
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches.flatten(2).mT], 1)
        x = x + self._positions(h, w)
        for block in self.blocks:
            x = block(x)
        cells: Tensor = self.norm(x)[:, 1:]
        return cells.unflatten(1, (h, w))  # type: ignore[no-untyped-call,no-any-return]

    def _positions(self, h: int, w: int) -> Tensor:
        """Resized by scale, with the published code's 0.1 against rounding; bicubic."""
        side = math.isqrt(self.pos_embed.shape[1] - 1)
        if (h, w) == (side, side):
            return self.pos_embed
        plane = self.pos_embed[:, 1:].mT.reshape(1, -1, side, side)
        ratio = ((h + 0.1) / side, (w + 0.1) / side)
        plane = F.interpolate(plane, scale_factor=ratio, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], plane.flatten(2).mT], 1)


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ``ViTModel`` as transformers saves it -> DINO's own names."""
    out: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        name = name.removeprefix("vit.")
        if name.startswith("pooler."):
            continue
        found = re.fullmatch(r"(?:encoder\.)?layers?\.(\d+)\.(.+)\.(weight|bias)", name)
        if found is None:
            out[_OUTSIDE.get(name, name)] = value
            continue
        layer, part, kind = found.groups()
        if part in _QKV:
            joined.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[_QKV[part]] = value
        else:
            out[f"blocks.{layer}.{_INSIDE.get(part, part)}.{kind}"] = value
    for name, parts in joined.items():
        if set(parts) == set("qkv"):  # what is incomplete is missed by name
            out[name] = torch.cat([parts[letter] for letter in "qkv"])
    return out


_QKV = {
    "attention.attention.query": "q",
    "attention.attention.key": "k",
    "attention.attention.value": "v",
    "attention.q_proj": "q",
    "attention.k_proj": "k",
    "attention.v_proj": "v",
}
_INSIDE = {
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
