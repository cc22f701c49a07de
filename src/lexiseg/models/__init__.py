"""Models: a file or small folder a family, found by the family that a checkpoint's record names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError, OptionError
from lexiseg.protocols import Encoder

__all__ = ["load_encoder"]


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
    checkpoint = resolve(name, pull=pull, offline=offline)
    family = checkpoint.record.family
    if family not in {module.name for module in iter_modules(__path__)}:
        raise CheckpointError(
            f"the checkpoint {checkpoint.record.name!r} is of the family {family!r}, which this "
            "version does not read; update lexiseg, or choose another checkpoint"
        )
    module = import_module(f"{__name__}.{family}")
    build = getattr(module, "build_encoder", None)
    if build is None:
        raise OptionError(
            f"{checkpoint.record.name!r} is not an encoder; choose another checkpoint"
        )
    return cast(Encoder, build(checkpoint, pick(device, dtype)))
