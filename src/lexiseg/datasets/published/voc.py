"""Pascal VOC 2012 (Everingham et al.), and the masks that SBD adds (Hariharan et al., ICCV 2011).

VOCdevkit/VOC2012/JPEGImages/*.jpg
VOCdevkit/VOC2012/SegmentationClass/*.png            palette, 255 is the outline
VOCdevkit/VOC2012/SegmentationClassAug/*.png         SBD's masks as one channel, as papers share
VOCdevkit/VOC2012/ImageSets/Segmentation/<split>.txt
benchmark_RELEASE/dataset/{img/*.jpg, cls/*.mat, train.txt, val.txt}       SBD as published
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lexiseg.datasets.annotations import Labels, MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import pair, read_list, require
from lexiseg.datasets.semantic import SemanticDataset
from lexiseg.errors import ExtraMissing, InputError

__all__ = ["CLASSES", "DATASETS", "GET", "VALUES", "MatMask"]

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train",
    "tv monitor",
)  # fmt: skip

_LEFT_OUT = (-1,) * (255 - 21)
VALUES = (*range(21), *_LEFT_OUT, 255)  # with the background as class 0
_WITHOUT_BACKGROUND = (255, *range(20), *_LEFT_OUT, 255)  # mmsegmentation's reduce_zero_label


@dataclass(frozen=True)
class MatMask:
    """A class mask in a MATLAB file; key: the names of the array within nested structures."""

    path: Path
    key: tuple[str, ...]
    mask: MaskFile

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Read the mask, (H, W); see ``MaskFile.labels``. ExtraMissing without SciPy."""
        try:
            from scipy.io import loadmat
        except ImportError as error:
            raise ExtraMissing(
                f"{self.path.name} is a MATLAB file, and SciPy, which reads it, is not installed; "
                "pip install 'lexiseg[mat]'"
            ) from error
        try:
            value = loadmat(self.path)[self.key[0]]
            for name in self.key[1:]:
                value = value[name].item()
            pixels = np.asarray(value).astype(np.int32)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{self.path} holds no {'.'.join(self.key)} ({error}); take the published file"
            ) from error
        return self.mask.indices(pixels, size_hw)


def _open(
    root: Path,
    split: str,
    name: str,
    folder: str,
    classes: tuple[str, ...],
    values: tuple[int, ...],
) -> SemanticDataset:
    listed = require(root, name, *_lists(split))
    photos, masks = require(root, name, "JPEGImages"), require(root, name, folder)
    samples = pair(
        f"{name}/{split}",
        photos,
        masks,
        lambda path: MaskFile(path, classes, 255, values),
        ids=read_list(listed),
    )
    background = 0 if values is VALUES else None
    return SemanticDataset(name, _TITLES[name], split, classes, background, 255, samples)


def _open_voc21(root: Path, split: str) -> SemanticDataset:
    return _open(root, split, "voc21", "SegmentationClass", ("background", *CLASSES), VALUES)


def _open_unseen(root: Path, split: str, *, name: str) -> SemanticDataset:
    """Zero-shot: the classes that are new, and the others with the background, as JoEm has them."""
    found = _open_voc21(root, split)
    novel = tuple(i for i, known in enumerate(found.classes) if known in UNSEEN[name])
    base = tuple(i for i in range(len(found.classes)) if i not in novel)
    groups = {"base": base, "novel": novel}
    return replace(found, name=name, title=_TITLES[name], groups=groups)


def _open_voc20(root: Path, split: str) -> SemanticDataset:
    return _open(root, split, "voc20", "SegmentationClass", CLASSES, _WITHOUT_BACKGROUND)


def _open_aug(root: Path, split: str) -> SemanticDataset:
    return _open(root, split, "voc21-aug", "SegmentationClassAug", ("background", *CLASSES), VALUES)


def _open_sbd(root: Path, split: str) -> SemanticDataset:
    classes = ("background", *CLASSES)
    samples = pair(
        f"sbd/{split}",
        require(root, "sbd", "img"),
        require(root, "sbd", "cls"),
        lambda path: MatMask(path, ("GTcls", "Segmentation"), MaskFile(path, classes, 255, VALUES)),
        ids=read_list(require(root, "sbd", f"{split}.txt")),
        mask_suffix=".mat",
    )
    return SemanticDataset("sbd", _TITLES["sbd"], split, classes, 0, 255, samples)


