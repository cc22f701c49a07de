"""COCO-20i (Nguyen and Todorovic, ICCV 2019): COCO's 80 classes in four folds of twenty.

    COCO2014/{train2014,val2014}/*.jpg
    COCO2014/annotations/{train2014,val2014}/*.png           classes from 1 to 80, as HSNet shares
    COCO2014/splits/coco/val/fold<0..3>.pkl                  HSNet's: class -> photos
    COCO2014/lists/coco/val_data_list.txt                    PFENet's: photo and mask, a line each

Two ways to make the folds are in use. `coco20i` has interleaved ones (classes f, f + 4, f + 8, ...)
and HSNet's episodes, `coco20i-pfenet` the same folds and PFENet's episodes, and
`coco20i-contiguous` folds of consecutive classes and PFENet's episodes, which is its default.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.episodes import fold_classes, hsnet_coco_episodes
from lexiseg.datasets.fewshot import FewShotDataset, draw_pfenet
from lexiseg.datasets.layout import read_plain_pickle, require
from lexiseg.datasets.published.coco import LICENCE, THINGS
from lexiseg.datasets.semantic import Sample
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

# As HSNet and PFENet read them, 255 would be a pixel that does not count; HSNet's masks have none.
_VALUES = (*range(81), *(-1,) * (255 - 81), 255)
_TITLES = {
    "coco20i": "COCO-20i, interleaved folds of twenty classes, HSNet's 1,000 episodes a fold",
    "coco20i-contiguous": "COCO-20i, contiguous folds, PFENet's 20,000 episodes a fold",
    "coco20i-pfenet": "COCO-20i, interleaved folds, PFENet's 20,000 episodes a fold",
}
_PFENET_LISTS = ("lists/coco/val_data_list.txt", "PFENet/lists/coco/val_data_list.txt")


def _hsnet_lists(split: str) -> tuple[str, ...]:
    folders = ("splits/coco/val", "hsnet/data/splits/coco/val")
    return tuple(f"{folder}/{split}.pkl" for folder in folders)


def _open_hsnet(root: Path, split: str) -> FewShotDataset:
    listed = require(root, "coco20i", *_hsnet_lists(split))
    masks = require(root, "coco20i", "annotations")
    class_ids = fold_classes(int(split.removeprefix("fold")), 80, interleaved=True)
    content = read_plain_pickle(listed)
    try:
        by_class = {class_id: [str(one) for one in content[class_id]] for class_id in class_ids}
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{listed} has no photos of the class {error}; take the list of this fold"
        ) from error
    names = dict.fromkeys(name for own in by_class.values() for name in own)
    pairs = [(root / one, masks / PurePosixPath(one).with_suffix(".png")) for one in names]
    samples = _samples("coco20i", split, root, pairs)
    ids = {c: [name.removesuffix(".jpg") for name in own] for c, own in by_class.items()}
    return FewShotDataset(
        "coco20i", _TITLES["coco20i"], split, "hsnet", THINGS, class_ids, samples,
        partial(hsnet_coco_episodes, ids, class_ids),
    )  # fmt: skip


def _open_pfenet(root: Path, split: str, *, name: str) -> FewShotDataset:
    listed = require(root, name, *_PFENET_LISTS)
    fold = int(split.removeprefix("fold"))
    class_ids = fold_classes(fold, 80, interleaved=name == "coco20i-pfenet")
    text = listed.read_text(encoding="utf-8")
    lines = [line.split() for line in text.split("\n") if line.strip()]
    if not lines or any(len(words) != 2 for words in lines):
        raise InputError(f"{listed} is no list of photo and mask, a line each; take the published")
    samples = _samples(name, split, root, [(root / photo, root / mask) for photo, mask in lines])
    return FewShotDataset(
        name, _TITLES[name], split, "pfenet", THINGS, class_ids, samples,
        partial(draw_pfenet, tuple(samples.values()), class_ids, count=20000),
    )  # fmt: skip


def _samples(
    name: str, split: str, root: Path, pairs: list[tuple[Path, Path]]
) -> dict[str, Sample]:
    """Return the samples by the photo's path below the root, without its end."""
    missing = [path for pair in pairs for path in pair if not path.is_file()]
    if missing:
        raise InputError(
            f"{name}/{split}: {len(missing)} files are missing, {missing[0]} first; download them: "
            f"lexiseg datasets how {name}"
        )
    classes = ("background", *THINGS)
    samples = {}
    for photo, mask in pairs:
        one = photo.relative_to(root).with_suffix("").as_posix()
        samples[one] = Sample(one, photo, MaskFile(mask, classes, 255, _VALUES))
    return samples


def _info(name: str) -> DatasetInfo:
    hsnet = name == "coco20i"
    splits = tuple(
        Split(split, 1000 if hsnet else 20000, (
            Part("photos", ("val2014",)),
            Part("class masks", ("annotations/val2014", "annotations")),
            Part("list of episodes", _hsnet_lists(split) if hsnet else _PFENET_LISTS),
        ))
        for split in ("fold0", "fold1", "fold2", "fold3")
    )  # fmt: skip
    repository = "juhongm999/hsnet" if hsnet else "dvlab-research/PFENet"
    copied = "hsnet/data/splits" if hsnet else "PFENet/lists"
    return DatasetInfo(
        name, _TITLES[name], "few-shot", ("COCO2014", "MSCOCO2014"),
        ("splits/coco", "lists/coco", "hsnet", "PFENet", "val2014"), splits,
        _open_hsnet if hsnet else partial(_open_pfenet, name=name),
        f"https://github.com/{repository}", LICENCE, "6.3 GB, and masks from HSNet's page",
        (
            "wget http://images.cocodataset.org/zips/val2014.zip",
            "mkdir -p COCO2014 && unzip val2014.zip -d COCO2014",
            f"git clone https://github.com/{repository}",
            f"cp -r {copied} COCO2014/",
        ),
        notes="The masks, annotations/val2014, are on Google Drive: HSNet's README has the link.",
    )  # fmt: skip


DATASETS = tuple(_info(name) for name in _TITLES)
