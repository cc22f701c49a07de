"""Weights of the bundled model: read from verified files, the picture side once a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, skip_init
from lexiseg.errors import CheckpointError
from lexiseg.models.tiny import PICTURES
from lexiseg.models.tiny.vision import HEADS, VisionConfig, VisionNet

__all__ = ["fill", "load_vision"]

# Digest, device and format -> the net, for as long as a model uses it.
_loaded: WeakValueDictionary[tuple[str, str, str], VisionNet] = WeakValueDictionary()
_lock = Lock()


def load_vision(checkpoint: Checkpoint, config: Mapping[str, Any], compute: Compute) -> VisionNet:
    """Return the picture side on the device; encoder and masker of one checkpoint share it.

    It is not to be trained: train a copy. All but its heads works inside ``compute.autocast``
    alone. config: as stored beside the weights. Raises CheckpointError where they do not fit.
    """
    key = checkpoint.sha256.get(PICTURES, ""), compute.device_name, compute.dtype_name
    with _lock:
        net = _loaded.get(key)
        if net is None:
            with skip_init():  # nothing is drawn that the file replaces
                net = VisionNet(VisionConfig(**config))
            fill(net, checkpoint[PICTURES])
            net.eval().requires_grad_(False).to(compute.device)
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            parts = [part for name, part in net.named_children() if name not in HEADS]
            compute.cast_weights(*parts)
            if key[0]:
                _loaded[key] = net
    return net


def _float(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.float() for k, v in stored.items()}


def fill(
    module: nn.Module,
    path: Path,
    read: Callable[[dict[str, Tensor]], dict[str, Tensor]] = _float,
) -> None:
    """Load stored weights into a float32 module: every name and shape must fit."""
    from safetensors.torch import load_file

    try:
        module.load_state_dict(read(load_file(path)), strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the model: {error}") from error
