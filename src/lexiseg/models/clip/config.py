"""Sizes of a CLIP, read off its weights' shapes: any published checkpoint loads as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lexiseg.errors import CheckpointError

__all__ = ["ClipConfig", "ResNetConfig", "TextConfig", "VitConfig"]

# Width -> width of a head, where it is not 64: ViT-H/14 and the g and G models of OpenCLIP.
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}


@dataclass(frozen=True)
class VitConfig:
    """A vision transformer. image, patch: pixels a side at which it was trained."""

    image: int
    patch: int
    width: int
    layers: int
    heads: int
    mlp: int
    embed_dim: int


@dataclass(frozen=True)
class ResNetConfig:
    """A ResNet with attention pooling. image: pixels a side; width: channels of the stem;
    blocks: bottlenecks of the four layers; heads: of the pooling."""

    image: int
    width: int
    blocks: tuple[int, int, int, int]
    heads: int
    embed_dim: int


@dataclass(frozen=True)
class TextConfig:
    """The text tower. context: tokens at most, start and end included."""

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    mlp: int
    embed_dim: int


@dataclass(frozen=True)
class ClipConfig:
    """Both towers. activation: "quick-gelu" or "gelu"; shapes do not tell, so it is given."""

    vision: VitConfig | ResNetConfig
    text: TextConfig
    activation: str

    @classmethod
    def of(
        cls,
        state: Mapping[str, Tensor],
        activation: str,
        *,
        vision_heads: int | None = None,
        text_heads: int | None = None,
    ) -> ClipConfig:
        """Read the sizes off a state dict with OpenAI's names.

        vision_heads, text_heads: numbers of heads, which shapes do not tell either; None takes
        those of the published models: 64 values a head, but 80 in ViT-H, 88 in g, 104 in G.
        Raises CheckpointError where tensors of a CLIP are missing.
        """
        try:
            vision: VitConfig | ResNetConfig = (
                _vit(state, vision_heads)
                if "visual.class_embedding" in state
                else _resnet(state, vision_heads)
            )
            return cls(vision, _text(state, text_heads), activation)
        except KeyError as error:
            raise CheckpointError(
                f"the weights are not those of a CLIP: they lack {error}; give a checkpoint of "
                f"OpenAI's CLIP, OpenCLIP or transformers' CLIPModel"
            ) from error


def _heads(width: int) -> int:
    return max(1, width // _HEAD_WIDTHS.get(width, 64))


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts the names that start with ``prefix`` have."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _side(positions: Tensor) -> int:
    return math.isqrt(positions.shape[0] - 1)


def _vit(state: Mapping[str, Tensor], heads: int | None) -> VitConfig:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    return VitConfig(
        image=patch * _side(state["visual.positional_embedding"]),
        patch=patch,
        width=width,
        layers=_count(state, "visual.transformer.resblocks."),
        heads=heads or _heads(width),
        mlp=state["visual.transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        embed_dim=state["visual.proj"].shape[1],
    )


def _resnet(state: Mapping[str, Tensor], heads: int | None) -> ResNetConfig:
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    one, two, three, four = (_count(state, f"visual.layer{i}.") for i in range(1, 5))
    return ResNetConfig(
        image=32 * _side(state["visual.attnpool.positional_embedding"]),
        width=width,
        blocks=(one, two, three, four),
        heads=heads or max(1, width // 2),  # 32 * width channels, 64 a head
        embed_dim=state["visual.attnpool.c_proj.weight"].shape[0],
    )


def _text(state: Mapping[str, Tensor], heads: int | None) -> TextConfig:
    vocabulary, width = state["token_embedding.weight"].shape
    return TextConfig(
        vocabulary=vocabulary,
        context=state["positional_embedding"].shape[0],
        width=width,
        layers=_count(state, "transformer.resblocks."),
        heads=heads or max(1, width // 64),
        mlp=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        embed_dim=state["text_projection"].shape[1],
    )
