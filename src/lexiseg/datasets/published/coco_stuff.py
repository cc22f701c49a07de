"""COCO-Stuff (Caesar et al., CVPR 2018), 164k and 10k, and COCO-Object, which is made of it.

    images/<split>2017/*.jpg, or <split>2017/*.jpg
    stuffthingmaps/<split>2017/*.png, or annotations/<split>2017/*.png        164k as published
    annotations/<split>2017/*_labelTrainIds.png               as mmsegmentation converts: 0 to 170
    annotations/<split>2017/*_instanceTrainIds.png            COCO-Object as papers convert: 0 to 80

    images/*.jpg, annotations/*.mat, imageLists/<split>.txt                   10k as published
    images/<split>2014/*.jpg, annotations/<split>2014/*_labelTrainIds.png     converted: 0 to 171

Published numbers run to 182, eleven of which nothing has; a pixel of 164k holds the number less 1
and 255 where nothing is labelled, one of 10k the number itself and 0.
"""

from __future__ import annotations

from pathlib import Path

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import pair, read_list, require
from lexiseg.datasets.published.coco import GET_PHOTOS, LICENCE, THINGS, photo_folders
from lexiseg.datasets.published.voc import MatMask
from lexiseg.datasets.semantic import SemanticDataset
from lexiseg.errors import InputError

__all__ = ["CLASSES", "DATASETS"]

STUFF = (
    "banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage",
    "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter",
    "cupboard", "curtain", "desk-stuff", "dirt", "door-stuff", "fence", "floor-marble",
    "floor-other", "floor-stone", "floor-tile", "floor-wood", "flower", "fog", "food-other",
    "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves",
    "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper",
    "pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing",
    "railroad", "river", "road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf",
    "sky-other", "skyscraper", "snow", "solid-other", "stairs", "stone", "straw",
    "structural-other", "table", "tent", "textile-other", "towel", "tree", "vegetable",
    "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile",
    "wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood",
)  # fmt: skip
CLASSES = (*THINGS, *STUFF)

_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)  # published numbers that no pixel has
_NUMBERS = tuple(number for number in range(1, 183) if number not in _UNUSED)
_INDEX = {number: index for index, number in enumerate(_NUMBERS)}
_NONE = (-1,) * (255 - 182)
_PUBLISHED = (*(_INDEX.get(number, -1) for number in range(1, 183)), *_NONE, 255)
_PUBLISHED_10K = (255, *(_INDEX.get(number, -1) for number in range(1, 183)))
_CONVERTED = (*range(171), *(-1,) * (255 - 171), 255)
_CONVERTED_10K = (255, *range(171))
# Stuff and what is not labelled are background: that every pixel counts is GroupViT's choice.
_OBJECTS_PUBLISHED = (
    *(_INDEX.get(number, -1) + 1 if number <= 90 else 0 for number in range(1, 183)), *_NONE, 0,
)  # fmt: skip
_OBJECTS_CONVERTED = (*range(81), *(-1,) * (255 - 81), 255)

_TITLES = {
    "coco-object": "COCO-Object, 80 classes of things and background, from COCO-Stuff's masks",
    "coco-stuff10k": "COCO-Stuff 10k, 171 classes of things and stuff",
    "coco-stuff164k": "COCO-Stuff 164k, 171 classes of things and stuff",
}
_SPLITS_10K = {"test": "test2014", "train": "train2014"}


def _masks(split: str) -> tuple[str, ...]:
    return (f"stuffthingmaps/{split}2017", f"annotations/{split}2017", f"stuffthingmaps/{split}")


def _open_164k(root: Path, split: str) -> SemanticDataset:
    kinds = {"_labelTrainIds.png": _CONVERTED, ".png": _PUBLISHED}
    return _open_maps(root, split, "coco-stuff164k", CLASSES, None, kinds)


def _open_objects(root: Path, split: str) -> SemanticDataset:
    kinds = {"_instanceTrainIds.png": _OBJECTS_CONVERTED, ".png": _OBJECTS_PUBLISHED}
    return _open_maps(root, split, "coco-object", ("background", *THINGS), 0, kinds)


