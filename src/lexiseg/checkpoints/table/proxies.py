"""Encoders of pictures alone, whose places tell which belong together: DINO to C-RADIO.

DINO: Caron et al. 2021, arXiv 2104.14294. DINOv2: Oquab et al. 2023, arXiv 2304.07193, with
registers Darcet et al. 2023, arXiv 2309.16588. DINOv3: Siméoni et al. 2025, arXiv 2508.10104.
C-RADIO: Ranzinger et al. 2023, arXiv 2312.06709.
"""

from __future__ import annotations

from dataclasses import replace

from lexiseg.checkpoints.records import CLIP_PIXELS, IMAGENET_PIXELS, Record, WeightFile

__all__ = ["PROXIES"]

_APACHE = "Apache-2.0"
_V3 = ("DINOv3", "https://ai.meta.com/resources/models-and-libraries/dinov3-license/")
_NVIDIA = (
    "NVIDIA Open Model",
    "https://developer.download.nvidia.com/licenses/"
    "nvidia-open-model-license-agreement-june-2024.pdf",
)

# name, repository, D, pixels a cell; of the two with 16-pixel cells only a state dict is certain
_DINO = (
    ("dino-vit-s16", "facebook/dino-vits16", 384, 16, "pytorch_model.bin"),
    ("dino-vit-s8", "facebook/dino-vits8", 384, 8, "model.safetensors"),
    ("dino-vit-b16", "facebook/dino-vitb16", 768, 16, "pytorch_model.bin"),
    ("dino-vit-b8", "facebook/dino-vitb8", 768, 8, "model.safetensors"),
)
_DINOV2 = (("s", "small", 384), ("b", "base", 768), ("l", "large", 1024), ("g", "giant", 1536))
_DINOV3 = (("s16", "vits16", 384), ("b16", "vitb16", 768), ("l16", "vitl16", 1024))
_RADIO = (
    ("c-radio-v3-b", "nvidia/C-RADIOv3-B", 768),
    ("c-radio-v3-l", "nvidia/C-RADIOv3-L", 1024),
    ("c-radio-v4-so400m", "nvidia/C-RADIOv4-SO400M", 1152),
    ("c-radio-v4-h", "nvidia/C-RADIOv4-H", 1280),
)


def _proxy(
    name: str,
    family: str,
    repo: str,
    dim: int,
    stride: int,
    *,
    size: int | None,
    licence: tuple[str, str] | None = None,
    weights: str = "model.safetensors",
    gated: bool = False,
    notes: str = "",
) -> Record:
    pixels = CLIP_PIXELS if family == "radio" else IMAGENET_PIXELS
    return Record(
        name=name,
        family=family,
        kind="proxy",
        files=(WeightFile(weights), WeightFile("config.json")),
        licence=licence[0] if licence else _APACHE,
        licence_url=licence[1] if licence else f"https://huggingface.co/{repo}",
        preprocessing=replace(pixels, size=size, resample="bicubic"),
        activation="gelu",
        embed_dim=dim,
        stride=stride,
        repo=repo,
        gated=gated,
        notes=notes,
    )


PROXIES = [
    *(
        _proxy(name, "dino", repo, dim, stride, size=224, weights=weights)
        for name, repo, dim, stride, weights in _DINO
    ),
    *(
        _proxy(f"dinov2-vit-{short}14", "dino", f"facebook/dinov2-{size}", dim, 14, size=518)
        for short, size, dim in _DINOV2
    ),
    *(
        _proxy(
            f"dinov2-vit-{short}14-reg",
            "dino",
            f"facebook/dinov2-with-registers-{size}",
            dim,
            14,
            size=518,
        )
        for short, size, dim in _DINOV2
    ),
    *(
        _proxy(
            f"dinov3-vit-{short}",
            "dino",
            f"facebook/dinov3-{repo}-pretrain-lvd1689m",
            dim,
            16,
            size=224,
            licence=_V3,
            gated=True,
        )
        for short, repo, dim in _DINOV3
    ),
    *(
        _proxy(
            name,
            "radio",
            repo,
            dim,
            16,
            size=None,
            licence=_NVIDIA,
            notes="mean and std lie in the weights too, in their input conditioner",
        )
        for name, repo, dim in _RADIO
    ),
]
