"""The frozen encoder with a fresh decoder on it, and the file that a trained one becomes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from lexiseg.device import pick
from lexiseg.errors import OptionError
from lexiseg.models import load_encoder
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clipseg.config import DecoderConfig
from lexiseg.models.clipseg.decoder import Decoder
from lexiseg.models.clipseg.model import ClipSeg
from lexiseg.models.clipseg.tower import cell_of, default_layers, widths_of
from lexiseg.models.tiny import HEAD, PICTURES
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.film import FilmConfig, FilmHead, FilmPrompted
from lexiseg.protocols import LoadOptions, PromptedModel
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["build_model", "write_decoder"]


def build_model(
    backbone: str, recipe: ClipSegRecipe, *, device: str | None = None, pull: bool = False
) -> PromptedModel:
    """Return a frozen encoder with a decoder that is not trained yet."""
    compute = pick(device, "fp32")
    encoder = load_encoder(backbone, LoadOptions(device=device, dtype="fp32", pull=pull))
    if isinstance(encoder, TinyEncoder):
        net = encoder.net.config
        return FilmPrompted(encoder, FilmHead(FilmConfig(net.fine_dim, net.dim)))
    if not isinstance(encoder, ClipEncoder):
        raise OptionError(f"{backbone!r} is neither a CLIP nor the bundled encoder; give one")
    vision = encoder.net.config.vision
    layers = recipe.layers or default_layers(vision)
    config = DecoderConfig(
        layers=tuple(layers),
        widths=widths_of(vision, layers),
        reduce_dim=recipe.reduce_dim,
        cond_dim=vision.embed_dim,
        cell=cell_of(vision),
        refined=recipe.refined,
        side=recipe.side,
    )
    decoder = Decoder(config, recipe.dropout)
    return ClipSeg(encoder, decoder, compute, name=f"decoder on {backbone}")


def write_decoder(model: Any, backbone: str, out: Path, recipe: ClipSegRecipe) -> Path:
    """Write the decoder as safetensors with its configuration; return its folder."""
    out.mkdir(parents=True, exist_ok=True)
    settings = asdict(recipe)
    if isinstance(model, FilmPrompted):
        state = {k: v.detach().half().contiguous() for k, v in model.head.state_dict().items()}
        metadata = {
            "config": json.dumps(asdict(model.head.config)),
            "recipe": json.dumps(settings),
            "pictures_sha256": model.sha256.get(PICTURES, ""),
        }
        save_file(state, out / HEAD, metadata)
        sizes = {"cond_dim": model.head.config.cond_dim, "cell": 4}
        return _described(out, HEAD, backbone, sizes, settings, activation="gelu")
    state = {k: v.detach().cpu().contiguous() for k, v in model.decoder.state_dict().items()}
    save_file(state, out / "decoder.safetensors")
    decoder = model.decoder.config.to_json()
    return _described(out, "decoder.safetensors", backbone, decoder, settings)


def _described(
    out: Path, name: str, backbone: str, decoder: dict[str, Any], settings: dict[str, Any],
    **more: str,
) -> Path:  # fmt: skip
    """Write what the decoder in the file ``name`` is put on beside it."""
    described = {
        "model_type": "lexiseg-clipseg", "backbone": backbone, **more, "decoder": decoder,
        "recipe": settings,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    for written in (name, "config.json"):
        (out / written).chmod(0o644)  # safetensors writes for the owner alone
    return out
