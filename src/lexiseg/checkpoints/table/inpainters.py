"""Networks that fill what was masked: Stable Diffusion, SDXL and FLUX inpainting, and LaMa.

A pipeline's files keep their folders, so that diffusers opens the whole folder; of the Stable
Diffusions they are the half-precision ones (``variant="fp16"``). LaMa (Suvorov et al. 2021, arXiv
2109.07161) is the one file that editors of photos share; its digest and size are those that public
projects independently hold it against.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from lexiseg.checkpoints.records import HALF_PIXELS, Preprocessing, WeightFile
from lexiseg.checkpoints.table._row import row

__all__ = ["INPAINTERS"]

_TOKENIZER = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
_T5 = ("special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer_config.json")
_STABILITY = "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md"
_CHECKED = "feature_extractor/preprocessor_config.json"


def _within(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def _network(folder: str, weights: str) -> list[str]:
    return _within(folder, ("config.json", weights))


def _common() -> list[str]:
    return [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *_within("tokenizer", _TOKENIZER),
        *_network("text_encoder", "model.fp16.safetensors"),
        *_network("unet", "diffusion_pytorch_model.fp16.safetensors"),
        *_network("vae", "diffusion_pytorch_model.fp16.safetensors"),
    ]


def _flux() -> list[str]:
    shards = [f"diffusion_pytorch_model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    t5 = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    return [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *_within("tokenizer", _TOKENIZER),
        *_within("tokenizer_2", _T5),
        *_network("text_encoder", "model.safetensors"),
        *_within("text_encoder_2", ("config.json", *t5, "model.safetensors.index.json")),
        *_within(
            "transformer",
            ("config.json", *shards, "diffusion_pytorch_model.safetensors.index.json"),
        ),
        *_network("vae", "diffusion_pytorch_model.safetensors"),
    ]


_inpainter = partial(row, dim=0, stride=8, kind="inpainter")
_pipeline = partial(
    _inpainter,
    family="inpaint",
    pixels=replace(HALF_PIXELS, resample="bicubic"),
    activation="silu",
)
_openrail2 = partial(_pipeline, licence="OpenRAIL++", licence_url=_STABILITY)

INPAINTERS = [
    _pipeline(
        "sd-1.5-inpainting",
        "stable-diffusion-v1-5/stable-diffusion-inpainting",
        size=512,
        files=[*_common(), _CHECKED, *_network("safety_checker", "model.fp16.safetensors")],
        licence="CreativeML Open RAIL-M",
        licence_url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        revision="8a4288a76071f7280aedbdb3253bdb9e9d5d84bb",
    ),
    _openrail2(
        "sd-2-inpainting",
        "sd2-community/stable-diffusion-2-inpainting",
        size=512,
        files=[*_common(), _CHECKED],
        mirrors=("stabilityai/stable-diffusion-2-inpainting",),
        notes="its maker withdrew its own repository, here the mirror, in November 2025",
    ),
    _openrail2(
        "sdxl-inpainting",
        "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
        size=1024,
        files=[
            *_common(),
            *_within("tokenizer_2", _TOKENIZER),
            *_network("text_encoder_2", "model.fp16.safetensors"),
        ],
        revision="115134f363124c53c7d878647567d04daf26e41e",
    ),
    _pipeline(
        "flux.1-fill-dev",
        "black-forest-labs/FLUX.1-Fill-dev",
        size=1024,
        files=_flux(),
        licence="FLUX.1 non-commercial",
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-Fill-dev/blob/main/LICENSE.md",
        activation="gelu-tanh",
        gated=True,
    ),
    _inpainter(
        "big-lama",
        "",
        family="lama",
        size=None,
        files=[
            WeightFile(
                "big-lama.pt",
                "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
                205_669_692,
                url="https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
            )
        ],
        licence_url="https://github.com/advimman/lama/blob/main/LICENSE",
        pixels=Preprocessing(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear"),
        activation="relu",
        notes="a TorchScript archive",
    ),
]
