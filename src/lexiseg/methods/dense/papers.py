"""The papers' settings: one preset each, and what it changes for each data set.

From the configurations of the official code, for ViT-B/16: SCLIP (github.com/wangf3014/SCLIP),
NACLIP (github.com/sinahmr/NACLIP), ClearCLIP (github.com/mc-lan/ClearCLIP), ResCLIP
(github.com/yvhangyang/ResCLIP). The class names that go with them are the vocabularies "@voc21",
"@voc21.clearclip" (``lexiseg.prompts``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["DATA_SETS", "PAPERS"]

_SHARED: dict[str, Any] = {
    "short_side": 336, "window": 224, "stride": 112, "logit_scale": 40.0,
    "templates": "imagenet-80", "refine": "none",
}  # fmt: skip

PAPERS: dict[str, dict[str, Any]] = {
    "maskclip": {**_SHARED, "readout": "maskclip"},
    "sclip": {**_SHARED, "readout": "sclip"},
    "naclip": {**_SHARED, "readout": "naclip", "refine": "pamr"},
    "clearclip": {
        **_SHARED, "readout": "clearclip", "short_side": 448, "window": 448, "stride": 224,
        "logit_scale": 50.0, "ragged": "pad",
    },
}  # fmt: skip

# NACLIP looks at VOC's pictures without windows.
_WHOLE = {"window": 8192, "stride": 8192}


# Preset -> data set -> what differs from the preset: `preset="sclip@voc21"`.
DATA_SETS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "sclip": {
        "voc21": {"logit_scale": 65.0, "threshold": 0.1, "area_threshold": 0.1},
        "voc20": {},
        "context60": {"logit_scale": 50.0, "threshold": 0.1},
        "context59": {},
        "coco-object": {"logit_scale": 50.0, "threshold": 0.1},
        "coco-stuff164k": {"short_side": 448},
        "cityscapes": {"short_side": 560},
        "ade20k": {},
    },
    "naclip": {
        "voc21": {**_WHOLE, "threshold": 0.1},
        "voc20": {**_WHOLE},
        "context60": {"threshold": 0.1},
        "context59": {},
        "coco-object": {"threshold": 0.1},
        "coco-stuff164k": {},
        "cityscapes": {"short_side": 560},
        "ade20k": {},
    },
    "clearclip": {
        "voc21": {"threshold": 0.5},
        "voc20": {},
        "context60": {"threshold": 0.15},
        "context59": {},
        "coco-object": {"threshold": 0.4},
        "coco-stuff164k": {},
        "cityscapes": {"window": 224},
        "ade20k": {},
    },
}
