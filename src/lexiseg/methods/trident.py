"""Trident (Shi et al. 2024, arXiv 2411.09219): splice the windows, then let SAM share over them.

Follows the code at commit a93b346. Its refinement by SAM's masks is a method of its own here: any
method's map goes through ``clip-then-sam``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.methods._proxy_config import ALIGNED, ProxySettings, padded
from lexiseg.protocols import AttentionEncoder, AttentionSource, Encoder, Proxy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.stages.clip_windows import Windows, WindowSettings

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "TridentLook", "load"]

SUMMARY = "CLIP's windows spliced along DINO's affinities, shared along SAM's attention (Trident)"


_CELL = 16  # pixels of CLIP's and DINO's cells
_WINDOW = 112  # whole cells of those, and of ``ALIGNED``


@dataclass(frozen=True)
class Config(ProxySettings):
    __doc__ = f"""{ProxySettings.__doc__}
    sam: whose last attention shares over the whole picture.
    cos_factor: a place gathers where SAM's values are more alike than this times their mean.
    keep_negative: leave such a limit below 0 as it is, else it is 0.6.
    halves: SAM looks at the left and the right half by themselves, for wide pictures.
    """

    proxy: str = "dino-vit-b16"
    stride: int = 224
    sam: str = "sam-vit-b"
    cos_factor: float = 1.2
    keep_negative: bool = True
    halves: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window % _WINDOW or self.stride % _CELL:
            raise OptionError(
                f"window {self.window} and stride {self.stride}: splicing needs whole cells; give "
                f"a window in multiples of {_WINDOW} pixels, and a stride in multiples of {_CELL}"
            )


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


@dataclass(frozen=True)
class TridentLook:
    """How a picture is looked at: spliced windows, shared along SAM's last attention."""

    encoder: AttentionEncoder
    proxy: Proxy
    correlator: AttentionSource
    beta: float
    gamma: float
    factor: float
    keep_negative: bool = True
    halves: bool = False

    def __call__(self, rgb: NDArray[np.uint8], how: WindowSettings) -> Windows:
        """Encode a picture (H, W, 3); the result has one window, on SAM's grid."""
        import torch

        from lexiseg.stages.clip_windows import Windows
        from lexiseg.stages.trident import gather

        values, block = self._spliced(rgb, how)
        patch = self.encoder.size.multiple
        upright = _enlarged(rgb, patch)
        middle = upright.shape[1] // 2
        sides = [upright[:, :middle], upright[:, middle:]] if self.halves else [upright]
        parts = values.tensor_split(len(sides), dim=2)
        planes = []
        for side, part in zip(sides, parts, strict=True):
            whole = self.correlator.whole_attention(side)
            gathered = gather(part, whole, self.factor, keep_negative=self.keep_negative)
            planes.append(gathered.view(*whole.grid_hw, -1))
        joined = torch.cat(planes, 1)
        h, w = joined.shape[:2]
        cells = block.finish(joined.flatten(0, 1)[None].to(block.v.dtype), (h, w))
        size_hw = (rgb.shape[0], rgb.shape[1])
        return Windows(cells[None], ((0, h),), ((0, w),), (h, w), size_hw, (0, 0), (h, w))

    def _spliced(self, rgb: NDArray[np.uint8], how: WindowSettings) -> Any:
        import cv2
        import numpy as np
        import torch
        import torch.nn.functional as F

        from lexiseg.stages.clip_windows import paper_size, spans
        from lexiseg.stages.trident import spliced

        size = paper_size((rgb.shape[0], rgb.shape[1]), how.short_side)
        scaled = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(np.asarray(scaled, np.float32)).permute(2, 0, 1)[None]
        patch = self.encoder.size.multiple
        aligned = _aligned(size, patch, how.crop)
        if aligned != size:
            pixels = F.interpolate(pixels, aligned, mode="bilinear", align_corners=False)
        rows, columns = (spans(side, how.crop, how.stride) for side in aligned)
        views = torch.cat([
            pixels[:, :, y0:y1, x0:x1] for y0, y1 in rows for x0, x1 in columns
        ])  # fmt: skip
        windows = padded(views.permute(0, 2, 3, 1), ALIGNED, self.encoder.mean_colour)
        block = self.encoder.trunk(windows, positions=how.positions)
        cells = self.proxy.cells(windows).to(block.v.device)
        places = [
            (y0 // patch, x0 // patch, y1 // patch, x1 // patch)
            for y0, y1 in rows
            for x0, x1 in columns
        ]
        whole = (aligned[0] // patch, aligned[1] // patch)
        return spliced(block, cells, places, whole, self.beta, self.gamma), block


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


class Segmenter(DenseSegmenter):
    """Call it with a picture and words; see `DenseSegmenter.__call__`."""

    name = "trident"

    def __init__(
        self, encoder: Encoder, proxy: Proxy, correlator: AttentionSource, config: Config
    ) -> None:
        if not isinstance(encoder, AttentionEncoder):
            raise OptionError(f"trident needs a CLIP, and {encoder.name!r} is none; give one")
        super().__init__(encoder, config)
        self.proxy, self.correlator = proxy, correlator
        self._look = TridentLook(
            encoder, proxy, correlator, config.beta, config.gamma, config.cos_factor,
            config.keep_negative, config.halves,
        )  # fmt: skip

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of all weights in use."""
        return {**self.encoder.sha256, **self.proxy.sha256, **self.correlator.sha256}

    def see(self, rgb: NDArray[np.uint8], scale: float) -> Windows:
        """Encode a picture (H, W, 3) whose short side is scaled to ``scale`` times the usual."""
        from lexiseg.stages.clip_windows import WindowSettings

        c = self.config
        return self._look(
            rgb,
            WindowSettings(max(32, round(c.short_side * scale)), c.window, c.stride, c.positions),
        )


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the CLIP, the proxy and the SAM that the Config names, and return the segmenter."""
    from lexiseg.models import load_attention_source, load_encoder, load_proxy

    given: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    return Segmenter(
        load_encoder(config.encoder, **given),
        load_proxy(config.proxy, **given),
        load_attention_source(config.sam, **given),
        config,
    )
