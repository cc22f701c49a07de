"""Tiny detectors in transformers' layout, with drawn weights; seeded, never downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ("cat", "dog", "red", "car", "a", "sky", "tree", "road", "lamp", "table")


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


def write_grounding_dino(folder: Path, seed: int = 0) -> Any:
    """Write a Grounding DINO of a few thousand weights; return the model."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    tokenizer = bert_tokenizer()
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 16,
            "depths": [1, 1, 2, 1], "num_heads": [2, 2, 4, 4], "window_size": 4,
            "out_features": ["stage2", "stage3", "stage4"],
        },
        text_config={
            "model_type": "bert", "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
            "max_position_embeddings": 64,
        },
        num_queries=20, encoder_layers=2, encoder_ffn_dim=48, encoder_attention_heads=4,
        decoder_layers=2, decoder_ffn_dim=48, decoder_attention_heads=4, d_model=32,
        max_text_len=40,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config).eval()
    draw(model, seed)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def write_owl(folder: Path, seed: int = 0) -> Any:
    """Write an OWLv2 of three layers; return the model."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    from lexiseg.models.clip.tokenizer import tokenizer

    config = Owlv2Config(
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 49408, "max_position_embeddings": 16,
        },
        vision_config={
            "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 4, "image_size": 64, "patch_size": 8,
        },
        projection_dim=32,
    )  # fmt: skip
    model = Owlv2ForObjectDetection(config).eval()
    draw(model, seed)
    model.save_pretrained(folder)
    tokenizer(None).save(str(folder / "tokenizer.json"))
    return model
