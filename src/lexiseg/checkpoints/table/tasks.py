"""Checkpoints of detectors, mask models and proxies: a line a model.

Meta's and the hub's commits and digests are those that several public projects independently name.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from lexiseg.checkpoints.records import (
    CLIP_PIXELS,
    HALF_PIXELS,
    IMAGENET_PIXELS,
    Record,
    WeightFile,
)
from lexiseg.checkpoints.table._row import hub_files, row

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

# The tokenizer of both Grounding DINOs: BERT's.
_BERT = (711_396, "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66")

DETECTORS = [
    _clipseg("clipseg-rd16", "CIDAS/clipseg-rd16"),
    _clipseg("clipseg-rd64", "CIDAS/clipseg-rd64"),
    _clipseg("clipseg-rd64-refined", "CIDAS/clipseg-rd64-refined"),
    _grounding(
        "grounding-dino-t", "IDEA-Research/grounding-dino-tiny",
        revision="a2bb814dd30d776dcf7e30523b00659f4f141c71",
        files=hub_files(
            (689_359_096, "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3"),
            (1_644, "eec82c5ab66e16df12a9a212e68ac011779927c2536cf9078658e35d85f0c67a"), _BERT),
    ),
    _grounding(
        "grounding-dino-b", "IDEA-Research/grounding-dino-base",
        revision="12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
        files=hub_files(
            (933_400_872, "5548f844c928c4b6f411fa8cbcc2bfa8dbbba437cb1d513975519f93c2a9ed21"),
            (1_737, "eda416dae6f49419ff831b1c190ec430a060b19aae688dbaf2425a075b650608"), _BERT),
    ),
    _owl("owlv2-b16", "google/owlv2-base-patch16-ensemble", 512, 16, 960),
    _owl("owlv2-l14", "google/owlv2-large-patch14-ensemble", 768, 14, 1008),
]  # fmt: skip


_META = "https://dl.fbaipublicfiles.com"
_GITHUB = "https://github.com/facebookresearch/{}/blob/main/LICENSE"

_masker = partial(row, dim=256, stride=16, size=1024, kind="masker", pixels=IMAGENET_PIXELS)


def _both(name: str, repo: str, path: str, bytes: int, sha256: str, **hub: Any) -> list[Record]:
    """Meta's own file, and the same weights as transformers saves them; hub: what pins these."""
    family, folder, project = (
        ("sam", "segment_anything", "segment-anything")
        if name.startswith("sam-")
        else ("sam2", "segment_anything_2", "sam2")
    )
    own = WeightFile(path.rpartition("/")[2], sha256, bytes, url=f"{_META}/{folder}/{path}")
    licence_url = _GITHUB.format(project)
    return [
        _masker(name, "", family=family, files=(own,), licence_url=licence_url),
        _masker(f"{name}.hf", repo, family=family, licence_url=licence_url, **hub),
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
           156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
           revision="de431c4043854a71d8101e17995dfe596bf101a5",
           files=hub_files(
               (155_908_064, "48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7"),
               (5_695, "860aff9751b139d83a4ad7df1e5535416fded533e0ead02625edbefcb9953cce"))),
    *_both("sam2.1-hiera-s", "facebook/sam2.1-hiera-small", "092824/sam2.1_hiera_small.pt",
           184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
           revision="ee5bba1d82bb8749febdf90f45e84b687142ba03",
           files=hub_files(
               (184_305_280, "0a4067b11ce1e23d5229203f11c718a823060d15a4b23fa2372a7d4b77cbbc60"),
               (5_698, "97ff9f65b76d107acda4247885f0a5555d0048850ae3c5f97183df289aaecde9"))),
    *_both("sam2.1-hiera-b-plus", "facebook/sam2.1-hiera-base-plus",
           "092824/sam2.1_hiera_base_plus.pt", 323_606_802,
           "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    *_both("sam2.1-hiera-l", "facebook/sam2.1-hiera-large", "092824/sam2.1_hiera_large.pt",
           898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
           revision="665f8e2ad61cf5f53d65644ff27c8ee525124610",
           files=(*hub_files(
               (897_897_416, "dc407dce21301fd94abb395c5099b4f2c455fdc8a8f261ac3d0ea6d4cd197230")),
               "config.json")),
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
    _dinov2("dinov2-vit-s14", "facebook/dinov2-small", 384,
            revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
            files=hub_files(
                (88_249_960, "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
                (547, "1809f83e3bdb1609a501a610ad4a742f4fd8ae44d72ca4aa0df52d1f2ac8628d"))),
    _dinov2("dinov2-vit-b14", "facebook/dinov2-base", 768,
            revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415",
            files=hub_files(
                (346_345_912, "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
                (548, "f7ff4cfa73d2f70647dbf6950541ad25d73082d54c2e7e9bded160c7656b2a70"))),
    _dinov2("dinov2-vit-l14", "facebook/dinov2-large", 1024,
            revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
            files=hub_files(
                (1_217_522_888, "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"),
                (549, "12df51c069a2dc1305e34ba71ef58bc2407ea553b75f4722a1715c1bce3bbed0"))),
    _dinov2("dinov2-vit-g14", "facebook/dinov2-giant", 1536,
            revision="611a9d42f2335e0f921f1e313ad3c1b7178d206d",
            files=hub_files(
                (4_546_005_432, "917d3c470db999d32a312f8542149be91c7cbac61ee8fb4b67ae3d82b79ce21f"),
                (548, "15d2e68b709674c0eb9bb5cc8b73e57ebe9a169a425bef224f46ae10053806a2"))),
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
]  # fmt: skip
