"""The checkpoints of the hub and of other servers that have a name; here the CLIPs.

OpenAI's addresses hold the SHA-256 of their files (github.com/openai/CLIP, clip/clip.py); those of
the others are OpenCLIP's (mlfoundations/open_clip, pretrained.py), which names neither commits nor
digests. What is not known for sure stays empty: the first pull keeps what the server says of such
files and what came (``Record.revision``, ``WeightFile.sha256``).
"""

from __future__ import annotations

from lexiseg.checkpoints._table_inpainters import INPAINTERS
from lexiseg.checkpoints._table_maskers import MASKERS
from lexiseg.checkpoints._table_proxies import PROXIES
from lexiseg.checkpoints._table_siglip import SIGLIP
from lexiseg.checkpoints._table_words import WORDS
from lexiseg.checkpoints.folders import CLIP_PIXELS
from lexiseg.checkpoints.records import Preprocessing, Record, WeightFile

__all__ = ["HUB"]

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_META = "https://dl.fbaipublicfiles.com/MMPT/metaclip"
_MIT = ("MIT", "https://github.com/openai/CLIP/blob/main/LICENSE")
_OPENCLIP_MIT = ("MIT", "https://github.com/mlfoundations/open_clip/blob/main/LICENSE")
_APPLE = ("Apple AMLR", "https://huggingface.co/{}/blob/main/LICENSE")
_NONCOMMERCIAL = (
    "CC-BY-NC-4.0", "https://github.com/facebookresearch/MetaCLIP/blob/main/LICENSE",
)  # fmt: skip

# name, file, SHA-256, D, pixels a cell, trained size
_OPENAI_MODELS = (
    ("rn50", "RN50.pt",
     "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", 1024, 32, 224),
    ("rn101", "RN101.pt",
     "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", 512, 32, 224),
    ("rn50x4", "RN50x4.pt",
     "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", 640, 32, 288),
    ("rn50x16", "RN50x16.pt",
     "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", 768, 32, 384),
    ("rn50x64", "RN50x64.pt",
     "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", 1024, 32, 448),
    ("vit-b32", "ViT-B-32.pt",
     "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", 512, 32, 224),
    ("vit-b16", "ViT-B-16.pt",
     "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", 512, 16, 224),
    ("vit-l14", "ViT-L-14.pt",
     "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", 768, 14, 224),
    ("vit-l14-336", "ViT-L-14-336px.pt",
     "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", 768, 14, 336),
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
# The one that was not trained on CLIP's mean and std.
_HALVES = "vit-l14.laion2b"

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


def _pixels(size: int) -> Preprocessing:
    return Preprocessing(size, CLIP_PIXELS.mean, CLIP_PIXELS.std, CLIP_PIXELS.resample)


_HALF_PIXELS = Preprocessing(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")


def _openai() -> list[Record]:
    return [
        Record(
            name=f"clip-{name}.openai",
            family="clip",
            files=(WeightFile.unseen(file, sha256=sha256, url=f"{_OPENAI}/{sha256}/{file}"),),
            licence=_MIT[0],
            licence_url=_MIT[1],
            preprocessing=_pixels(size),
            activation="quick-gelu",
            embed_dim=dim,
            stride=stride,
            notes="OpenAI's TorchScript archive; its tensors are read, its code is not run",
        )
        for name, file, sha256, dim, stride, size in _OPENAI_MODELS
    ]


def _laion() -> list[Record]:
    return [
        Record(
            name=f"clip-{name}",
            family="clip",
            files=(
                WeightFile.unseen("open_clip_pytorch_model.bin"),
                WeightFile.unseen("open_clip_config.json"),
            ),
            licence=_OPENCLIP_MIT[0],
            licence_url=_OPENCLIP_MIT[1],
            preprocessing=_HALF_PIXELS if name == _HALVES else _pixels(224),
            activation="gelu",
            embed_dim=dim,
            stride=stride,
            repo=repo,
        )
        for name, repo, dim, stride in _LAION_MODELS
    ]


def _dfn() -> list[Record]:
    return [
        Record(
            name=f"clip-{name}",
            family="clip",
            files=(WeightFile.unseen("open_clip_pytorch_model.bin"),),
            licence=_APPLE[0],
            licence_url=_APPLE[1].format(repo),
            preprocessing=_pixels(size),
            activation=activation,
            embed_dim=dim,
            stride=stride,
            repo=repo,
            notes="the activation is OpenCLIP's: the repository's configuration need not say it",
        )
        for name, repo, dim, stride, size, activation in _DFN_MODELS
    ]


def _metaclip() -> list[Record]:
    return [
        Record(
            name=f"clip-{name}",
            family="clip",
            files=(WeightFile.unseen(file, url=f"{_META}/{file}"),),
            licence=_NONCOMMERCIAL[0],
            licence_url=_NONCOMMERCIAL[1],
            preprocessing=_pixels(224),
            activation="quick-gelu",
            embed_dim=dim,
            stride=stride,
        )
        for name, file, dim, stride in _METACLIP_MODELS
    ]


HUB: dict[str, Record] = {
    record.name: record
    for record in [
        *_openai(),
        *_laion(),
        *_dfn(),
        *_metaclip(),
        *SIGLIP,
        *PROXIES,
        *MASKERS,
        *WORDS,
        *INPAINTERS,
    ]
}
