"""Published CLIPSeg weights, of transformers' and of the authors' format, as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.errors import CheckpointError
from lexiseg.models.clip.weights import from_transformers, read_tensors
from lexiseg.models.clipseg.config import DecoderConfig
from lexiseg.models.clipseg.decoder import Decoder

__all__ = ["fill", "read_decoder", "split_transformers"]

# transformers' name -> the authors'
_NAMES = (
    (r"^layers\.(\d+)\.mlp\.fc([12])\.", r"blocks.\1.linear\2."),
    (r"^layers\.(\d+)\.layer_norm([12])\.", r"blocks.\1.norm\2."),
    (r"^layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.self_attn.out_proj."),
    (r"^transposed_convolution\.", "trans_conv."),
)
# In the authors' files beside what is used: the base class's reduction, CLIP itself.
_UNUSED = re.compile(
    r"(reduce\.|clip_model\.|model\.|upsample_proj\.|reduce_cond\.|shift_vector).*"
)


def split_transformers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return CLIP's tensors with OpenAI's names, and the decoder's with the authors'."""
    clip, decoder = {}, {}
    for name, value in state.items():
        if name.startswith("clip."):
            clip[name[5:]] = value
        elif name.startswith("decoder."):
            decoder[name[8:]] = value
    return from_transformers(clip), _joined(decoder)


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, value in state.items():
        if ".self_attn.k_proj." in name or ".self_attn.v_proj." in name:
            continue
        if ".self_attn.q_proj." in name:
            value = torch.cat([state[name.replace(".q_proj.", f".{c}_proj.")] for c in "qkv"])
            layer, kind = name.split(".")[1], name.rpartition(".")[2]
            name = f"blocks.{layer}.self_attn.in_proj_{kind}"
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        out[name] = value
    return out


def read_decoder(path: Path) -> dict[str, Tensor]:
    """Read a decoder alone: the authors' ``.pth``, tensors only, or our ``.safetensors``."""
    return {n: v for n, v in read_tensors(path).items() if not _UNUSED.fullmatch(n)}


def fill(config: DecoderConfig, state: Mapping[str, Tensor], where: str) -> Decoder:
    """Return a filled decoder; raises CheckpointError where a name or a shape does not fit."""
    decoder = Decoder(config)
    try:
        decoder.load_state_dict({n: v.float() for n, v in state.items()}, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{where} does not fit a CLIPSeg decoder of its own sizes ({reason}); copy or pull it "
            "again"
        ) from error
    return decoder.eval().requires_grad_(False)
