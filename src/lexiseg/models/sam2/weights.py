"""SAM 2's published weights of either format, as one state dict with Meta's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["meta_state"]

# transformers' names -> Meta's, in this order.
_RULES = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"patch_embed\.projection\.", "patch_embed.proj."),
        (r"(trunk\.blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
        (r"^no_memory_embedding$", "no_mem_embed"),
        (
            r"^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$",
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"mask_embed\.conv1\.", "mask_downscaling.0."),
        (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
        (r"mask_embed\.conv2\.", "mask_downscaling.3."),
        (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
        (r"mask_embed\.conv3\.", "mask_downscaling.6."),
        (r"(transformer\.layers\.\d+)\.layer_norm([1234])\.", r"\1.norm\2."),
        (r"(transformer\..*)\.o_proj\.", r"\1.out_proj."),
        (r"layer_norm_final_attn\.", "norm_final_attn."),
        (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
        (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
        (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
        (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    )
)
# An MLP's first layer, those between, and the last, which has the number behind them.
_MLP = re.compile(r"^(.*\.)(?:(proj_in)|layers\.(\d+)|(proj_out))\.(weight|bias)$")
_POINTS = "prompt_encoder.point_embed.weight"


def meta_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights, by Meta's names."""
    if not any(name.startswith("vision_encoder.") for name in state):
        return dict(state)
    between: dict[str, int] = {}
    deep = {match[1] for name in state if (match := _MLP.match(name)) and match[2]}
    for name in state:
        match = _MLP.match(name)
        if match and match[3] is not None and match[1] in deep:
            between[match[1]] = max(between.get(match[1], 0), int(match[3]) + 1)
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == _POINTS:  # one table there, four here
            for i in range(len(value)):
                out[f"sam_prompt_encoder.point_embeddings.{i}.weight"] = value[i : i + 1]
            continue
        match = _MLP.match(name)
        if match and match[1] in deep:
            middle = between.get(match[1], 0)
            number = 0 if match[2] else middle + 1 if match[4] else int(match[3]) + 1
            name = f"{match[1]}layers.{number}.{match[5]}"
        for pattern, meta in _RULES:
            name = pattern.sub(meta, name)
        out[name] = value
    return out
