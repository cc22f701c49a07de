"""What a CLIPSeg decoder reads off CLIP's image tower, without running what it does not need."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import CheckpointError
from lexiseg.models.clip.config import ResNetConfig, VitConfig
from lexiseg.models.clip.resnet import ResNet
from lexiseg.models.clip.vision import VisionTransformer

__all__ = ["activations", "cell_of", "default_layers", "widths_of"]

_RESNET_GRID = 2  # the layer, counted from 0, whose cells of 16 pixels the others are brought to


def activations(
    tower: VisionTransformer | ResNet, pixels: Tensor, layers: Sequence[int]
) -> tuple[list[Tensor], tuple[int, int], int]:
    """Return what the layers give, each (B, T, W), the grid, and how many tokens precede cells.

    pixels: (B, 3, H, W), normalised, sides in multiples of 32. Blocks after the last of
    ``layers`` are not run. A ResNet has no class token; its layers are brought to cells of 16
    pixels: finer ones by their mean, coarser ones bilinearly.
    """
    if isinstance(tower, VisionTransformer):
        kept, grid_hw = tower.outputs(pixels, layers)
        return kept, grid_hw, 1
    _, by_layer = tower.cells(pixels, [*layers, _RESNET_GRID])
    height, width = by_layer[_RESNET_GRID].shape[2:]
    out = []
    for i in layers:
        cells = by_layer[i].float()
        if i < _RESNET_GRID:
            cells = F.adaptive_avg_pool2d(cells, (height, width))
        elif i > _RESNET_GRID:
            cells = F.interpolate(cells, size=(height, width), mode="bilinear")
        out.append(cells.flatten(2).mT)
    return out, (height, width), 0


def cell_of(config: VitConfig | ResNetConfig) -> int:
    """Pixels a token."""
    return config.patch if isinstance(config, VitConfig) else 16


def default_layers(config: VitConfig | ResNetConfig) -> tuple[int, ...]:
    """The paper's training files name 3, 7 and 9 of twelve blocks; of a ResNet the last three."""
    if isinstance(config, ResNetConfig):
        return (1, 2, 3)
    return tuple(sorted({max(0, round(i * config.layers / 12)) for i in (3, 7, 9)}))


def widths_of(config: VitConfig | ResNetConfig, layers: Sequence[int]) -> tuple[int, ...]:
    """The width of each layer's output; raises CheckpointError for a layer that is not there."""
    count = config.layers if isinstance(config, VitConfig) else 4
    if not all(0 <= i < count for i in layers):
        raise CheckpointError(f"the layers {tuple(layers)} are not among 0 to {count - 1}")
    if isinstance(config, VitConfig):
        return (config.width,) * len(layers)
    return tuple(config.width * 4 * 2**i for i in layers)
