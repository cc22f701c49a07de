"""Cityscapes (Cordts et al., CVPR 2016), the 19 classes that are evaluated.

leftImg8bit/<split>/<city>/*_leftImg8bit.png
gtFine/<split>/<city>/*_gtFine_labelIds.png           as published: 34 numbers, 15 of them void
gtFine/<split>/<city>/*_gtFine_labelTrainIds.png      as cityscapesscripts converts: 0 to 18, 255
"""

from __future__ import annotations

from pathlib import Path

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import pair, require
from lexiseg.datasets.semantic import SemanticDataset
from lexiseg.errors import InputError

__all__ = ["CLASSES", "DATASETS"]

CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip

# The published number of each class, in order; all other numbers up to 33 are void.
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_PUBLISHED = tuple(_IDS.index(i) if i in _IDS else 255 for i in range(34))
_CONVERTED = (*range(19), *(-1,) * (255 - 19), 255)
_TITLE = "Cityscapes, streets from a car, 19 classes"


def _open(root: Path, split: str) -> SemanticDataset:
    photos = require(root, "cityscapes", f"leftImg8bit/{split}")
    masks = require(root, "cityscapes", f"gtFine/{split}")
    kinds = {"_gtFine_labelTrainIds.png": _CONVERTED, "_gtFine_labelIds.png": _PUBLISHED}
    suffix = next((kind for kind in kinds if any(masks.glob(f"*/*{kind}"))), None)
    if suffix is None:
        raise InputError(
            f"cityscapes/{split} has no masks *_gtFine_labelIds.png in {masks}; unpack "
            "gtFine_trainvaltest.zip"
        )
    samples = pair(
        f"cityscapes/{split}",
        photos,
        masks,
        lambda path: MaskFile(path, CLASSES, 255, kinds[suffix]),
        photo_suffix="_leftImg8bit.png",
        mask_suffix=suffix,
    )
    return SemanticDataset("cityscapes", _TITLE, split, CLASSES, None, 255, samples)


DATASETS = (
    DatasetInfo(
        "cityscapes", _TITLE, "semantic", ("cityscapes",), ("gtFine", "leftImg8bit"),
        tuple(
            Split(split, count, (Part("photos", (f"leftImg8bit/{split}",)),
                                 Part("class masks", (f"gtFine/{split}",))))
            for split, count in (("val", 500), ("train", 2975))
        ),
        _open, "https://www.cityscapes-dataset.com/", "research only, after registration",
        "11 GB and 0.2 GB",
        (
            "pip install cityscapesscripts",
            "csDownload leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip",
            "unzip -o leftImg8bit_trainvaltest.zip",
            "unzip -o gtFine_trainvaltest.zip",
        ),
        vocabulary="cityscapes", primary=True,
    ),
)  # fmt: skip
