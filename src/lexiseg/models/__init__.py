"""Models: a file or small folder a family, found by the family that a checkpoint's record names."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

from lexiseg.checkpoints import get, resolve
from lexiseg.checkpoints.recognise import is_path
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, ExtraMissing, OptionError
from lexiseg.protocols import (
    AttentionSource,
    Detector,
    Encoder,
    Inpainter,
    LoadOptions,
    Masker,
    PromptedModel,
    Proxy,
    Tracker,
)

__all__ = [
    "families", "load_attention_source", "load_detector", "load_encoder", "load_inception",
    "load_inpainter", "load_masker", "load_own_masker", "load_prompted", "load_proxy",
    "load_tracker",
]  # fmt: skip

# Family -> the library that it wants, and the extra of lexiseg that brings it.
_EXTRAS = {
    "inpaint": ("diffusers", "edit"),
    "grounding": ("transformers", "grounding"),
    "siglip": ("transformers", "siglip"),
    "sam3": ("transformers", "sam3"),
    "edgetam": ("timm", "edgetam"),
}
_REFUSALS = {
    "encoder": "is not an encoder",
    "inpainter": "is not an inpainter",
    "prompted": "draws no maps for prompts",
    "tracker": "follows no objects",
    "attention_source": "gives no attention over a whole image",
}


def families() -> frozenset[str]:
    """Return the families of checkpoints that this version reads."""
    found = (module.name for module in iter_modules(__path__))
    return frozenset(name for name in found if not name.startswith("_"))


def load_encoder(name: str | Path, options: LoadOptions | None = None) -> Encoder:
    """Return the encoder of a checkpoint's name, folder or file.

    options: where it computes, and whether weights may be downloaded.
    Raises UnknownName, WeightsMissing, CheckpointError, and OptionError for a checkpoint that is
    not an encoder.
    """
    return cast(Encoder, _load("encoder", name, options))


def load_inception(path: str | Path) -> Any:
    """Return Inception v3, whose features published distances of sets are of, from its file.

    Raises WeightsMissing, CheckpointError.
    """
    from lexiseg.models._inception import load_inception

    return load_inception(path)


def load_masker(
    name: str | Path,
    options: LoadOptions | None = None,
    *,
    compile: bool = False,
) -> Masker:
    """Return the masker of a checkpoint's name, folder or file; arguments as of ``load_encoder``.

    compile: it goes through torch.compile, which takes minutes at first use. Raises OptionError
    where that does not work.
    """
    return cast(Masker, _load("masker", name, options, compile=compile))


def load_tracker(name: str | Path, options: LoadOptions | None = None) -> Tracker:
    """Return the tracker of a checkpoint's name, folder or file; arguments as of ``load_encoder``.

    Raises OptionError for a checkpoint that follows no objects.
    """
    return cast(Tracker, _load("tracker", name, options))


def load_own_masker(name: str | Path, options: LoadOptions | None = None) -> Masker | None:
    """Return the masker that stands on an encoder's own backbone; None where there is none.

    name, options: as of ``load_encoder``. Raises WeightsMissing, CheckpointError.
    """
    where = options or LoadOptions()
    checkpoint = resolve(name, pull=where.pull, offline=where.offline)
    family = checkpoint.record.family
    if family not in families():
        return None
    module = import_module(f"{__name__}.{family}")
    if getattr(module, "MASKER", None) not in checkpoint.paths:
        return None
    return load_masker(name, options)


def load_prompted(name: str | Path, options: LoadOptions | None = None) -> PromptedModel:
    """Return the model that draws maps for prompts; arguments as of ``load_encoder``.

    The CLIP under a decoder that comes without one is loaded by the name in its configuration.
    """

    def backbone(encoder: str) -> object:
        return load_encoder(encoder, options)

    return cast(PromptedModel, _load("prompted", name, options, backbone))


def load_detector(name: str | Path, options: LoadOptions | None = None) -> Detector:
    """Return the detector of a checkpoint's name or folder; arguments as of ``load_encoder``."""
    return cast(Detector, _load("detector", name, options))


def load_proxy(name: str | Path, options: LoadOptions | None = None) -> Proxy:
    """Return the proxy of a checkpoint's name, folder or file; arguments as of ``load_encoder``."""
    return cast(Proxy, _load("proxy", name, options))


def load_attention_source(name: str | Path, options: LoadOptions | None = None) -> AttentionSource:
    """Return the attention source of a checkpoint's name or file; arguments as of
    ``load_encoder``."""
    return cast(AttentionSource, _load("attention_source", name, options))


def load_inpainter(name: str | Path, options: LoadOptions | None = None) -> Inpainter:
    """Return the inpainter of a checkpoint's name or folder; arguments as of ``load_encoder``."""
    return cast(Inpainter, _load("inpainter", name, options))


def _load(
    kind: str,
    name: str | Path,
    options: LoadOptions | None,
    *arguments: Any,
    compile: bool = False,
) -> object:
    where = options or LoadOptions()
    _check_extra(name)
    checkpoint = resolve(name, pull=where.pull, offline=where.offline)
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
    return build(checkpoint, pick(where.device, where.dtype, compile=compile), *arguments)


def _check_extra(name: str | Path) -> None:
    """Raise ExtraMissing where a library is, before gigabytes of weights are asked for."""
    if isinstance(name, Path) or is_path(name):
        return
    family = get(name).family
    library, extra = _EXTRAS.get(family, ("", ""))
    if library and find_spec(library) is None:
        raise ExtraMissing(
            f"{name!r} needs {library}, which is not installed; pip install 'lexiseg[{extra}]'"
        )
