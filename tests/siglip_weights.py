"""A small SigLIP 2 with drawn weights that do not degenerate; seeded, never downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["CONFIG", "CONTEXT", "HEADS", "LAYERS", "PATCH", "WIDTH", "state", "write"]

WIDTH, HEADS, LAYERS, PATCH, IMAGE, CONTEXT = 48, 3, 3, 16, 64, 20
_TOWER = {"hidden_size": WIDTH, "intermediate_size": 96, "num_attention_heads": HEADS,
          "num_hidden_layers": LAYERS}  # fmt: skip
PIECES = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz.,'-!"]
MERGES = [("a", "▁"), ("o", "f"), ("p", "h"), ("ph", "o"), ("c", "a"), ("ca", "t")]
CONFIG: dict[str, Any] = {
    "model_type": "siglip",
    "text_config": {
        **_TOWER,
        "vocab_size": len(PIECES) + len(MERGES) + 256,
        "max_position_embeddings": CONTEXT,
    },
    "vision_config": {**_TOWER, "patch_size": PATCH, "image_size": IMAGE},
}


def state(seed: int = 0) -> dict[str, Tensor]:
    """Every tensor drawn, queries and keys so large that attention is not even."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = CONFIG["text_config"]["vocab_size"]

    def draw(*shape: int, scale: float) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    out: dict[str, Tensor] = {}

    def linear(name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        out[f"{name}.weight"] = draw(rows, columns, scale=gain * columns**-0.5)
        out[f"{name}.bias"] = draw(rows, scale=0.1)

    def norm(name: str) -> None:
        out[f"{name}.weight"] = 1 + draw(WIDTH, scale=0.2)
        out[f"{name}.bias"] = draw(WIDTH, scale=0.2)

    for tower in ("text_model", "vision_model"):
        for i in range(LAYERS):
            layer = f"{tower}.encoder.layers.{i}"
            for name, gain in (
                ("q_proj", 2.0),
                ("k_proj", 2.0),
                ("v_proj", 1.0),
                ("out_proj", 1.0),
            ):
                linear(f"{layer}.self_attn.{name}", WIDTH, WIDTH, gain)
            linear(f"{layer}.mlp.fc1", 96, WIDTH)
            linear(f"{layer}.mlp.fc2", WIDTH, 96)
            norm(f"{layer}.layer_norm1")
            norm(f"{layer}.layer_norm2")
    text, vision = "text_model.embeddings", "vision_model.embeddings"
    out[f"{text}.token_embedding.weight"] = draw(vocabulary, WIDTH, scale=1.0)
    out[f"{text}.position_embedding.weight"] = draw(CONTEXT, WIDTH, scale=0.5)
    norm("text_model.final_layer_norm")
    linear("text_model.head", WIDTH, WIDTH)
    out[f"{vision}.patch_embedding.weight"] = draw(WIDTH, 3, PATCH, PATCH, scale=0.06)
    out[f"{vision}.patch_embedding.bias"] = draw(WIDTH, scale=0.1)
    out[f"{vision}.position_embedding.weight"] = draw((IMAGE // PATCH) ** 2, WIDTH, scale=0.5)
    norm("vision_model.post_layernorm")
    head = "vision_model.head"
    out[f"{head}.probe"] = draw(1, 1, WIDTH, scale=1.0)
    out[f"{head}.attention.in_proj_weight"] = draw(3 * WIDTH, WIDTH, scale=1.5 * WIDTH**-0.5)
    out[f"{head}.attention.in_proj_bias"] = draw(3 * WIDTH, scale=0.1)
    linear(f"{head}.attention.out_proj", WIDTH, WIDTH)
    norm(f"{head}.layernorm")
    linear(f"{head}.mlp.fc1", 96, WIDTH)
    linear(f"{head}.mlp.fc2", WIDTH, 96)
    out["logit_scale"], out["logit_bias"] = torch.tensor([4.7]), torch.tensor([-16.0])
    return out


def write(folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint as Google publishes one, with a Gemma-like tokenizer, small."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    save_file(state(seed), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    pieces = [*PIECES, *("".join(pair) for pair in MERGES), *(f"<0x{i:02X}>" for i in range(256))]
    made = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)}, merges=MERGES, unk_token="<unk>",
            fuse_unk=True, byte_fallback=True,
        )
    )  # fmt: skip
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.post_processor = processors.TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)]
    )
    made.add_special_tokens(PIECES[:5])
    made.save(str(folder / "tokenizer.json"))
    return folder
