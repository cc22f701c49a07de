"""Checkpoints of detectors, mask models and proxies: a line a model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lexiseg.checkpoints.records import (
    CLIP_PIXELS,
    HALF_PIXELS,
    IMAGENET_PIXELS,
    Record,
    WeightFile,
)
from lexiseg.checkpoints.table._row import row

__all__ = ["DETECTORS", "MASKERS", "PROXIES"]


_clipseg = partial(
    row,
    dim=512,
    stride=16,
    size=352,
    family="clipseg",
    kind="method",
    pixels=IMAGENET_PIXELS,  # not CLIP's
    activation="quick-gelu",
    layers=(3, 6, 9),
    notes="the authors' repository says that its MIT licence does not cover its weights; the card "
    "of these says Apache-2.0. Blocks are those of the repository's configuration; the authors' "
    "training files name 3, 7, 9",
)
_grounding = partial(
    row,
    dim=256,
    stride=8,
    size=800,
    family="grounding",
    kind="detector",
    files=("model.safetensors", "config.json", "tokenizer.json"),
    pixels=IMAGENET_PIXELS,
    activation="relu",
    notes="the activation is that of its transformer; its backbone, a Swin, has GELU",
)
_owl = partial(
    row,
    family="grounding",
    kind="detector",
    pixels=replace(CLIP_PIXELS, resample="bilinear"),
    activation="quick-gelu",
)

DETECTORS = [
    _clipseg("clipseg-rd16", "CIDAS/clipseg-rd16"),
    _clipseg("clipseg-rd64", "CIDAS/clipseg-rd64"),
    _clipseg("clipseg-rd64-refined", "CIDAS/clipseg-rd64-refined"),
    _grounding("grounding-dino-t", "IDEA-Research/grounding-dino-tiny"),
    _grounding("grounding-dino-b", "IDEA-Research/grounding-dino-base"),
    _owl("owlv2-b16", "google/owlv2-base-patch16-ensemble", 512, 16, 960),
    _owl("owlv2-l14", "google/owlv2-large-patch14-ensemble", 768, 14, 1008),
]


_META = "https://dl.fbaipublicfiles.com"
_GITHUB = "https://github.com/facebookresearch/{}/blob/main/LICENSE"

_masker = partial(row, dim=256, stride=16, size=1024, kind="masker", pixels=IMAGENET_PIXELS)


def _both(name: str, repo: str, path: str, bytes: int, sha256: str) -> list[Record]:
    """Meta's own file, and the same weights as transformers saves them."""
    family, folder, project = (
        ("sam", "segment_anything", "segment-anything")
        if name.startswith("sam-")
        else ("sam2", "segment_anything_2", "sam2")
    )
    own = WeightFile(path.rpartition("/")[2], sha256, bytes, url=f"{_META}/{folder}/{path}")
    licence_url = _GITHUB.format(project)
    return [
        _masker(name, "", family=family, files=(own,), licence_url=licence_url),
        _masker(f"{name}.hf", repo, family=family, licence_url=licence_url),
    ]


# Each: name, transformers' repository, Meta's file, bytes, SHA-256
MASKERS = [
    *_both("sam-vit-b", "facebook/sam-vit-base", "sam_vit_b_01ec64.pth",
           375_042_383, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    *_both("sam-vit-l", "facebook/sam-vit-large", "sam_vit_l_0b3195.pth",
           1_249_524_607, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    *_both("sam-vit-h", "facebook/sam-vit-huge", "sam_vit_h_4b8939.pth",
           2_564_550_879, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    *_both("sam2-hiera-t", "facebook/sam2-hiera-tiny", "072824/sam2_hiera_tiny.pt",
           155_906_050, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
    *_both("sam2-hiera-s", "facebook/sam2-hiera-small", "072824/sam2_hiera_small.pt",
           184_309_650, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
    *_both("sam2-hiera-b-plus", "facebook/sam2-hiera-base-plus", "072824/sam2_hiera_base_plus.pt",
           323_493_298, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
    *_both("sam2-hiera-l", "facebook/sam2-hiera-large", "072824/sam2_hiera_large.pt",
           897_952_466, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
    *_both("sam2.1-hiera-t", "facebook/sam2.1-hiera-tiny", "092824/sam2.1_hiera_tiny.pt",
           156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    *_both("sam2.1-hiera-s", "facebook/sam2.1-hiera-small", "092824/sam2.1_hiera_small.pt",
           184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    *_both("sam2.1-hiera-b-plus", "facebook/sam2.1-hiera-base-plus",
           "092824/sam2.1_hiera_base_plus.pt", 323_606_802,
           "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    *_both("sam2.1-hiera-l", "facebook/sam2.1-hiera-large", "092824/sam2.1_hiera_large.pt",
           898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    _masker(
        "edgetam", "yonigozlan/EdgeTAM-hf", family="edgetam",
        licence_url=_GITHUB.format("EdgeTAM"),
        notes="Meta's weights, as the authors of transformers' EdgeTAM converted them",
    ),
    row(
        "sam3", "facebook/sam3", 256, 14, 1008, family="sam3", kind="detector", pixels=HALF_PIXELS,
        licence="SAM License", licence_url=_GITHUB.format("sam3"), gated=True,
        notes="finds words and draws what it found: the method sam3; points as a mask model",
    ),
]  # fmt: skip


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
