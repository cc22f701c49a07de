"""Pascal-5i (Shaban et al., BMVC 2017): VOC's classes in four folds of five, for few-shot learning.

    VOCdevkit/VOC2012/JPEGImages/*.jpg
    VOCdevkit/VOC2012/SegmentationClassAug/*.png
    VOCdevkit/VOC2012/splits/pascal/val/fold<0..3>.txt       HSNet's lists: <photo>__<class from 1>
    VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt         for PFENet's episodes

`pascal5i` has HSNet's episodes, `pascal5i-pfenet` PFENet's; see ``lexiseg.datasets.episodes``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.episodes import fold_classes, hsnet_pascal_episodes
from lexiseg.datasets.fewshot import FewShotDataset, draw_pfenet
from lexiseg.datasets.layout import pair, read_list, require
from lexiseg.datasets.published import voc
from lexiseg.datasets.semantic import Sample
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

_MASKS = "SegmentationClassAug"
_PFENET_LISTS = ("lists/pascal/val.txt", "ImageSets/Segmentation/val.txt")


def _hsnet_lists(split: str) -> tuple[str, ...]:
    folders = ("splits/pascal/val", "hsnet/data/splits/pascal/val")
    return tuple(f"{folder}/{split}.txt" for folder in folders)


def _open_hsnet(root: Path, split: str) -> FewShotDataset:
    listed = require(root, "pascal5i", *_hsnet_lists(split))
    class_ids = fold_classes(int(split.removeprefix("fold")), 20, interleaved=False)
    entries = [_entry(listed, line, class_ids) for line in read_list(listed)]
    samples = _samples(root, "pascal5i", split, list(dict.fromkeys(name for name, _ in entries)))
    return FewShotDataset(
        "pascal5i", _TITLES["pascal5i"], split, "hsnet", voc.CLASSES, class_ids, samples,
        partial(hsnet_pascal_episodes, entries),
    )  # fmt: skip


def _entry(path: Path, line: str, class_ids: tuple[int, ...]) -> tuple[str, int]:
    name, _, number = line.partition("__")
    if not number.isdecimal() or int(number) - 1 not in class_ids:
        raise InputError(
            f"{path} has the line {line!r}; lines of this fold are PHOTO__CLASS, with a class from "
            f"{class_ids[0] + 1:02} to {class_ids[-1] + 1:02}"
        )
    return name, int(number) - 1


def _open_pfenet(root: Path, split: str) -> FewShotDataset:
    name = "pascal5i-pfenet"
    class_ids = fold_classes(int(split.removeprefix("fold")), 20, interleaved=False)
    samples = _samples(root, name, split, read_list(require(root, name, *_PFENET_LISTS)))
    return FewShotDataset(
        name, _TITLES[name], split, "pfenet", voc.CLASSES, class_ids, samples,
        partial(draw_pfenet, tuple(samples.values()), class_ids, count=5000),
    )  # fmt: skip


def _samples(root: Path, name: str, split: str, ids: list[str]) -> dict[str, Sample]:
    classes = ("background", *voc.CLASSES)
    found = pair(
        f"{name}/{split}",
        require(root, name, "JPEGImages"),
        require(root, name, _MASKS),
        lambda path: MaskFile(path, classes, 255, voc.VALUES),
        ids=ids,
    )
    return {sample.id: sample for sample in found}


_TITLES = {
    "pascal5i": "Pascal-5i, four folds of five classes, HSNet's 1,000 episodes a fold",
    "pascal5i-pfenet": "Pascal-5i, four folds of five classes, PFENet's 5,000 episodes a fold",
}
_GET_AUG = (
    "git clone https://github.com/open-mmlab/mmsegmentation",
    "python mmsegmentation/tools/dataset_converters/voc_aug.py VOCdevkit benchmark_RELEASE",
)


def _info(name: str) -> DatasetInfo:
    hsnet = name == "pascal5i"
    splits = tuple(
        Split(split, 1000 if hsnet else 5000, (
            Part("photos", ("JPEGImages",)), Part("class masks", (_MASKS,)),
            Part("list of episodes", _hsnet_lists(split) if hsnet else _PFENET_LISTS),
        ))
        for split in ("fold0", "fold1", "fold2", "fold3")
    )  # fmt: skip
    get_lists = (
        "git clone https://github.com/juhongm999/hsnet",
        "cp -r hsnet/data/splits VOCdevkit/VOC2012/",
    )
    return DatasetInfo(
        name, _TITLES[name], "few-shot", ("VOCdevkit/VOC2012", "VOC2012"),
        (_MASKS,), splits, _open_hsnet if hsnet else _open_pfenet,
        "https://github.com/juhongm999/hsnet" if hsnet else
        "https://github.com/dvlab-research/PFENet",
        "photos: Flickr's terms, for research; annotations and lists: no licence given",
        "2.0 GB and 1.4 GB", (*voc.GET, *_GET_AUG, *(get_lists if hsnet else ())),
    )  # fmt: skip


DATASETS = tuple(_info(name) for name in _TITLES)
