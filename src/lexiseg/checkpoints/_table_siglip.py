"""SigLIP 2 (Tschannen et al. 2025, arXiv 2502.14786), of the sizes with square patches."""

from __future__ import annotations

from lexiseg.checkpoints.records import Preprocessing, Record, WeightFile

__all__ = ["SIGLIP"]

# name, the repository's end, D, pixels a cell, trained size
_MODELS = (
    ("vit-b16", "base-patch16-224", 768, 16, 224),
    ("vit-b16-256", "base-patch16-256", 768, 16, 256),
    ("vit-b16-384", "base-patch16-384", 768, 16, 384),
    ("vit-b16-512", "base-patch16-512", 768, 16, 512),
    ("vit-l16-256", "large-patch16-256", 1024, 16, 256),
    ("vit-l16-384", "large-patch16-384", 1024, 16, 384),
    ("vit-l16-512", "large-patch16-512", 1024, 16, 512),
    ("vit-so400m14-384", "so400m-patch14-384", 1152, 14, 384),
    ("vit-so400m16-384", "so400m-patch16-384", 1152, 16, 384),
    ("vit-so400m16-512", "so400m-patch16-512", 1152, 16, 512),
)

SIGLIP = [
    Record(
        name=f"siglip2-{name}.webli",
        family="siglip",
        files=tuple(
            WeightFile.unseen(file)
            for file in ("model.safetensors", "config.json", "tokenizer.json")
        ),
        licence="Apache-2.0",
        licence_url=f"https://huggingface.co/google/siglip2-{repo}",
        preprocessing=Preprocessing(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"),
        activation="gelu-tanh",
        embed_dim=dim,
        stride=stride,
        repo=f"google/siglip2-{repo}",
    )
    for name, repo, dim, stride, size in _MODELS
]
