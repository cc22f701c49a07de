"""Sizes of a CLIPSeg decoder, and what a checkpoint's own configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lexiseg.errors import CheckpointError

__all__ = ["DecoderConfig"]


@dataclass(frozen=True)
class DecoderConfig:
    """The decoder of CLIPSeg (Lüddecke and Ecker, CVPR 2022), section 3.

    layers: the image tower's blocks, counted from 0, whose outputs are read, shallowest first.
    widths: of what each gives, and cond_dim of a prompt. reduce_dim: D of the decoder. cell:
    pixels a token. film_at: the step, counted from the deepest layer, that is conditioned.
    refined: two transposed convolutions with a 3x3 one before, in place of a single one. side: the
    pixels a side that a picture is scaled to.
    """

    layers: tuple[int, ...] = (3, 6, 9)
    widths: tuple[int, ...] = (768, 768, 768)
    reduce_dim: int = 64
    cond_dim: int = 512
    cell: int = 16
    heads: int = 4
    mlp: int = 2048
    film_at: int = 0
    refined: bool = False
    side: int = 352

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)):
            raise CheckpointError(f"layers are {self.layers}; give different ones, ascending")
        if len(self.widths) != len(self.layers):
            raise CheckpointError(f"{len(self.widths)} widths for the layers {self.layers}")
        if self.reduce_dim % self.heads or not 0 <= self.film_at < len(self.layers):
            raise CheckpointError(
                f"a decoder of {self.reduce_dim} values in {self.heads} heads, conditioned at step "
                f"{self.film_at} of {len(self.layers)}, cannot be"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"layers": list(self.layers), "widths": list(self.widths)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DecoderConfig:
        """Read what ``to_json`` wrote."""
        pairs = {"layers": tuple(values["layers"]), "widths": tuple(values["widths"])}
        return cls(**{**values, **pairs})

    @classmethod
    def of_transformers(cls, config: Mapping[str, Any], side: int = 352) -> DecoderConfig:
        """Read transformers' ``config.json``; values that it leaves out are its defaults."""
        vision = config.get("vision_config", {})
        layers = tuple(int(i) for i in config.get("extract_layers", (3, 6, 9)))
        return cls(
            # Its decoder reads them from the last named to the first.
            layers=layers,
            widths=(int(vision.get("hidden_size", 768)),) * len(layers),
            reduce_dim=int(config.get("reduce_dim", 64)),
            cond_dim=int(config.get("projection_dim", 512)),
            cell=int(vision.get("patch_size", 32)),
            heads=int(config.get("decoder_num_attention_heads", 4)),
            mlp=int(config.get("decoder_intermediate_size", 2048)),
            film_at=int(config.get("conditional_layer", 0)),
            refined=bool(config.get("use_complex_transposed_convolution", False)),
            side=side,
        )

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], layers: tuple[int, ...]) -> DecoderConfig:
        """Read sizes off a published decoder's tensors (``.pth``), which do not tell the layers.

        Heads are 4 in all of them. Raises CheckpointError where it is no such decoder.
        """
        try:
            reduce_dim, cond_dim = state["film_mul.weight"].shape
            refined = "trans_conv.0.weight" in state
            if refined:
                cell = state["trans_conv.2.weight"].shape[2] * state["trans_conv.4.weight"].shape[2]
            else:
                cell = state["trans_conv.weight"].shape[2]
            widths = tuple(state[f"reduces.{i}.weight"].shape[1] for i in range(len(layers)))
            mlp = state["blocks.0.linear1.weight"].shape[0]
        except KeyError as error:
            raise CheckpointError(
                f"the file is not a CLIPSeg decoder: it lacks {error}; give one of the published "
                ".pth files, or a folder as transformers saves one"
            ) from error
        return cls(
            layers, tuple(reversed(widths)), reduce_dim, cond_dim, cell, mlp=mlp, refined=refined
        )
