"""Both towers of a CLIP, filled with published weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lexiseg.device import skip_init
from lexiseg.errors import CheckpointError
from lexiseg.models.clip.blocks import Attention
from lexiseg.models.clip.config import ClipConfig, VitConfig
from lexiseg.models.clip.resnet import ResNet
from lexiseg.models.clip.text import TextTower
from lexiseg.models.clip.vision import VisionTransformer

__all__ = ["Clip"]


class Clip(nn.Module):
    """``visual``: pictures; ``words``: texts; ``scale``: what cosines are multiplied with."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.visual: VisionTransformer | ResNet = (
            VisionTransformer(config.vision, config.activation)
            if isinstance(config.vision, VitConfig)
            else ResNet(config.vision)
        )
        self.words = TextTower(config.text, config.activation)
        self.logit_scale = nn.Parameter(torch.empty(()))

    @property
    def scale(self) -> float:
        return float(self.logit_scale.exp())

    @property
    def patch(self) -> int:
        """Pixels a cell of the grid."""
        vision = self.config.vision
        return vision.patch if isinstance(vision, VitConfig) else 32

    @classmethod
    def of(
        cls, config: ClipConfig, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> Clip:
        """Build the towers and fill them; raises CheckpointError where names or shapes differ.

        dtype: of the weights that products are computed with; norms, position embeddings and the
        stream of tokens stay float32.
        """
        with skip_init():
            net = cls(config)
        # The text tower's weights have no prefix in OpenAI's names.
        placed = {
            name if name.startswith("visual.") or name == "logit_scale" else f"words.{name}": value
            for name, value in state.items()
        }
        wanted = {name for name, _ in net.named_parameters()}
        fast = _products(net)
        for name, value in placed.items():
            if value.is_floating_point():
                placed[name] = value.to(dtype if name in fast else torch.float32)
        try:
            net.load_state_dict(
                {
                    # A counter that no checkpoint needs, but the module has.
                    **{n: torch.zeros(()) for n in net.state_dict() if n.endswith("_tracked")},
                    **placed,
                },
                strict=True,
                assign=True,
            )
        except RuntimeError as error:
            lacking = sorted(wanted - set(placed))
            reason = f"they lack {', '.join(lacking[:3])}" if lacking else str(error)
            raise CheckpointError(
                f"the weights do not fit a CLIP of their own sizes: {reason}; copy or pull them "
                f"again"
            ) from error
        return net.eval().requires_grad_(False)


def _products(net: nn.Module) -> set[str]:
    """Names of the parameters that products are computed with."""
    names = {"visual.proj", "words.text_projection"}
    for prefix, module in net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | Attention):
            names |= {f"{prefix}.{name}" for name, _ in module.named_parameters()}
    return names
