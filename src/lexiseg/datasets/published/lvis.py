"""LVIS v1 (Gupta et al., CVPR 2019): instances of 1,203 classes on COCO's photos of 2017.

    lvis_v1_<split>.json, or annotations/lvis_v1_<split>.json
    {train2017,val2017}/*.jpg, or images/{train2017,val2017}/*.jpg

Not every class was looked for on every photo: a sample tells which were, and were not there.
"""

from __future__ import annotations

from pathlib import Path

from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.instances import InstanceDataset, read_coco
from lexiseg.datasets.layout import require
from lexiseg.datasets.published import coco

__all__ = ["DATASETS"]

_TITLE = "LVIS v1, instances of 1,203 classes"


def _files(split: str) -> tuple[str, ...]:
    # minival: the photos of the split that are in COCO's val2017, as detectors report.
    return (f"lvis_v1_{split}.json", f"annotations/lvis_v1_{split}.json")


def _open(root: Path, split: str) -> InstanceDataset:
    listed = require(root, "lvis", *_files(split))
    folder = require(root, "lvis", "images/val2017", "val2017", "images/train2017", "train2017")
    return read_coco(listed, folder.parent, name="lvis", title=_TITLE, split=split)


DATASETS = (
    DatasetInfo(
        "lvis", _TITLE, "instances", ("lvis", "coco"),
        tuple(name for split in ("val", "train", "minival") for name in _files(split)),
        tuple(
            Split(s, n, (Part("instances", _files(s)),
                         Part("photos", ("images/val2017", "val2017", "images/train2017",
                                         "train2017"))))
            for s, n in (("val", 19809), ("train", 100170), ("minival", 4809))
        ),
        _open, "https://www.lvisdataset.org", "annotations: CC BY 4.0; photos: Flickr's terms",
        "19 GB (its val needs train2017 too) and 0.1 GB",
        (
            "wget https://dl.fbaipublicfiles.com/LVIS/lvis_v1_val.json.zip",
            "unzip lvis_v1_val.json.zip",
            *coco.GET_PHOTOS,
            "wget http://images.cocodataset.org/zips/train2017.zip",
            "unzip train2017.zip",
        ),
        primary=True,
    ),
)  # fmt: skip
