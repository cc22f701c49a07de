"""Pascal Context (Mottaghi et al., CVPR 2014) in the layout of mmsegmentation, which papers use.

    VOCdevkit/VOC2010/JPEGImages/*.jpg
    VOCdevkit/VOC2010/SegmentationClassContext/*.png         0 is the background, 1 to 59 classes
    VOCdevkit/VOC2010/ImageSets/SegmentationContext/<split>.txt

What is published are 459 classes in a JSON file; mmsegmentation's converter makes these masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import pair, read_list, require
from lexiseg.datasets.semantic import SemanticDataset

__all__ = ["CLASSES", "DATASETS"]

CLASSES = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "potted plant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "table", "track", "train", "tree", "truck", "tv monitor", "wall", "water", "window", "wood",
)  # fmt: skip

_MASKS = "SegmentationClassContext"
_WITH_BACKGROUND = (*range(60), *(-1,) * (255 - 60), 255)
_WITHOUT = (255, *range(59), *(-1,) * (255 - 60), 255)  # mmsegmentation's reduce_zero_label


def _open(root: Path, split: str, *, name: str) -> SemanticDataset:
    with_background = name == "context60"
    classes = ("background", *CLASSES) if with_background else CLASSES
    values = _WITH_BACKGROUND if with_background else _WITHOUT
    samples = pair(
        f"{name}/{split}",
        require(root, name, "JPEGImages"),
        require(root, name, _MASKS),
        lambda path: MaskFile(path, classes, 255, values),
        ids=read_list(require(root, name, _list(split))),
    )
    background = 0 if with_background else None
    return SemanticDataset(name, _TITLES[name], split, classes, background, 255, samples)


def _list(split: str) -> str:
    return f"ImageSets/SegmentationContext/{split}.txt"


_TITLES = {
    "context59": "Pascal Context, 59 classes; the background does not count",
    "context60": "Pascal Context, 59 classes and background",
}

DATASETS = tuple(
    DatasetInfo(
        name, title, "semantic", ("VOCdevkit/VOC2010", "VOC2010"),
        ("ImageSets/SegmentationContext", _MASKS),
        tuple(
            Split(split, count, (Part("photos", ("JPEGImages",)), Part("class masks", (_MASKS,)),
                                 Part("list of the split", (_list(split),))))
            for split, count in (("val", 5104), ("train", 4996))
        ),
        partial(_open, name=name), "https://cs.stanford.edu/~roozbeh/pascal-context/",
        "photos: Flickr's terms, for research; annotations: no licence given", "1.3 GB",
        (
            "wget http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
            "tar -xf VOCtrainval_03-May-2010.tar",
            "wget https://codalabuser.blob.core.windows.net/public/trainval_merged.json",
            "pip install git+https://github.com/zhanghang1989/detail-api.git#subdirectory=PythonAPI",
            "git clone https://github.com/open-mmlab/mmsegmentation",
            "python mmsegmentation/tools/dataset_converters/pascal_context.py VOCdevkit "
            "trainval_merged.json",
        ),
        vocabulary=name, primary=name == "context60",
    )
    for name, title in sorted(_TITLES.items())
)  # fmt: skip
