"""A run's numbers for TensorBoard, which is an extra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lexiseg.errors import ExtraMissing

__all__ = ["board"]


def board(folder: Path) -> Callable[[Mapping[str, float]], None]:
    """Return what writes a step's numbers; raises ExtraMissing where tensorboard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ExtraMissing(
            "the TensorBoard log needs tensorboard; pip install 'lexiseg[tensorboard]'"
        ) from error
    writer = SummaryWriter(folder)

    def write(line: Mapping[str, float]) -> None:
        for name, value in line.items():
            if name != "step":
                writer.add_scalar(name, value, int(line["step"]))
        writer.flush()

    return write
