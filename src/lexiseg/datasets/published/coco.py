"""COCO 2017 (Lin et al., ECCV 2014): instances, and panoptic segments (Kirillov et al., CVPR 2019).

annotations/instances_<split>2017.json
annotations/panoptic_<split>2017.json
panoptic_<split>2017/*.png                            a segment's number in three channels
<split>2017/*.jpg, or images/<split>2017/*.jpg
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lexiseg import imaging
from lexiseg.datasets.annotations import Labels
from lexiseg.datasets.card import read_json
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.instances import InstanceDataset, read_coco
from lexiseg.datasets.layout import require
from lexiseg.datasets.semantic import Sample, SemanticDataset
from lexiseg.errors import InputError

__all__ = [
    "DATASETS",
    "GET_PHOTOS",
    "HOME",
    "LICENCE",
    "THINGS",
    "PanopticMask",
    "open_instances",
    "photo_folders",
]

THINGS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

HOME = "https://cocodataset.org"
LICENCE = "annotations: CC BY 4.0; photos: each its own, see Flickr's terms"
GET_PHOTOS = (
    "wget http://images.cocodataset.org/zips/val2017.zip",
    "unzip val2017.zip",
)
GET_ANNOTATIONS = (
    "wget http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    "unzip annotations_trainval2017.zip",
)
COUNTS = {"val": 5000, "train": 118287}
_INSTANCES = "COCO 2017, instances of 80 classes"
_PANOPTIC = "COCO 2017 panoptic, 80 classes of things and 53 of stuff as class masks"


def photo_folders(split: str) -> tuple[str, str]:
    """Return where the photos of a split may lie."""
    return (f"images/{split}2017", f"{split}2017")


@dataclass(frozen=True)
class PanopticMask:
    """The class mask of a photo from its panoptic segments: number = R + 256 G + 65,536 B.

    segments: (number, class index); 0 is no segment, and does not count.
    """

    path: Path
    segments: tuple[tuple[int, int], ...]
    ignore_index: int

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Read the mask, (H, W). Raises InputError where file, size or numbers do not fit."""
        rgb = imaging.read(self.path).rgb.astype(np.int32)
        if rgb.shape[:2] != size_hw:
            raise InputError(
                f"mask {self.path} is {rgb.shape[1]}x{rgb.shape[0]} and its photo "
                f"{size_hw[1]}x{size_hw[0]} (width x height); take the published file again"
            )
        numbers = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
        present, places = np.unique(numbers, return_inverse=True)
        class_of = {0: self.ignore_index, **dict(self.segments)}
        unknown = [int(number) for number in present if int(number) not in class_of]
        if unknown:
            raise InputError(
                f"mask {self.path} holds the segment {unknown[0]}, which its JSON file does not "
                "list; take both from one release"
            )
        table = np.array([class_of[int(number)] for number in present], np.int32)
        labels: Labels = table[places].reshape(size_hw)
        return labels


def open_instances(root: Path, split: str) -> InstanceDataset:
    """Open the instances of a split of COCO 2017."""
    return read_coco(
        require(root, "coco", f"annotations/instances_{split}2017.json"),
        require(root, "coco", *photo_folders(split)),
        name="coco",
        title=_INSTANCES,
        split=split,
    )


def _open_panoptic(root: Path, split: str) -> SemanticDataset:
    name = "coco-panoptic"
    listed = require(root, name, f"annotations/panoptic_{split}2017.json")
    photos = require(root, name, *photo_folders(split))
    masks = require(root, name, f"panoptic_{split}2017", f"annotations/panoptic_{split}2017")
    content = read_json(listed)
    try:
        # In the file's order, which is that of mmdetection and detectron2: things, then stuff.
        index = {int(one["id"]): place for place, one in enumerate(content["categories"])}
        classes = tuple(str(one["name"]) for one in content["categories"])
        samples = []
        for one in content["annotations"]:
            segments = tuple(
                (int(segment["id"]), index[int(segment["category_id"])])
                for segment in one["segments_info"]
            )
            stem = PurePosixPath(one["file_name"]).stem
            mask = PanopticMask(masks / one["file_name"], segments, max(255, len(classes)))
            samples.append(Sample(stem, photos / f"{stem}.jpg", mask))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{listed} is not COCO's panoptic format (at {error!r}); it needs annotations with "
            "segments_info, and categories"
        ) from error
    files = [path for s in samples for path in (s.path, masks / f"{s.id}.png")]
    missing = [path for path in files if not path.is_file()]
    if missing or not samples:
        first = f"; the first is {missing[0]}" if missing else ""
        raise InputError(
            f"{name}/{split}: {len(missing)} files of {len(samples)} photos are missing{first}; "
            f"download them: lexiseg datasets how {name}"
        )
    return SemanticDataset(
        name, _PANOPTIC, split, classes, None, max(255, len(classes)), tuple(samples)
    )


def _parts(split: str, *extra: Part) -> tuple[Part, ...]:
    return (Part("photos", photo_folders(split)), *extra)


DATASETS = (
    DatasetInfo(
        "coco", _INSTANCES, "instances", ("coco", "COCO"),
        tuple(f"annotations/instances_{split}2017.json" for split in COUNTS),
        tuple(
            Split(s, n, _parts(s, Part("instances", (f"annotations/instances_{s}2017.json",))))
            for s, n in COUNTS.items()
        ),
        open_instances, HOME, LICENCE, "0.8 GB and 0.2 GB", (*GET_PHOTOS, *GET_ANNOTATIONS),
        primary=True,
    ),
    DatasetInfo(
        "coco-panoptic", _PANOPTIC, "semantic", ("coco", "COCO"),
        tuple(f"annotations/panoptic_{split}2017.json" for split in COUNTS),
        tuple(
            Split(s, n, _parts(
                s, Part("segments", (f"annotations/panoptic_{s}2017.json",)),
                Part("masks", (f"panoptic_{s}2017", f"annotations/panoptic_{s}2017"))))
            for s, n in COUNTS.items()
        ),
        _open_panoptic, HOME, LICENCE, "0.8 GB and 0.8 GB",
        (
            *GET_PHOTOS,
            "wget http://images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip",
            "unzip panoptic_annotations_trainval2017.zip",
            "unzip annotations/panoptic_val2017.zip",
        ),
    ),
)  # fmt: skip
