"""LaMa (Suvorov et al. 2021): removes things by one pass of a network, without words."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.checkpoints import Checkpoint, records
from lexiseg.device import Compute
from lexiseg.errors import CheckpointError

__all__ = ["Lama", "build_inpainter"]


def build_inpainter(checkpoint: Checkpoint, compute: Compute) -> Lama:
    """Load the TorchScript archive; raises CheckpointError where it is none.

    Such an archive is a program: only one that the table of checkpoints knows by its digest is run.
    """
    (path,) = checkpoint.paths.values()
    data = path.read_bytes()  # once, so that what is run is what was compared
    known = {
        file.sha256 for record in records() if record.family == "lama" for file in record.files
    }
    if hashlib.sha256(data).hexdigest() not in known:
        raise CheckpointError(
            f"{path} is a program (TorchScript), and not the one that lexiseg knows, so it is not "
            "run; use the file of: lexiseg models pull big-lama"
        )
    try:
        with warnings.catch_warnings():
            # The archive is what its authors share; torch would rather have another kind.
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(io.BytesIO(data), map_location=compute.device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a TorchScript archive ({str(error).splitlines()[0]}); pull the "
            "checkpoint again"
        ) from error
    return Lama(network.eval(), checkpoint, compute)


class Lama:
    """The network; see `protocols.Inpainter`. Words, steps and seeds mean nothing to it."""

    generative = False
    side: int | None = None  # any size
    multiple = 8

    def __init__(
        self, network: torch.nn.Module, checkpoint: Checkpoint, compute: Compute
    ) -> None:  # fmt: skip
        self.network = network
        self.name = checkpoint.record.name
        self.device_name, self.dtype_name = compute.device_name, "fp32"
        self.sha256 = checkpoint.sha256
        self._device = compute.device

    @torch.inference_mode()
    def fill(
        self,
        rgb: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        words: str = "",
        *,
        strength: float = 1.0,
        steps: int = 1,
        guidance: float = 0.0,
        negative: str = "",
        seeds: Sequence[int] = (0,),
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint8]:
        """Return the picture, (B, H, W, 3) uint8, filled; all B are the same.

        Sides are padded by reflection to multiples of 8.
        """
        height, width = mask.shape
        down, right = -height % self.multiple, -width % self.multiple
        image = np.pad(rgb, ((0, down), (0, right), (0, 0)), mode="symmetric")
        hole = np.pad(mask, ((0, down), (0, right)), mode="symmetric")
        pixels = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 255
        where = torch.from_numpy(hole).to(self._device)[None, None].float()
        filled = self.network(pixels, where)[0, :, :height, :width].permute(1, 2, 0)
        out = (filled.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        if progress is not None:
            progress(1, 1)
        return np.repeat(out[None], len(seeds), axis=0)
