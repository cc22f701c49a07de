"""Encoders of pictures alone, whose places tell which belong together: DINO to C-RADIO.

DINO: Caron et al. 2021, arXiv 2104.14294. DINOv2: Oquab et al. 2023, arXiv 2304.07193, with
registers Darcet et al. 2023, arXiv 2309.16588. DINOv3: Siméoni et al. 2025, arXiv 2508.10104.
C-RADIO: Ranzinger et al. 2023, arXiv 2312.06709.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lexiseg.checkpoints.records import CLIP_PIXELS, IMAGENET_PIXELS
from lexiseg.checkpoints.table._row import row

__all__ = ["PROXIES"]

_dino = partial(
    row, family="dino", kind="proxy", pixels=replace(IMAGENET_PIXELS, resample="bicubic")
)
_dinov1 = partial(_dino, size=224)
# Of the two with 16-pixel cells only a state dict is certain.
_state_dict = partial(_dinov1, stride=16, files=("pytorch_model.bin", "config.json"))
_dinov2 = partial(_dino, stride=14, size=518)
_dinov3 = partial(
    _dino,
    stride=16,
    size=224,
    licence="DINOv3",
    licence_url="https://ai.meta.com/resources/models-and-libraries/dinov3-license/",
    gated=True,
)
_radio = partial(
    row,
    family="radio",
    kind="proxy",
    pixels=CLIP_PIXELS,
    stride=16,
    size=None,
    licence="NVIDIA Open Model",
    licence_url="https://developer.download.nvidia.com/licenses/"
    "nvidia-open-model-license-agreement-june-2024.pdf",
    notes="mean and std lie in the weights too, in their input conditioner",
)

# Each: name, repository, D (, pixels a cell)
PROXIES = [
    _state_dict("dino-vit-s16", "facebook/dino-vits16", 384),
    _dinov1("dino-vit-s8", "facebook/dino-vits8", 384, 8),
    _state_dict("dino-vit-b16", "facebook/dino-vitb16", 768),
    _dinov1("dino-vit-b8", "facebook/dino-vitb8", 768, 8),
    _dinov2("dinov2-vit-s14", "facebook/dinov2-small", 384),
    _dinov2("dinov2-vit-b14", "facebook/dinov2-base", 768),
    _dinov2("dinov2-vit-l14", "facebook/dinov2-large", 1024),
    _dinov2("dinov2-vit-g14", "facebook/dinov2-giant", 1536),
    _dinov2("dinov2-vit-s14-reg", "facebook/dinov2-with-registers-small", 384),
    _dinov2("dinov2-vit-b14-reg", "facebook/dinov2-with-registers-base", 768),
    _dinov2("dinov2-vit-l14-reg", "facebook/dinov2-with-registers-large", 1024),
    _dinov2("dinov2-vit-g14-reg", "facebook/dinov2-with-registers-giant", 1536),
    _dinov3("dinov3-vit-s16", "facebook/dinov3-vits16-pretrain-lvd1689m", 384),
    _dinov3("dinov3-vit-b16", "facebook/dinov3-vitb16-pretrain-lvd1689m", 768),
    _dinov3("dinov3-vit-l16", "facebook/dinov3-vitl16-pretrain-lvd1689m", 1024),
    _radio("c-radio-v3-b", "nvidia/C-RADIOv3-B", 768),
    _radio("c-radio-v3-l", "nvidia/C-RADIOv3-L", 1024),
    _radio("c-radio-v4-so400m", "nvidia/C-RADIOv4-SO400M", 1152),
    _radio("c-radio-v4-h", "nvidia/C-RADIOv4-H", 1280),
]