def _open_maps(
    root: Path,
    split: str,
    name: str,
    classes: tuple[str, ...],
    background: int | None,
    kinds: dict[str, tuple[int, ...]],
) -> SemanticDataset:
    """Open a split of 2017; kinds: ends of mask files, the preferred first, and their values."""
    photos = require(root, name, *photo_folders(split))
    masks = require(root, name, *_masks(split))
    suffix = next((end for end in kinds if any(masks.glob(f"*{end}"))), ".png")
    if suffix == ".png" and _only_converted(masks):
        raise InputError(
            f"{name}/{split}: {masks} holds only masks converted for another set; unpack "
            "stuffthingmaps_trainval2017.zip there"
        )
    samples = pair(
        f"{name}/{split}",
        photos,
        masks,
        lambda path: MaskFile(path, classes, 255, kinds[suffix]),
        mask_suffix=suffix,
        other_suffixes=() if suffix != ".png" else ("TrainIds.png",),
    )
    return SemanticDataset(name, _TITLES[name], split, classes, background, 255, samples)


def _only_converted(masks: Path) -> bool:
    return all(path.stem.endswith("TrainIds") for path in masks.glob("*.png"))


def _open_10k(root: Path, split: str) -> SemanticDataset:
    name, folder = "coco-stuff10k", _SPLITS_10K[split]
    if (root / "imageLists").is_dir() and not (root / "annotations" / folder).is_dir():
        samples = pair(
            f"{name}/{split}",
            require(root, name, "images"),
            require(root, name, "annotations"),
            lambda path: MatMask(path, ("S",), MaskFile(path, CLASSES, 255, _PUBLISHED_10K)),
            ids=read_list(require(root, name, f"imageLists/{split}.txt")),
            mask_suffix=".mat",
        )
    else:
        samples = pair(
            f"{name}/{split}",
            require(root, name, f"images/{folder}"),
            require(root, name, f"annotations/{folder}"),
            lambda path: MaskFile(path, CLASSES, 255, _CONVERTED_10K),
            mask_suffix="_labelTrainIds.png",
        )
    return SemanticDataset(name, _TITLES[name], split, CLASSES, None, 255, samples)


_GET_MAPS = (
    *GET_PHOTOS,
    "wget http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
    "stuffthingmaps_trainval2017.zip",
    "unzip stuffthingmaps_trainval2017.zip -d stuffthingmaps",
)
_HOME = "https://github.com/nightrome/cocostuff"
_MARKS = ("stuffthingmaps", "annotations/val2017", "annotations/train2017")


def _of_2017(name: str, vocabulary: str, *, primary: bool) -> DatasetInfo:
    splits = tuple(
        Split(s, n, (Part("photos", photo_folders(s)), Part("class masks", _masks(s))))
        for s, n in (("val", 5000), ("train", 118287))
    )
    opens = _open_164k if name == "coco-stuff164k" else _open_objects
    return DatasetInfo(
        name, _TITLES[name], "semantic",
        ("coco_stuff164k", "cocostuff", "coco-stuff", "coco"), _MARKS, splits, opens,
        _HOME, LICENCE, "0.8 GB and 0.7 GB", _GET_MAPS, vocabulary=vocabulary, primary=primary,
    )  # fmt: skip


DATASETS = (
    _of_2017("coco-stuff164k", "coco-stuff164k", primary=True),
    _of_2017("coco-object", "coco-object", primary=False),
    DatasetInfo(
        "coco-stuff10k", _TITLES["coco-stuff10k"], "semantic",
        ("coco_stuff10k", "cocostuff-10k-v1.1"), ("imageLists", "annotations/test2014"),
        tuple(
            Split(s, n, (Part("photos", (f"images/{_SPLITS_10K[s]}", "images")),
                         Part("class masks", (f"annotations/{_SPLITS_10K[s]}", "annotations"))))
            for s, n in (("test", 1000), ("train", 9000))
        ),
        _open_10k, "https://github.com/nightrome/cocostuff10k", LICENCE, "2.0 GB",
        (
            "wget http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
            "cocostuff-10k-v1.1.zip",
            "unzip cocostuff-10k-v1.1.zip -d coco_stuff10k",
        ),
        notes="Its masks are MATLAB files: pip install 'lexiseg[mat]'; or convert them with "
              "mmsegmentation's tools/dataset_converters/coco_stuff10k.py.",
        vocabulary="coco-stuff164k", primary=True,
    ),
)  # fmt: skip
