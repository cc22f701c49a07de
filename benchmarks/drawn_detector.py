"""Grounding DINO with drawn weights, in transformers' layout: for tests and for timing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

__all__ = ["WORDS", "bert_tokenizer", "draw", "write_grounding_dino"]

WORDS = ("cat", "dog", "red", "car", "a", "sky", "tree", "road", "lamp", "table")
SMALL: dict[str, Any] = {
    "backbone_config": {
        "model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 16,
        "depths": [1, 1, 2, 1], "num_heads": [2, 2, 4, 4], "window_size": 4,
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "text_config": {
        "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 64,
    },
    "num_queries": 20, "encoder_layers": 2, "encoder_ffn_dim": 48, "encoder_attention_heads": 4,
    "decoder_layers": 2, "decoder_ffn_dim": 48, "decoder_attention_heads": 4, "d_model": 32,
    "max_text_len": 40,
}  # fmt: skip


def draw(model: Any, seed: int, gain: float = 1.6) -> None:
    """Draw every weight anew, zeros too: nothing may stay as the library initialises it."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        drawn = torch.randn(value.shape, generator=generator)
        fan = value[0].numel() if value.ndim > 1 else 1
        if value.ndim > 1:
            value.data = drawn * gain / fan**0.5
        elif "norm" in name and name.endswith("weight"):
            value.data = 1 + 0.2 * drawn
        else:
            value.data = 0.2 * drawn


def bert_tokenizer() -> Tokenizer:
    """Whole words and letters, with BERT's special tokens."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?"]
    pieces = [
        *special,
        *WORDS,
        *(x for x in letters if x not in WORDS),
        *(f"##{x}" for x in letters),
    ]
    numbers = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def write_grounding_dino(
    folder: Path, seed: int = 0, shape: dict[str, Any] = SMALL, gain: float = 1.6
) -> Any:
    """Write a Grounding DINO, SMALL's of a few thousand weights; return the model.

    shape: of transformers' configuration; what it leaves out is as published for Swin-T.
    gain: of drawn matrices, see `draw`.
    """
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    tokenizer = bert_tokenizer()
    text = {"model_type": "bert", **shape.get("text_config", {})}
    text["vocab_size"] = tokenizer.get_vocab_size()
    config = GroundingDinoConfig(**{**shape, "text_config": text})
    model = GroundingDinoForObjectDetection(config).eval()
    draw(model, seed, gain)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model
