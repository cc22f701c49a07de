"""Encoders of pictures and words: CLIP by OpenAI, LAION, Apple and Meta, and SigLIP 2.

OpenAI's addresses hold the SHA-256 of their files (github.com/openai/CLIP, clip/clip.py); their
sizes are those that public projects hold them against. The others are OpenCLIP's
(mlfoundations/open_clip, pretrained.py), which names neither commits nor digests. SigLIP 2:
Tschannen et al. 2025, arXiv 2502.14786, in the sizes with square patches.
"""

from __future__ import annotations

from dataclasses import replace

from lexiseg.checkpoints.records import (
    CLIP_PIXELS,
    HALF_PIXELS,
    Preprocessing,
    Record,
    WeightFile,
)

__all__ = ["ENCODERS"]

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_META = "https://dl.fbaipublicfiles.com/MMPT/metaclip"
_MIT = ("MIT", "https://github.com/openai/CLIP/blob/main/LICENSE")
_OPENCLIP_MIT = ("MIT", "https://github.com/mlfoundations/open_clip/blob/main/LICENSE")
_NONCOMMERCIAL = (
    "CC-BY-NC-4.0", "https://github.com/facebookresearch/MetaCLIP/blob/main/LICENSE",
)  # fmt: skip

# name, file, bytes, D, pixels a cell, trained size, SHA-256
_OPENAI_MODELS = (
    ("rn50", "RN50.pt", 255_827_503, 1024, 32, 224,
     "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
    ("rn101", "RN101.pt", 291_791_292, 512, 32, 224,
     "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    ("rn50x4", "RN50x4.pt", 421_854_225, 640, 32, 288,
     "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    ("rn50x16", "RN50x16.pt", 661_125_706, 768, 32, 384,
     "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    ("rn50x64", "RN50x64.pt", 1_353_500_174, 1024, 32, 448,
     "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    ("vit-b32", "ViT-B-32.pt", 353_976_522, 512, 32, 224,
     "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    ("vit-b16", "ViT-B-16.pt", 350_837_078, 512, 16, 224,
     "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    ("vit-l14", "ViT-L-14.pt", 932_768_134, 768, 14, 224,
     "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    ("vit-l14-336", "ViT-L-14-336px.pt", 934_088_680, 768, 14, 336,
     "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
)  # fmt: skip

# name, repository, D, pixels a cell; OpenCLIP's own files, trained with GELU
_LAION_MODELS = (
    ("vit-b32.laion2b", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 512, 32),
    ("vit-b16.laion2b", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", 512, 16),
    ("vit-l14.laion2b", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", 768, 14),
    ("vit-h14.laion2b", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", 1024, 14),
    ("vit-g14.laion2b", "laion/CLIP-ViT-g-14-laion2B-s34B-b88K", 1024, 14),
    ("vit-b32.datacomp", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", 512, 32),
    ("vit-b16.datacomp", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", 512, 16),
    ("vit-l14.datacomp", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 768, 14),
)

# name, repository, D, pixels a cell, trained size, activation
_DFN_MODELS = (
    ("vit-b16.dfn2b", "apple/DFN2B-CLIP-ViT-B-16", 512, 16, 224, "quick-gelu"),
    ("vit-l14.dfn2b", "apple/DFN2B-CLIP-ViT-L-14", 768, 14, 224, "quick-gelu"),
    ("vit-l14.dfn2b-39b", "apple/DFN2B-CLIP-ViT-L-14-39B", 768, 14, 224, "gelu"),
    ("vit-h14.dfn5b", "apple/DFN5B-CLIP-ViT-H-14", 1024, 14, 224, "quick-gelu"),
    ("vit-h14-378.dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378", 1024, 14, 378, "quick-gelu"),
)

# name, file, D, pixels a cell; state dicts, trained with QuickGELU
_METACLIP_MODELS = (
    ("vit-b32.metaclip", "b32_fullcc2.5b.pt", 512, 32),
    ("vit-b16.metaclip", "b16_fullcc2.5b.pt", 512, 16),
    ("vit-l14.metaclip", "l14_fullcc2.5b.pt", 768, 14),
    ("vit-h14.metaclip", "h14_fullcc2.5b.pt", 1024, 14),
)

# name, the repository's end, D, pixels a cell, trained size
_SIGLIP_MODELS = (
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


def _clip(
    name: str,
    files: tuple[WeightFile, ...],
    licence: tuple[str, str],
    dim: int,
    stride: int,
    size: int = 224,
    activation: str = "quick-gelu",
    *,
    pixels: Preprocessing = CLIP_PIXELS,
    repo: str = "",
    notes: str = "",
) -> Record:
    return Record(
        name=f"clip-{name}",
        family="clip",
        files=files,
        licence=licence[0],
        licence_url=licence[1],
        preprocessing=replace(pixels, size=size),
        activation=activation,
        embed_dim=dim,
        stride=stride,
        repo=repo,
        notes=notes,
    )


def _openai(
    name: str, file: str, bytes: int, dim: int, stride: int, size: int, sha256: str
) -> Record:
    files = (WeightFile(file, sha256, bytes, url=f"{_OPENAI}/{sha256}/{file}"),)
    notes = "OpenAI's TorchScript archive; its tensors are read, its code is not run"
    return _clip(f"{name}.openai", files, _MIT, dim, stride, size, notes=notes)


def _laion(name: str, repo: str, dim: int, stride: int) -> Record:
    files = (WeightFile("open_clip_pytorch_model.bin"), WeightFile("open_clip_config.json"))
    # The one that was not trained on CLIP's mean and std.
    pixels = replace(HALF_PIXELS, resample="bicubic") if name == "vit-l14.laion2b" else CLIP_PIXELS
    return _clip(
        name, files, _OPENCLIP_MIT, dim, stride, activation="gelu", pixels=pixels, repo=repo
    )


def _dfn(name: str, repo: str, dim: int, stride: int, size: int, activation: str) -> Record:
    files = (WeightFile("open_clip_pytorch_model.bin"),)
    licence = ("Apple AMLR", f"https://huggingface.co/{repo}/blob/main/LICENSE")
    notes = "the activation is OpenCLIP's: the repository's configuration need not say it"
    return _clip(name, files, licence, dim, stride, size, activation, repo=repo, notes=notes)


def _metaclip(name: str, file: str, dim: int, stride: int) -> Record:
    files = (WeightFile(file, url=f"{_META}/{file}"),)
    return _clip(name, files, _NONCOMMERCIAL, dim, stride)


def _siglip(name: str, repo: str, dim: int, stride: int, size: int) -> Record:
    return Record(
        name=f"siglip2-{name}.webli",
        family="siglip",
        files=tuple(map(WeightFile, ("model.safetensors", "config.json", "tokenizer.json"))),
        licence="Apache-2.0",
        licence_url=f"https://huggingface.co/google/siglip2-{repo}",
        preprocessing=replace(HALF_PIXELS, size=size),
        activation="gelu-tanh",
        embed_dim=dim,
        stride=stride,
        repo=f"google/siglip2-{repo}",
    )


ENCODERS = [
    *(_openai(*model) for model in _OPENAI_MODELS),
    *(_laion(*model) for model in _LAION_MODELS),
    *(_dfn(*model) for model in _DFN_MODELS),
    *(_metaclip(*model) for model in _METACLIP_MODELS),
    *(_siglip(*model) for model in _SIGLIP_MODELS),
]
