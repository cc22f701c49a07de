"""Self-supervised vision transformers as proxies: DINO in plain torch, others by transformers."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Proxy

__all__ = ["build_proxy"]


def build_proxy(checkpoint: Checkpoint, compute: Compute) -> Proxy:
    """Build the proxy from verified files."""
    from lexiseg.models.dino.proxy import from_checkpoint

    return from_checkpoint(checkpoint, compute)
