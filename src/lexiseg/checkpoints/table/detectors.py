"""Words to masks or boxes in one network: CLIPSeg, GroundingDINO, OWLv2.

CLIPSeg: Lüddecke and Ecker 2022, arXiv 2112.10003. GroundingDINO: Liu et al. 2023, arXiv
2303.05499. OWLv2: Minderer et al. 2023, arXiv 2306.09683.
"""

from __future__ import annotations

from dataclasses import replace

from lexiseg.checkpoints.records import CLIP_PIXELS, IMAGENET_PIXELS, Record, WeightFile

__all__ = ["DETECTORS"]

_CLIPSEG_NOTES = (
    "the authors' repository says that its MIT licence does not cover its weights; the card of "
    "these says Apache-2.0. Blocks are those of the repository's configuration; the authors' "
    "training files name 3, 7, 9"
)

# name, repository, D, pixels a cell, trained size
_OWL = (
    ("owlv2-b16", "google/owlv2-base-patch16-ensemble", 512, 16, 960),
    ("owlv2-l14", "google/owlv2-large-patch14-ensemble", 768, 14, 1008),
)


def _files(*more: str) -> tuple[WeightFile, ...]:
    return tuple(map(WeightFile, ("model.safetensors", "config.json", *more)))


DETECTORS = [
    *(
        Record(
            name=f"clipseg-{name}",
            family="clipseg",
            kind="method",
            files=_files(),
            licence="Apache-2.0",
            licence_url=f"https://huggingface.co/CIDAS/clipseg-{name}",
            # ImageNet's mean and std, not CLIP's.
            preprocessing=replace(IMAGENET_PIXELS, size=352),
            activation="quick-gelu",
            embed_dim=512,
            stride=16,
            repo=f"CIDAS/clipseg-{name}",
            layers=(3, 6, 9),
            notes=_CLIPSEG_NOTES,
        )
        for name in ("rd16", "rd64", "rd64-refined")
    ),
    *(
        Record(
            name=f"grounding-dino-{short}",
            family="grounding",
            kind="detector",
            files=_files("tokenizer.json"),
            licence="Apache-2.0",
            licence_url=f"https://huggingface.co/IDEA-Research/grounding-dino-{size}",
            preprocessing=replace(IMAGENET_PIXELS, size=800),
            activation="relu",
            embed_dim=256,
            stride=8,
            repo=f"IDEA-Research/grounding-dino-{size}",
            notes="the activation is that of its transformer; its backbone, a Swin, has GELU",
        )
        for short, size in (("t", "tiny"), ("b", "base"))
    ),
    *(
        Record(
            name=name,
            family="grounding",
            kind="detector",
            files=_files(),
            licence="Apache-2.0",
            licence_url=f"https://huggingface.co/{repo}",
            preprocessing=replace(CLIP_PIXELS, size=size, resample="bilinear"),
            activation="quick-gelu",
            embed_dim=dim,
            stride=stride,
            repo=repo,
        )
        for name, repo, dim, stride, size in _OWL
    ),
]
