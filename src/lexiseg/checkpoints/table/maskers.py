"""Masks of points and boxes: SAM, SAM 2, SAM 2.1, EdgeTAM; of words: SAM 3.

SAM: Kirillov et al. 2023, arXiv 2304.02643. SAM 2: Ravi et al. 2024, arXiv 2408.00714. EdgeTAM:
Zhou et al. 2025, arXiv 2501.07256. SAM 3: Carion et al. 2025, arXiv 2511.16719.

The plain names are Meta's own files, whose addresses stand in their repositories
(facebookresearch/segment-anything, facebookresearch/sam2); the digests are those that public
projects independently hold them against. ``.hf`` are the same weights as transformers saves them.
"""

from __future__ import annotations

from functools import partial

from lexiseg.checkpoints.records import HALF_PIXELS, IMAGENET_PIXELS, Record, WeightFile
from lexiseg.checkpoints.table._row import row

__all__ = ["MASKERS"]

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
