"""Which published weights this run has (``--weights DIR``): contracts hold for these too."""

from __future__ import annotations

from lexiseg import checkpoints, errors

__all__ = ["encoders"]


def encoders() -> list[str]:
    """Return the names of the encoders that are bundled or in the folder of ``--weights``."""
    out = []
    for name in checkpoints.names():
        try:
            record = checkpoints.get(name)
        except errors.WeightsMissing:
            out.append(name)  # its tests say that it is missing
            continue
        if record.kind == "encoder" and checkpoints.is_here(record):
            out.append(name)
    return out
