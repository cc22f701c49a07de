"""DINO, DINOv2 and DINOv3 as proxies: features that say which places belong together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.errors import CheckpointError
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.dino.net import DinoNet, from_transformers

__all__ = ["DinoProxy", "from_checkpoint"]

# transformers' model_type -> its class; "vit" is DINO itself, read in plain torch.
_CLASSES = {
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoProxy:
    """Protocol ``Proxy`` over a net that takes normalised pixels (B, 3, H, W)."""

    def __init__(
        self,
        net: Callable[[Tensor], Tensor],
        patch: int,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.patch = name, patch
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self.device_name, self.dtype_name = compute.device_name, compute.dtype_name
        if isinstance(net, torch.nn.Module):
            net.to(compute.device)
        self._net, self._compute = net, compute
        self._mean = torch.tensor(_MEAN, device=compute.device)[:, None, None] * 255
        self._std = torch.tensor(_STD, device=compute.device)[:, None, None] * 255

    @torch.inference_mode()
    def cells(self, rgb: Tensor) -> Tensor:
        """Return the last block's normalised tokens, (B, h, w, C) float32; see ``Proxy.cells``."""
        pixels = rgb.to(self._compute.device).permute(0, 3, 1, 2).float()
        with self._compute.autocast():
            return self._net((pixels - self._mean) / self._std).float()


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> DinoProxy:
    """Build the proxy: the published .pth of DINO, or a folder as transformers saves one."""
    config = {}
    if "config.json" in checkpoint.paths:
        config = json.loads(checkpoint["config.json"].read_text("utf-8"))
    kind = str(config.get("model_type", "vit"))
    if kind == "vit":
        net = DinoNet.of(_state(checkpoint), config.get("num_attention_heads"))
        patch, run = net.patch, net
    elif kind in _CLASSES:
        model = load_pretrained(
            _CLASSES[kind], checkpoint["config.json"].parent, compute, extra="proxies"
        )
        patch, run = int(model.config.patch_size), _patches_of(model)  # type: ignore[assignment]
    else:
        raise CheckpointError(
            f"{checkpoint.record.name!r} is of the kind {kind!r}; read are vit (DINO), "
            f"{', '.join(_CLASSES)}"
        )
    return DinoProxy(run, patch, compute, name=checkpoint.record.name, sha256=checkpoint.sha256)


def _patches_of(model: object) -> Callable[[Tensor], Tensor]:
    """The patches' tokens of a transformers model, without class and register tokens."""
    config = model.config  # type: ignore[attr-defined]
    before, patch = 1 + int(getattr(config, "num_register_tokens", 0)), int(config.patch_size)

    def run(pixels: Tensor) -> Tensor:
        h, w = pixels.shape[2] // patch, pixels.shape[3] // patch
        tokens = model(pixel_values=pixels).last_hidden_state[:, before:]  # type: ignore[operator]
        out: Tensor = tokens.unflatten(1, (h, w))
        return out

    return run


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    paths = [p for n, p in checkpoint.paths.items() if n.endswith((".safetensors", ".pth", ".bin"))]
    if len(paths) != 1:
        raise CheckpointError(
            f"{checkpoint.record.name!r} has {len(paths)} files of weights; its record names one"
        )
    state = _read(paths[0])
    return from_transformers(state) if "embeddings.cls_token" in state else state


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not hold plain weights ({error}); pull it again"
        ) from error
