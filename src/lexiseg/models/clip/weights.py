"""Published CLIP weights of every format, as one state dict with OpenAI's names."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.errors import CheckpointError
from lexiseg.models.clip.torchscript import is_torchscript, read_torchscript

__all__ = ["from_transformers", "read_tensors", "read_weights"]

# What a state dict may hold beside parameters.
_IGNORED = re.compile(
    r"((visual\.)?input_resolution|context_length|vocab_size|(visual\.)?attn_mask|logit_bias"
    r"|.*\.position_ids|.*\.num_batches_tracked)"
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors, an OpenCLIP state dict, or OpenAI's TorchScript archive.

    No pickled code is run: state dicts are loaded as tensors only, archives by
    ``read_torchscript``. Raises CheckpointError for anything else.
    """
    state = read_tensors(path)
    if any(name.startswith("vision_model.") for name in state):
        return from_transformers(state)
    return {name: value for name, value in state.items() if not _IGNORED.fullmatch(name)}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors of any of these formats, with its own names."""
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return read_torchscript(path) if is_torchscript(path) else _state_dict(path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is not safetensors ({error}); copy it again") from error


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{path} is not a file of tensors ({reason}); a pickle of anything else is not "
            f"opened, since that would run its code: convert it to safetensors where you trust it"
        ) from error
    while isinstance(read, Mapping) and isinstance(read.get("state_dict"), Mapping):
        read = read["state_dict"]
    if not isinstance(read, Mapping) or not all(isinstance(v, Tensor) for v in read.values()):
        raise CheckpointError(f"{path} holds no state dict of tensors; give a CLIP's weights")
    return {str(name).removeprefix("module."): value for name, value in read.items()}


# transformers' name -> OpenAI's, in this order; text and vision share the layers' names.
_NAMES = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a transformers CLIPModel, and join its q, k and v."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if _IGNORED.fullmatch(name) or ".self_attn.k_proj." in name or ".self_attn.v_proj." in name:
            continue
        if ".self_attn.q_proj." in name:
            parts = [state[name.replace(".q_proj.", f".{c}_proj.")] for c in "qkv"]
            kind = name.rpartition(".")[2]
            value = torch.cat(parts)
            name = f"{name.partition('.self_attn.')[0]}.attn.in_proj_{kind}"
        # A linear layer there is a matrix from the other side here.
        if name in ("visual_projection.weight", "text_projection.weight"):
            value = value.T.contiguous()
            name = "visual.proj" if name.startswith("visual") else "text_projection"
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        out[name] = value
    return out
