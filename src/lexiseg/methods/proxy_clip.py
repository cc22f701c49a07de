"""ProxyCLIP (Lan et al. 2024, arXiv 2408.04883): DINO says which places belong together.

The last attention of CLIP is replaced by the affinities of another model's features, on that
model's finer grid. Follows the code at commit e7b767f; its mean over the affinities of one window
is taken window by window here, however many go through at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.methods._proxy_config import ALIGNED, ProxySettings, padded
from lexiseg.protocols import AttentionEncoder, Encoder, Proxy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.stages.clip_windows import Windows, WindowSettings

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "ProxyLook", "Segmenter", "load"]

SUMMARY = "CLIP read out along DINO's affinities (ProxyCLIP)"


@dataclass(frozen=True)
class Config(ProxySettings):
    __doc__ = ProxySettings.__doc__


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


@dataclass(frozen=True)
class ProxyLook:
    """How a picture is looked at: CLIP's values, gathered along the proxy's affinities."""

    encoder: AttentionEncoder
    proxy: Proxy
    beta: float
    gamma: float

    def __call__(self, rgb: NDArray[np.uint8], how: WindowSettings, *, batch: int = 4) -> Windows:
        """Encode a picture (H, W, 3) through windows, padded to whole cells of both models."""
        from lexiseg.stages.clip_windows import encode_windows

        padding = replace(how, ragged="pad")
        return encode_windows(
            self.encoder, rgb, padding, see=self._cells(how), batch=batch, multiple=ALIGNED
        )

    def _cells(self, how: WindowSettings) -> Any:
        from lexiseg.stages.proxy import proxied

        def see(pixels: Tensor) -> Tensor:
            whole = padded(pixels, ALIGNED, self.encoder.mean_colour)
            block = self.encoder.trunk(whole, positions=how.positions)
            cells = self.proxy.cells(whole).to(block.v.device)
            tokens = proxied(block, cells, self.beta, self.gamma)
            return block.finish(tokens, (cells.shape[1], cells.shape[2]))

        return see


class Segmenter(DenseSegmenter):
    """Call it with a picture and words; see `DenseSegmenter.__call__`."""

    name = "proxy-clip"

    def __init__(self, encoder: Encoder, proxy: Proxy, config: Config) -> None:
        if not isinstance(encoder, AttentionEncoder):
            raise OptionError(f"proxy-clip needs a CLIP, and {encoder.name!r} is none; give one")
        super().__init__(encoder, config)
        self.proxy = proxy
        self._look = ProxyLook(encoder, proxy, config.beta, config.gamma)

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of all weights in use."""
        return {**self.encoder.sha256, **self.proxy.sha256}

    def see(self, rgb: NDArray[np.uint8], scale: float) -> Windows:
        """Encode a picture (H, W, 3) whose short side is scaled to ``scale`` times the usual."""
        from lexiseg.stages.clip_windows import WindowSettings

        c = self.config
        return self._look(
            rgb,
            WindowSettings(
                max(32, round(c.short_side * scale)), c.window, c.stride, c.positions, flip=c.flip
            ),
        )


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the CLIP and the proxy that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder, load_proxy

    given: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    return Segmenter(
        load_encoder(config.encoder, **given), load_proxy(config.proxy, **given), config
    )