def _lists(split: str) -> tuple[str, ...]:
    # The list of SBD's photos has several names: mmsegmentation's, DeepLab's.
    names = ("trainaug", "train_aug") if split == "trainaug" else (split,)
    return tuple(f"ImageSets/Segmentation/{name}.txt" for name in names)


def _splits(folder: str, **counts: int) -> tuple[Split, ...]:
    return tuple(
        Split(
            name,
            count,
            (
                Part("photos", ("JPEGImages",)),
                Part("class masks", (folder,)),
                Part("list of the split", _lists(name)),
            ),
        )
        for name, count in counts.items()
    )


_FOUR = ("cow", "motorbike", "aeroplane", "sofa")
UNSEEN = {
    "voc21-unseen10": (*_FOUR, "cat", "tv monitor", "train", "bottle", "chair", "potted plant"),
    "voc21-unseen4": _FOUR,
}
_TITLES = {
    "voc21-unseen10": "Pascal VOC 2012 for zero-shot: 10 novel classes, 10 base and background",
    "voc21-unseen4": "Pascal VOC 2012 for zero-shot: 4 novel classes, 16 base and background",
    "sbd": "Semantic Boundaries Dataset: 20 classes and background on 11,355 photos of VOC",
    "voc20": "Pascal VOC 2012, 20 classes; the background does not count",
    "voc21": "Pascal VOC 2012, 20 classes and background",
    "voc21-aug": "Pascal VOC 2012 with SBD's masks, 20 classes and background",
}
_HOME = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_LICENCE = "photos: Flickr's terms, for research; annotations: no licence given"
_FOLDERS = ("VOCdevkit/VOC2012", "VOC2012", "pascal-voc")
_MARKS = ("ImageSets/Segmentation",)
_GET_VOC = (
    "wget http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    "tar -xf VOCtrainval_11-May-2012.tar",
)
_GET_SBD = (
    "wget http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz",
    "tar -xzf benchmark.tgz",
)

GET = (*_GET_VOC, *_GET_SBD)

DATASETS = (
    DatasetInfo(
        "voc21", _TITLES["voc21"], "semantic", _FOLDERS, _MARKS,
        _splits("SegmentationClass", val=1449, train=1464, trainval=2913), _open_voc21,
        _HOME, _LICENCE, "2.0 GB", _GET_VOC, vocabulary="voc21", primary=True,
    ),
    DatasetInfo(
        "voc20", _TITLES["voc20"], "semantic", _FOLDERS, _MARKS,
        _splits("SegmentationClass", val=1449, train=1464, trainval=2913), _open_voc20,
        _HOME, _LICENCE, "2.0 GB", _GET_VOC, vocabulary="voc20",
    ),
    *(
        DatasetInfo(
            name, _TITLES[name], "semantic", _FOLDERS, _MARKS,
            _splits("SegmentationClass", val=1449, train=1464), partial(_open_unseen, name=name),
            _HOME, _LICENCE, "2.0 GB", _GET_VOC, vocabulary="voc21",
        )
        for name in UNSEEN
    ),
    DatasetInfo(
        "voc21-aug", _TITLES["voc21-aug"], "semantic", _FOLDERS, _MARKS,
        _splits("SegmentationClassAug", trainaug=10582, val=1449, train=1464), _open_aug,
        _HOME, _LICENCE, "2.0 GB and 1.4 GB",
        (*_GET_VOC, *_GET_SBD, "git clone https://github.com/open-mmlab/mmsegmentation",
         "python mmsegmentation/tools/dataset_converters/voc_aug.py VOCdevkit benchmark_RELEASE"),
        notes="The masks of trainaug are SBD's, as one channel in SegmentationClassAug.",
        vocabulary="voc21",
    ),
    DatasetInfo(
        "sbd", _TITLES["sbd"], "semantic", ("benchmark_RELEASE/dataset", "dataset"), ("cls",),
        tuple(
            Split(name, count, (Part("photos", ("img",)), Part("class masks", ("cls",)),
                                Part("list of the split", (f"{name}.txt",))))
            for name, count in (("val", 2857), ("train", 8498))
        ),
        _open_sbd, "http://home.bharathh.info/pubs/codes/SBD/download.html", _LICENCE, "1.4 GB",
        _GET_SBD, notes="Its masks are MATLAB files: pip install 'lexiseg[mat]'.",
        vocabulary="voc21",
    ),
)  # fmt: skip
