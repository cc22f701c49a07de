"""Small DINO and SAM encoders with drawn weights that do not degenerate, by official names."""

from __future__ import annotations

import torch
from torch import Tensor

DINO = {"width": 128, "layers": 3, "hidden": 192, "side": 8}
SAM = {"width": 64, "layers": 2, "hidden": 96, "heads": 2, "side": 64, "window": 14, "out": 16}


def _linear(
    out: dict[str, Tensor], name: str, shape: tuple[int, ...], gain: float, g: object
) -> None:
    fan = torch.Size(shape[1:]).numel()
    out[f"{name}.weight"] = torch.randn(shape, generator=g) * gain / fan**0.5  # type: ignore[call-overload]
    out[f"{name}.bias"] = torch.randn(shape[0], generator=g) * 0.1  # type: ignore[call-overload]


def _norm(out: dict[str, Tensor], name: str, width: int, g: torch.Generator) -> None:
    out[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=g)
    out[f"{name}.bias"] = 0.2 * torch.randn(width, generator=g)


def dino_state(patch: int, seed: int = 5) -> dict[str, Tensor]:
    """DINO's names; two heads of 64 values."""
    g, width, out = torch.Generator().manual_seed(seed), DINO["width"], {}
    out["cls_token"] = torch.randn(1, 1, width, generator=g) * 0.5
    out["pos_embed"] = torch.randn(1, 1 + DINO["side"] ** 2, width, generator=g) * 0.3
    _linear(out, "patch_embed.proj", (width, 3, patch, patch), 2.0, g)
    for i in range(DINO["layers"]):
        _norm(out, f"blocks.{i}.norm1", width, g)
        _linear(out, f"blocks.{i}.attn.qkv", (3 * width, width), 1.6, g)
        _linear(out, f"blocks.{i}.attn.proj", (width, width), 1.0, g)
        _norm(out, f"blocks.{i}.norm2", width, g)
        _linear(out, f"blocks.{i}.mlp.fc1", (DINO["hidden"], width), 1.0, g)
        _linear(out, f"blocks.{i}.mlp.fc2", (width, DINO["hidden"]), 1.0, g)
    _norm(out, "norm", width, g)
    return out


def sam_state(seed: int = 6, side: int = SAM["side"]) -> dict[str, Tensor]:
    """The picture encoder's weights by Meta's names: one block with windows, one global."""
    g, width, out = torch.Generator().manual_seed(seed), SAM["width"], {}
    out["pos_embed"] = torch.randn(1, side, side, width, generator=g) * 0.3
    _linear(out, "patch_embed.proj", (width, 3, 16, 16), 2.0, g)
    for i, reach in enumerate((SAM["window"], side)):
        name = f"blocks.{i}"
        _norm(out, f"{name}.norm1", width, g)
        for axis in "hw":
            table = torch.randn(2 * reach - 1, width // SAM["heads"], generator=g) * 0.3
            out[f"{name}.attn.rel_pos_{axis}"] = table
        _linear(out, f"{name}.attn.qkv", (3 * width, width), 1.8, g)
        _linear(out, f"{name}.attn.proj", (width, width), 1.0, g)
        _norm(out, f"{name}.norm2", width, g)
        _linear(out, f"{name}.mlp.lin1", (SAM["hidden"], width), 1.0, g)
        _linear(out, f"{name}.mlp.lin2", (width, SAM["hidden"]), 1.0, g)
    for i, shape in ((0, (SAM["out"], width, 1, 1)), (2, (SAM["out"], SAM["out"], 3, 3))):
        _linear(out, f"neck.{i}", shape, 1.0, g)
        del out[f"neck.{i}.bias"]
        _norm(out, f"neck.{i + 1}", SAM["out"], g)
    return out
