"""COCO for open vocabularies: base classes to train on, novel ones to be judged on.

The files are COCO's own, see ``coco``. Two splits of the classes are in use:

48/17 (Bansal et al., ECCV 2018; OVR-CNN and most later work): 65 classes, the other 15 of COCO are
left out, and their pixels do not count.
65/15 (Rahman et al., AAAI 2020): all 80 classes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.instances import InstanceDataset
from lexiseg.datasets.published import coco
from lexiseg.datasets.semantic import SemanticDataset

__all__ = ["DATASETS", "NOVEL_15", "NOVEL_17"]

_BASE_48 = (
    "person", "bicycle", "car", "motorcycle", "train", "truck", "boat", "bench", "bird", "horse",
    "sheep", "bear", "zebra", "giraffe", "backpack", "handbag", "suitcase", "frisbee", "skis",
    "kite", "surfboard", "bottle", "fork", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "pizza", "donut", "chair", "bed", "toilet", "tv", "laptop", "mouse",
    "remote", "microwave", "oven", "toaster", "refrigerator", "book", "clock", "vase", "toothbrush",
)  # fmt: skip
NOVEL_17 = (
    "airplane", "bus", "cat", "dog", "cow", "elephant", "umbrella", "tie", "snowboard",
    "skateboard", "cup", "knife", "cake", "couch", "keyboard", "sink", "scissors",
)  # fmt: skip
NOVEL_15 = (
    "airplane", "train", "parking meter", "cat", "bear", "suitcase", "frisbee", "snowboard", "fork",
    "sandwich", "hot dog", "toilet", "mouse", "toaster", "hair drier",
)  # fmt: skip
_SPLITS = {
    "coco-open-48-17": (_BASE_48, NOVEL_17),
    "coco-open-65-15": (tuple(name for name in coco.THINGS if name not in NOVEL_15), NOVEL_15),
}


def _open(root: Path, split: str, *, name: str) -> SemanticDataset:
    found: InstanceDataset = coco.open_instances(root, split)
    base, novel = _SPLITS[name]
    groups = {
        group: tuple(i for i, known in enumerate(found.classes) if known in names)
        for group, names in (("base", base), ("novel", novel))
    }
    used = {i for group in groups.values() for i in group}
    ignored = frozenset(range(len(found.classes))) - used
    title = f"COCO 2017, {len(base)} base and {len(novel)} novel classes, and background"
    return replace(found, name=name, title=title, groups=groups).semantic(ignored)


DATASETS = tuple(
    DatasetInfo(
        name, f"COCO 2017, {len(base)} base and {len(novel)} novel classes, and background",
        "semantic", ("coco", "COCO"),
        tuple(f"annotations/instances_{split}2017.json" for split in coco.COUNTS),
        tuple(
            Split(s, n, (Part("photos", coco.photo_folders(s)),
                         Part("instances", (f"annotations/instances_{s}2017.json",))))
            for s, n in coco.COUNTS.items()
        ),
        partial(_open, name=name), coco.HOME, coco.LICENCE, "0.8 GB and 0.2 GB",
        (*coco.GET_PHOTOS, *coco.GET_ANNOTATIONS),
    )
    for name, (base, novel) in _SPLITS.items()
)  # fmt: skip
