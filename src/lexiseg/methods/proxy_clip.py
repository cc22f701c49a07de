"""ProxyCLIP (Lan et al. 2024, arXiv 2408.04883): DINO says which places belong together.

The last attention of CLIP is replaced by the affinities of another model's features, on that
model's finer grid. Follows the code at commit e7b767f; its mean over the affinities of one window
is taken window by window here, however many go through at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._config import ProxyConfig
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.protocols import AttentionEncoder, Encoder, LoadOptions, Proxy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.stages.clip_windows import Windows

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "CLIP read out along DINO's affinities (ProxyCLIP)"

_ALIGNED = 56  # pixels: whole cells of 8 and of 14


@dataclass(frozen=True)
class Config(ProxyConfig):
    """Settings of the method; windows are padded to whole cells of both models."""


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"proxy": "dino-vit-b16", "stride": 224},
    "balanced": {},
    "quality": {"scales": (1.0, 1.5)},
    "paper": {"refine": "none"},
}

# The paper's settings by data set: `preset="paper@voc21"`.
DATA_SETS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "paper": {
        "voc21": {"threshold": 0.2},
        "voc20": {},
        "context60": {"threshold": 0.15},
        "context59": {},
        "coco-object": {"threshold": 0.25},
        "coco-stuff164k": {},
        "cityscapes": {"short_side": 448, "window": 224, "stride": 112},
        "ade20k": {"short_side": 448},
    },
}


class Segmenter(DenseSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``."""

    name = "proxy-clip"

    def __init__(self, encoder: Encoder, proxy: Proxy, config: Config) -> None:
        if not isinstance(encoder, AttentionEncoder):
            raise OptionError(f"proxy-clip needs a CLIP, and {encoder.name!r} is none; give one")
        super().__init__(encoder, config, others=(proxy,))
        self.proxy = proxy
        self._clip = encoder

    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Windows:
        """Encode an image (H, W, 3): CLIP's values, gathered along the proxy's affinities."""
        from lexiseg.stages.clip_windows import encode_windows

        settings = self.window_settings(scale, ragged="pad")
        return encode_windows(
            self._clip, rgb, settings, encode=self._cells, batch=4, multiple=_ALIGNED
        )

    def _cells(self, windows: Tensor) -> Tensor:
        """Windows (B, H, W, 3) -> their cells in the words' space, (B, h, w, D)."""
        from lexiseg.stages.proxy_attention import pad_windows, proxied

        padded = pad_windows(windows, _ALIGNED, self._clip.mean_colour)
        block = self._clip.trunk(padded, positions=self.config.positions)
        cells = self.proxy.cells(padded).to(block.v.device)
        tokens = proxied(block, cells, self.config.beta, self.config.gamma)
        return block.finish(tokens, (cells.shape[1], cells.shape[2]))


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the CLIP and the proxy that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder, load_proxy

    return Segmenter(
        load_encoder(config.encoder, options),
        load_proxy(config.proxy, options),
        config,
    )
