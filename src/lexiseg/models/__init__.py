"""Models: a file or small folder a family, found by the family that a checkpoint's record names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, OptionError
from lexiseg.protocols import (
    AttentionSource,
    Detector,
    Encoder,
    Inpainter,
    Masker,
    PromptedModel,
    Proxy,
)

__all__ = [
    "families", "load_attention_source", "load_detector", "load_encoder", "load_inpainter",
    "load_masker", "load_prompted", "load_proxy",
]  # fmt: skip

_REFUSALS = {
    "encoder": "is not an encoder",
    "inpainter": "is not an inpainter",
    "prompted": "draws no maps for prompts",
    "attention_source": "gives no attention over a whole image",
}


def families() -> frozenset[str]:
    """Return the families of checkpoints that this version reads."""
    found = (module.name for module in iter_modules(__path__))
    return frozenset(name for name in found if not name.startswith("_"))


def load_encoder(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Encoder:
    """Return the encoder of a checkpoint's name, folder or file.

    Raises UnknownName, WeightsMissing, CheckpointError, and OptionError for a checkpoint that is
    not an encoder.
    """
    return cast(Encoder, _load("encoder", name, device, dtype, pull, offline))


def load_masker(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
    compile: bool = False,
) -> Masker:
    """Return the masker of a checkpoint's name, folder or file; raises as ``load_encoder`` does.

    compile: it goes through torch.compile, which takes minutes at first use. Raises OptionError
    where that does not work.
    """
    made = _load("masker", name, device, dtype, pull, offline, compile=compile)
    return cast(Masker, made)


def load_prompted(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> PromptedModel:
    """Return the model that draws maps for prompts; raises as ``load_encoder`` does.

    The CLIP under a decoder that comes without one is loaded by the name in its configuration.
    """

    def backbone(encoder: str) -> object:
        return load_encoder(encoder, device=device, dtype=dtype, pull=pull, offline=offline)

    made = _load("prompted", name, device, dtype, pull, offline, backbone)
    return cast(PromptedModel, made)


def load_detector(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Detector:
    """Return the detector of a checkpoint's name or folder; raises as ``load_encoder`` does."""
    return cast(Detector, _load("detector", name, device, dtype, pull, offline))


def load_proxy(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Proxy:
    """Return the proxy of a checkpoint's name, folder or file; raises as ``load_encoder`` does."""
    return cast(Proxy, _load("proxy", name, device, dtype, pull, offline))


def load_attention_source(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> AttentionSource:
    """Return the attention source of a checkpoint's name; raises as ``load_encoder`` does."""
    return cast(AttentionSource, _load("attention_source", name, device, dtype, pull, offline))


def load_inpainter(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Inpainter:
    """Return the inpainter of a checkpoint's name or folder; raises as ``load_encoder`` does."""
    return cast(Inpainter, _load("inpainter", name, device, dtype, pull, offline))


def _load(
    kind: str,
    name: str | Path,
    device: str | None,
    dtype: str | None,
    pull: bool,
    offline: bool | None,
    *more: Any,
    compile: bool = False,
) -> object:
    checkpoint = resolve(name, pull=pull, offline=offline)
    family = checkpoint.record.family
    if family not in families():
        raise CheckpointError(
            f"the checkpoint {checkpoint.record.name!r} is of the family {family!r}, which this "
            "version does not read; update lexiseg, or choose another checkpoint"
        )
    module = import_module(f"{__name__}.{family}")
    build = getattr(module, f"build_{kind}", None)
    if build is None:
        reason = _REFUSALS.get(kind, f"is not a {kind}")
        raise OptionError(f"{checkpoint.record.name!r} {reason}; choose another checkpoint")
    return build(checkpoint, pick(device, dtype, compile=compile), *more)
