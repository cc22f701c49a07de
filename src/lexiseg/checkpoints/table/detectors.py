"""Words to masks or boxes in one network: CLIPSeg, GroundingDINO, OWLv2.

CLIPSeg: Lüddecke and Ecker 2022, arXiv 2112.10003. GroundingDINO: Liu et al. 2023, arXiv
2303.05499. OWLv2: Minderer et al. 2023, arXiv 2306.09683.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lexiseg.checkpoints.records import CLIP_PIXELS, IMAGENET_PIXELS
from lexiseg.checkpoints.table._row import row

__all__ = ["DETECTORS"]

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
