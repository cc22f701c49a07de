"""The checkpoints of the hub and of other servers that have a name.

OpenAI's addresses hold the SHA-256 of their files (github.com/openai/CLIP, clip/clip.py); those of
the others are OpenCLIP's (mlfoundations/open_clip, pretrained.py), which names neither commits nor
digests. Their first pull keeps what the server says of them and what came (``Record.revision``,
``WeightFile.sha256``).
"""

from __future__ import annotations

from lexiseg.checkpoints.folders import CLIP_PIXELS, IMAGENET_PIXELS
from lexiseg.checkpoints.records import Preprocessing, Record, WeightFile

__all__ = ["HUB"]

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_META = "https://dl.fbaipublicfiles.com/MMPT/metaclip"
_MIT = ("MIT", "https://github.com/openai/CLIP/blob/main/LICENSE")
_OPENCLIP_MIT = ("MIT", "https://github.com/mlfoundations/open_clip/blob/main/LICENSE")
_NONCOMMERCIAL = (
    "CC-BY-NC-4.0", "https://github.com/facebookresearch/MetaCLIP/blob/main/LICENSE",
)  # fmt: skip

# name, file, SHA-256, D, pixels a cell, trained size
_OPENAI_MODELS = (
    ("rn50", "RN50.pt",
     "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", 1024, 32, 224),
    ("rn50x4", "RN50x4.pt",
     "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", 640, 32, 288),
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
)
# The one that was not trained on CLIP's mean and std.
_HALVES = "vit-l14.laion2b"

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


def _clipseg() -> list[Record]:
    return [
        Record(
            name=name,
            family="clipseg",
            files=(WeightFile.unseen("model.safetensors"), WeightFile.unseen("config.json")),
            licence="Apache-2.0 by the hub's card; the authors' MIT excludes weights",
            licence_url=f"https://huggingface.co/CIDAS/{name}",
            preprocessing=IMAGENET_PIXELS,
            activation="quick-gelu",
            embed_dim=512,
            stride=16,
            repo=f"CIDAS/{name}",
            notes="CLIP ViT-B/16 and a decoder; the blocks that it reads stand in config.json",
        )
        for name in ("clipseg-rd16", "clipseg-rd64", "clipseg-rd64-refined")
    ]


HUB: dict[str, Record] = {
    record.name: record for record in [*_openai(), *_laion(), *_metaclip(), *_clipseg()]
}
