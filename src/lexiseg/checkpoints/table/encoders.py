"""Encoders of pictures and words: CLIP by OpenAI, LAION, Apple and Meta, and SigLIP 2.

OpenAI's addresses hold the SHA-256 of their files (github.com/openai/CLIP, clip/clip.py); their
sizes are those that public projects hold them against. The others are OpenCLIP's
(mlfoundations/open_clip, pretrained.py), which names neither commits nor digests; where these stand
here, several public projects independently name them. Meta publishes the digests of its own files
(github.com/facebookresearch/MetaCLIP, src/mini_clip/pretrained.py), and not their sizes. SigLIP 2:
Tschannen et al. 2025, arXiv 2502.14786, in the sizes with square patches.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lexiseg.checkpoints.records import CLIP_PIXELS, HALF_PIXELS, Record, WeightFile
from lexiseg.checkpoints.table._row import hub_files, row

__all__ = ["ENCODERS"]

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_META = "https://dl.fbaipublicfiles.com/MMPT/metaclip"

_clip = partial(row, family="clip", pixels=CLIP_PIXELS)
# OpenCLIP's own files, trained with GELU.
_laion = partial(
    _clip,
    size=224,
    files=("open_clip_pytorch_model.bin", "open_clip_config.json"),
    licence="MIT",
    licence_url="https://github.com/mlfoundations/open_clip/blob/main/LICENSE",
)
_siglip = partial(
    row,
    family="siglip",
    pixels=HALF_PIXELS,
    activation="gelu-tanh",
    files=("model.safetensors", "config.json", "tokenizer.json"),
)


def _openai(
    name: str, file: str, bytes: int, dim: int, stride: int, size: int, sha256: str
) -> Record:
    return _clip(
        name,
        "",
        dim,
        stride,
        size,
        activation="quick-gelu",
        files=(WeightFile(file, sha256, bytes, url=f"{_OPENAI}/{sha256}/{file}"),),
        licence="MIT",
        licence_url="https://github.com/openai/CLIP/blob/main/LICENSE",
        notes="OpenAI's TorchScript archive; its tensors are read, its code is not run",
    )


def _dfn(name: str, repo: str, dim: int, stride: int, size: int, activation: str) -> Record:
    return _clip(
        name,
        repo,
        dim,
        stride,
        size,
        activation=activation,
        files=("open_clip_pytorch_model.bin",),
        licence="Apple AMLR",
        licence_url=f"https://huggingface.co/{repo}/blob/main/LICENSE",
        notes="the activation is OpenCLIP's: the repository's configuration need not say it",
    )


def _metaclip(name: str, file: str, dim: int, stride: int, sha256: str) -> Record:
    return _clip(
        name,
        "",
        dim,
        stride,
        224,
        activation="quick-gelu",
        files=(WeightFile(file, sha256, url=f"{_META}/{file}"),),
        licence="CC-BY-NC-4.0",
        licence_url="https://github.com/facebookresearch/MetaCLIP/blob/main/LICENSE",
    )


# Each: name, file or repository, (bytes,) D, pixels a cell, trained size, (SHA-256 or activation)
ENCODERS = [
    _openai("clip-rn50.openai", "RN50.pt", 255_827_503, 1024, 32, 224,
            "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
    _openai("clip-rn101.openai", "RN101.pt", 291_791_292, 512, 32, 224,
            "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    _openai("clip-rn50x4.openai", "RN50x4.pt", 421_854_225, 640, 32, 288,
            "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    _openai("clip-rn50x16.openai", "RN50x16.pt", 661_125_706, 768, 32, 384,
            "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    _openai("clip-rn50x64.openai", "RN50x64.pt", 1_353_500_174, 1024, 32, 448,
            "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    _openai("clip-vit-b32.openai", "ViT-B-32.pt", 353_976_522, 512, 32, 224,
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    _openai("clip-vit-b16.openai", "ViT-B-16.pt", 350_837_078, 512, 16, 224,
            "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    _openai("clip-vit-l14.openai", "ViT-L-14.pt", 932_768_134, 768, 14, 224,
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    _openai("clip-vit-l14-336.openai", "ViT-L-14-336px.pt", 934_088_680, 768, 14, 336,
            "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
    _laion("clip-vit-b32.laion2b", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 512, 32,
           revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
           files=(WeightFile(
               "open_clip_model.safetensors",
               "ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
               605_143_316),)),
    _laion("clip-vit-b16.laion2b", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", 512, 16),
    # The one that was not trained on CLIP's mean and std.
    _laion("clip-vit-l14.laion2b", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", 768, 14,
           pixels=replace(HALF_PIXELS, resample="bicubic")),
    _laion("clip-vit-h14.laion2b", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", 1024, 14,
           revision="1c2b8495b28150b8a4922ee1c8edee224c284c0c",
           files=(WeightFile(
               "open_clip_pytorch_model.bin",
               "9a78ef8e8c73fd0df621682e7a8e8eb36c6916cb3c16b291a082ecd52ab79cc4",
               3_944_692_325),)),
    _laion("clip-vit-g14.laion2b", "laion/CLIP-ViT-g-14-laion2B-s34B-b88K", 1024, 14),
    _laion("clip-vit-b32.datacomp", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", 512, 32),
    _laion("clip-vit-b16.datacomp", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", 512, 16),
    _laion("clip-vit-l14.datacomp", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 768, 14),
    _dfn("clip-vit-b16.dfn2b", "apple/DFN2B-CLIP-ViT-B-16", 512, 16, 224, "quick-gelu"),
    _dfn("clip-vit-l14.dfn2b", "apple/DFN2B-CLIP-ViT-L-14", 768, 14, 224, "quick-gelu"),
    _dfn("clip-vit-l14.dfn2b-39b", "apple/DFN2B-CLIP-ViT-L-14-39B", 768, 14, 224, "gelu"),
    _dfn("clip-vit-h14.dfn5b", "apple/DFN5B-CLIP-ViT-H-14", 1024, 14, 224, "quick-gelu"),
    _dfn("clip-vit-h14-378.dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378", 1024, 14, 378, "quick-gelu"),
    _metaclip("clip-vit-b32.metaclip", "b32_fullcc2.5b.pt", 512, 32,
              "885b7ec11fe07a9826e2e6812d70e5011918e32fe9b12136b49d5dded92b4386"),
    _metaclip("clip-vit-b16.metaclip", "b16_fullcc2.5b.pt", 512, 16,
              "512ea0fb9f2cf88d027e96e4674247a1a91a96af18abc2e2fcdb8008c551e04b"),
    _metaclip("clip-vit-l14.metaclip", "l14_fullcc2.5b.pt", 768, 14,
              "ce24750710544ee288ef0abdead2016730da1893a1d07447bda3a75e1c148f97"),
    _metaclip("clip-vit-h14.metaclip", "h14_fullcc2.5b.pt", 1024, 14,
              "1286807d5cc8d9a0b12563b47474efb53b9522eb3d7eac5a9a5d39c3a776ad5c"),
    _siglip("siglip2-vit-b16.webli", "google/siglip2-base-patch16-224", 768, 16, 224,
            revision="75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2",
            files=hub_files(
                (1_500_800_904, "612923381c76ec5a9bed335d1c48827e3f2e506ac31b044b63b2031fadee6a0b"),
                (253, "fe8b5fe6d5734360678fd71c11c21e1ea3364bd8598d34295d9206335973ffd7"),
                (34_363_039, "cb9140fae3ac5122c972d37adf83e1248471a38147ad76f8215c8872c6fd8322"))),
    _siglip("siglip2-vit-b16-256.webli", "google/siglip2-base-patch16-256", 768, 16, 256),
    _siglip("siglip2-vit-b16-384.webli", "google/siglip2-base-patch16-384", 768, 16, 384),
    _siglip("siglip2-vit-b16-512.webli", "google/siglip2-base-patch16-512", 768, 16, 512),
    _siglip("siglip2-vit-l16-256.webli", "google/siglip2-large-patch16-256", 1024, 16, 256),
    _siglip("siglip2-vit-l16-384.webli", "google/siglip2-large-patch16-384", 1024, 16, 384),
    _siglip("siglip2-vit-l16-512.webli", "google/siglip2-large-patch16-512", 1024, 16, 512),
    _siglip("siglip2-vit-so400m14-384.webli", "google/siglip2-so400m-patch14-384", 1152, 14, 384),
    _siglip("siglip2-vit-so400m16-384.webli", "google/siglip2-so400m-patch16-384", 1152, 16, 384),
    _siglip("siglip2-vit-so400m16-512.webli", "google/siglip2-so400m-patch16-512", 1152, 16, 512),
]  # fmt: skip
