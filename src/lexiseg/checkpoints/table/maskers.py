"""Masks of points and boxes: SAM, SAM 2, SAM 2.1, EdgeTAM; of words: SAM 3.

SAM: Kirillov et al. 2023, arXiv 2304.02643. SAM 2: Ravi et al. 2024, arXiv 2408.00714. EdgeTAM:
Zhou et al. 2025, arXiv 2501.07256. SAM 3: Carion et al. 2025, arXiv 2511.16719.

The plain names are Meta's own files, whose addresses stand in their repositories
(facebookresearch/segment-anything, facebookresearch/sam2); the digests are those that public
projects independently hold them against. ``.hf`` are the same weights as transformers saves them.
"""

from __future__ import annotations

from dataclasses import replace

from lexiseg.checkpoints.records import HALF_PIXELS, IMAGENET_PIXELS, Record, WeightFile

__all__ = ["MASKERS"]

_BY_TRANSFORMERS = (WeightFile("model.safetensors"), WeightFile("config.json"))
_META = "https://dl.fbaipublicfiles.com"
_SAM = ("Apache-2.0", "https://github.com/facebookresearch/segment-anything/blob/main/LICENSE")
_SAM2 = ("Apache-2.0", "https://github.com/facebookresearch/sam2/blob/main/LICENSE")
_EDGETAM = ("Apache-2.0", "https://github.com/facebookresearch/EdgeTAM/blob/main/LICENSE")
_SAM3 = ("SAM License", "https://github.com/facebookresearch/sam3/blob/main/LICENSE")

# name, transformers' repository, Meta's file, SHA-256, bytes
_SAM_MODELS = (
    ("sam-vit-b", "facebook/sam-vit-base", "sam_vit_b_01ec64.pth",
     "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375_042_383),
    ("sam-vit-l", "facebook/sam-vit-large", "sam_vit_l_0b3195.pth",
     "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1_249_524_607),
    ("sam-vit-h", "facebook/sam-vit-huge", "sam_vit_h_4b8939.pth",
     "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_564_550_879),
)  # fmt: skip
_SAM2_MODELS = (
    ("sam2-hiera-t", "facebook/sam2-hiera-tiny", "072824/sam2_hiera_tiny.pt",
     "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125", 155_906_050),
    ("sam2-hiera-s", "facebook/sam2-hiera-small", "072824/sam2_hiera_small.pt",
     "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3", 184_309_650),
    ("sam2-hiera-b-plus", "facebook/sam2-hiera-base-plus", "072824/sam2_hiera_base_plus.pt",
     "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071", 323_493_298),
    ("sam2-hiera-l", "facebook/sam2-hiera-large", "072824/sam2_hiera_large.pt",
     "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b", 897_952_466),
    ("sam2.1-hiera-t", "facebook/sam2.1-hiera-tiny", "092824/sam2.1_hiera_tiny.pt",
     "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", 156_008_466),
    ("sam2.1-hiera-s", "facebook/sam2.1-hiera-small", "092824/sam2.1_hiera_small.pt",
     "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", 184_416_285),
    ("sam2.1-hiera-b-plus", "facebook/sam2.1-hiera-base-plus", "092824/sam2.1_hiera_base_plus.pt",
     "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5", 323_606_802),
    ("sam2.1-hiera-l", "facebook/sam2.1-hiera-large", "092824/sam2.1_hiera_large.pt",
     "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", 898_083_611),
)  # fmt: skip


def _masker(
    name: str,
    family: str,
    files: tuple[WeightFile, ...],
    licence: tuple[str, str],
    *,
    repo: str = "",
    size: int = 1024,
    stride: int = 16,
    gated: bool = False,
    kind: str = "masker",
    notes: str = "",
) -> Record:
    pixels = HALF_PIXELS if family == "sam3" else IMAGENET_PIXELS
    return Record(
        name=name,
        family=family,
        kind=kind,
        files=files,
        licence=licence[0],
        licence_url=licence[1],
        preprocessing=replace(pixels, size=size),
        activation="gelu",
        embed_dim=256,
        stride=stride,
        repo=repo,
        gated=gated,
        notes=notes,
    )


def _both_ways() -> list[Record]:
    out = []
    for family, folder, licence, models in (
        ("sam", "segment_anything", _SAM, _SAM_MODELS),
        ("sam2", "segment_anything_2", _SAM2, _SAM2_MODELS),
    ):
        for name, repo, path, sha256, size in models:
            url, file = f"{_META}/{folder}/{path}", path.rpartition("/")[2]
            own = (WeightFile(file, sha256, size, url=url),)
            out.append(_masker(name, family, own, licence))
            out.append(_masker(f"{name}.hf", family, _BY_TRANSFORMERS, licence, repo=repo))
    return out


MASKERS = [
    *_both_ways(),
    _masker(
        "edgetam",
        "edgetam",
        _BY_TRANSFORMERS,
        _EDGETAM,
        repo="yonigozlan/EdgeTAM-hf",
        notes="Meta's weights, as the authors of transformers' EdgeTAM converted them",
    ),
    _masker(
        "sam3",
        "sam3",
        _BY_TRANSFORMERS,
        _SAM3,
        repo="facebook/sam3",
        size=1008,
        stride=14,
        gated=True,
        kind="detector",
        notes="finds words and draws what it found: the method sam3; points as a mask model",
    ),
]
