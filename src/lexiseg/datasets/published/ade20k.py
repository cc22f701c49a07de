"""ADE20K, the 150 classes of the scene parsing challenge (Zhou et al., CVPR 2017).

ADEChallengeData2016/images/{training,validation}/*.jpg
ADEChallengeData2016/annotations/{training,validation}/*.png       0 does not count, 1 to 150
"""

from __future__ import annotations

from pathlib import Path

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import pair, require
from lexiseg.datasets.semantic import SemanticDataset

__all__ = ["CLASSES", "DATASETS"]

CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing",
    "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand", "sink",
    "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case",
    "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind",
    "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth",
    "television receiver", "airplane", "dirt track", "apparel", "pole", "land", "bannister",
    "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain",
    "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel", "basket",
    "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen",
    "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan",
    "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass",
    "clock", "flag",
)  # fmt: skip

_VALUES = (255, *range(150), *(-1,) * (255 - 151), 255)
_FOLDERS = {"val": "validation", "train": "training"}
_TITLE = "ADE20K, 150 classes of things and stuff"


def _open(root: Path, split: str) -> SemanticDataset:
    folder = _FOLDERS[split]
    samples = pair(
        f"ade20k/{split}",
        require(root, "ade20k", f"images/{folder}"),
        require(root, "ade20k", f"annotations/{folder}"),
        lambda path: MaskFile(path, CLASSES, 255, _VALUES),
    )
    return SemanticDataset("ade20k", _TITLE, split, CLASSES, None, 255, samples)


DATASETS = (
    DatasetInfo(
        "ade20k", _TITLE, "semantic", ("ADEChallengeData2016", "ade/ADEChallengeData2016"),
        tuple(f"annotations/{folder}" for folder in _FOLDERS.values()),
        tuple(
            Split(split, count, (Part("photos", (f"images/{_FOLDERS[split]}",)),
                                 Part("class masks", (f"annotations/{_FOLDERS[split]}",))))
            for split, count in (("val", 2000), ("train", 20210))
        ),
        _open, "https://groups.csail.mit.edu/vision/datasets/ADE20K/",
        "photos: for research and teaching, not commercial; annotations: BSD-3-Clause", "0.9 GB",
        (
            "wget http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            "unzip ADEChallengeData2016.zip",
        ),
        vocabulary="ade20k", primary=True,
    ),
)  # fmt: skip
