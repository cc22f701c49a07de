"""Tiny detectors in transformers' layout, with drawn weights; seeded, never downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.drawn_detector import WORDS, bert_tokenizer, draw, write_grounding_dino

__all__ = ["WORDS", "bert_tokenizer", "draw", "write_grounding_dino", "write_owl"]


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
