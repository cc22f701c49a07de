"""Trident (Shi et al. 2024, arXiv 2411.09219): splice the windows, then let SAM share over them.

Follows the code at commit a93b346. Its refinement by SAM's masks is a method of its own here: any
method's map goes through ``clip-then-sam``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._config import ProxyConfig
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.protocols import AttentionEncoder, AttentionSource, Encoder, LoadOptions, Proxy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.protocols import LastBlock
    from lexiseg.stages.clip_windows import Windows, WindowSettings

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "CLIP's windows spliced along DINO's affinities, shared along SAM's attention (Trident)"


_CELL = 16  # pixels of CLIP's and DINO's cells
_WINDOW = 112  # whole cells of those, and of ``_ALIGNED``
_ALIGNED = 56  # pixels: whole cells of 8 and of 14


@dataclass(frozen=True)
class Config(ProxyConfig):
    """sam: whose last attention shares over the whole image.
    cos_factor: a place gathers where SAM's values are more alike than this times their mean.
    keep_negative: leave such a limit below 0 as it is, else it is 0.6.
    halves: SAM encodes the left and the right half by themselves, for wide images.
    """

    proxy: str = "dino-vit-b16"
    stride: int | None = 224
    sam: str = "sam-vit-b"
    cos_factor: float = 1.2
    keep_negative: bool = True
    halves: bool = False

    def check(self) -> None:
        """Raise OptionError where windows are not whole cells."""
        if (self.window or 0) % _WINDOW or (self.stride or 0) % _CELL:
            raise OptionError(
                f"window {self.window} and stride {self.stride}: splicing needs whole cells; give "
                f"a window in multiples of {_WINDOW} pixels, and a stride in multiples of {_CELL}"
            )
        if self.flip:
            raise OptionError("trident encodes no mirrored image; leave flip out")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "balanced": {"short_side": 448},
    "quality": {"short_side": 576},
    "paper": {"refine": "none"},
}

# The paper's settings by data set: `preset="paper@voc21"`.
DATA_SETS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "paper": {
        "voc21": {"short_side": 448, "threshold": 0.2},
        "voc20": {"stride": 112, "cos_factor": 0.0},
        "context60": {"short_side": 576, "threshold": 0.15},
        "context59": {"short_side": 576},
        "coco-object": {"short_side": 448, "threshold": 0.25},
        "coco-stuff164k": {"short_side": 448},
        "cityscapes": {
            "short_side": 688, "cos_factor": 3.0, "keep_negative": False, "halves": True,
        },
        "ade20k": {"short_side": 576, "keep_negative": False},
    },
}  # fmt: skip


class Segmenter(DenseSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``."""

    name = "trident"

    def __init__(
        self, encoder: Encoder, proxy: Proxy, attention_source: AttentionSource, config: Config
    ) -> None:
        if not isinstance(encoder, AttentionEncoder):
            raise OptionError(f"trident needs a CLIP, and {encoder.name!r} is none; give one")
        super().__init__(encoder, config, others=(proxy, attention_source))
        self.proxy, self.attention_source = proxy, attention_source
        self._clip = encoder

    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Windows:
        """Encode an image (H, W, 3): spliced windows, shared along SAM's last attention.

        The result has one window, on SAM's grid.
        """
        import torch

        from lexiseg.stages.clip_windows import Windows
        from lexiseg.stages.proxy_attention import gather

        config = self.config
        values, block = self._spliced(rgb, self.window_settings(scale))
        whole_cells = _enlarged(rgb, self._clip.size.multiple)
        middle = whole_cells.shape[1] // 2
        sides = [whole_cells]
        if config.halves:
            sides = [whole_cells[:, :middle], whole_cells[:, middle:]]
        planes = []
        for side, part in zip(sides, values.tensor_split(len(sides), dim=2), strict=True):
            attention = self.attention_source.whole_attention(side)
            gathered = gather(
                part, attention, config.cos_factor, keep_negative=config.keep_negative
            )
            planes.append(gathered.view(*attention.grid_hw, -1))
        joined = torch.cat(planes, 1)
        h, w = joined.shape[:2]
        cells = block.finish(joined.flatten(0, 1)[None].to(block.v.dtype), (h, w))
        size_hw = (rgb.shape[0], rgb.shape[1])
        return Windows(cells[None], ((0, h),), ((0, w),), (h, w), size_hw, (0, 0), (h, w))

    def _spliced(
        self, rgb: NDArray[np.uint8], settings: WindowSettings
    ) -> tuple[Tensor, LastBlock]:
        """The windows' values on one grid, (W, H, W'), and the block that they come from."""
        import cv2
        import numpy as np
        import torch
        import torch.nn.functional as F

        from lexiseg.stages.clip_windows import paper_size, spans
        from lexiseg.stages.proxy_attention import pad_windows, spliced

        size = paper_size((rgb.shape[0], rgb.shape[1]), settings.short_side)
        scaled = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(np.asarray(scaled, np.float32)).permute(2, 0, 1)[None]
        patch = self._clip.size.multiple
        aligned = _aligned(size, patch, settings.crop)
        if aligned != size:
            pixels = F.interpolate(pixels, aligned, mode="bilinear", align_corners=False)
        rows, columns = (spans(side, settings.crop, settings.stride) for side in aligned)
        boxes = [(y0, x0, y1, x1) for y0, y1 in rows for x0, x1 in columns]
        views = torch.cat([pixels[:, :, y0:y1, x0:x1] for y0, x0, y1, x1 in boxes])
        windows = pad_windows(views.permute(0, 2, 3, 1), _ALIGNED, self._clip.mean_colour)
        block = self._clip.trunk(windows, positions=settings.positions)
        cells = self.proxy.cells(windows).to(block.v.device)
        places = [(y0 // patch, x0 // patch, y1 // patch, x1 // patch) for y0, x0, y1, x1 in boxes]
        whole = (aligned[0] // patch, aligned[1] // patch)
        config = self.config
        return spliced(block, cells, places, whole, config.beta, config.gamma), block


def _enlarged(rgb: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """The picture with its sides rounded up to whole cells, as SAM is shown it."""
    import cv2
    import numpy as np

    height, width = (-(-side // patch) * patch for side in rgb.shape[:2])
    return np.asarray(cv2.resize(rgb, (width, height)), np.uint8)


def _aligned(size_hw: tuple[int, int], patch: int, window: int) -> tuple[int, int]:
    """Sides in whole cells: the long one rounded up, the other scaled with it and rounded up.

    Not under a window's size: the code leaves a picture alone whose sides are whole cells, and
    then fails on windows that are smaller. A larger picture of whole cells stays as it is.
    """
    if all(side % patch == 0 and side >= window for side in size_hw):
        return size_hw
    longest = max(size_hw)
    target = -(-longest // patch) * patch
    height, width = (
        max(window, -(-int(side * target / longest) // patch) * patch) for side in size_hw
    )
    return height, width


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the CLIP, the proxy and the SAM that the Config names, and return the segmenter."""
    from lexiseg.models import load_attention_source, load_encoder, load_proxy

    return Segmenter(
        load_encoder(config.encoder, options),
        load_proxy(config.proxy, options),
        load_attention_source(config.sam, options),
        config,
    )
