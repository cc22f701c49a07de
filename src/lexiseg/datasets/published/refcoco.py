"""RefCOCO, RefCOCO+ (Kazemzadeh et al.; Yu et al., ECCV 2016) and RefCOCOg (Mao et al., CVPR 2016).

    refcoco/refs(unc).p, refcoco/instances.json
    refcoco+/refs(unc).p, refcoco+/instances.json
    refcocog/refs(umd).p, refs(google).p, refcocog/instances.json
    images/mscoco/images/train2014/*.jpg, or images/train2014, or train2014

Every sentence is a phrase of its own, as papers count.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from lexiseg.datasets.card import read_json
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import read_plain_pickle, require
from lexiseg.datasets.phrases import CocoShape, PhraseDataset, PhraseSample
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

# Name -> folder, whose split of the photos, and the parts of it.
_SETS = {
    "refcoco": ("refcoco", "unc", ("val", "testA", "testB", "train")),
    "refcoco+": ("refcoco+", "unc", ("val", "testA", "testB", "train")),
    "refcocog": ("refcocog", "umd", ("val", "test", "train")),
    "refcocog-google": ("refcocog", "google", ("val", "train")),
}
_PHOTOS = ("images/mscoco/images/train2014", "images/train2014", "train2014")


def _open(root: Path, split: str, *, name: str) -> PhraseDataset:
    folder, divided_by, _ = _SETS[name]
    listed = require(root, name, f"{folder}/refs({divided_by}).p")
    instances = require(root, name, f"{folder}/instances.json")
    photos = require(root, name, *_PHOTOS)
    try:
        things = {int(one["id"]): one for one in _field(instances, "annotations")}
        images = {int(one["id"]): one for one in _field(instances, "images")}
        samples = tuple(
            _sample(things[int(ref["ann_id"])], images[int(ref["image_id"])], sentence, photos)
            for ref in read_plain_pickle(listed)
            if _belongs(str(ref["split"]), split)
            for sentence in ref["sentences"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{listed} and {instances.name} do not fit together (at {error!r}); take both from one "
            "release"
        ) from error
    missing = sorted(p.name for p in {sample.path for sample in samples} if not p.is_file())
    if missing or not samples:
        first = f", {missing[0]} first" if missing else ""
        raise InputError(
            f"{name}/{split}: {len(samples)} phrases, {len(missing)} of whose photos are missing "
            f"in {photos}{first}; download them: lexiseg datasets how {name}"
        )
    return PhraseDataset(name, _title(name), split, samples)


def _belongs(of: str, split: str) -> bool:
    """The rule of the official reader: "testAB" is part of testA and of testB."""
    if split in ("testA", "testB"):
        return split[-1] in of
    return "test" in of if split == "test" else of == split


def _sample(
    thing: dict[str, Any], image: dict[str, Any], sentence: dict[str, Any], photos: Path
) -> PhraseSample:
    return PhraseSample(
        str(sentence["sent_id"]),
        str(image["id"]),
        photos / str(image["file_name"]),
        str(sentence["sent"]),
        CocoShape(thing["segmentation"]),
        (int(image["height"]), int(image["width"])),
    )


def _field(path: Path, name: str) -> Any:
    content = read_json(path)
    if not isinstance(content, dict) or name not in content:
        raise InputError(f"{path} has no {name}; take the published file")
    return content[name]


def _title(name: str) -> str:
    shown = {"refcoco": "RefCOCO", "refcoco+": "RefCOCO+", "refcocog": "RefCOCOg"}[_SETS[name][0]]
    by = {"google": "Google", "umd": "UMD", "unc": "UNC"}[_SETS[name][1]]
    return f"{shown}, sentences about one thing, split by {by}"


DATASETS = tuple(
    DatasetInfo(
        name, _title(name), "phrases", ("refer/data", "data"), (f"{folder}/refs({divided_by}).p",),
        tuple(
            Split(s, None, (Part("sentences", (f"{folder}/refs({divided_by}).p",)),
                            Part("instances", (f"{folder}/instances.json",)),
                            Part("photos", _PHOTOS)))
            for s in splits
        ),
        partial(_open, name=name), "https://github.com/lichengunc/refer",
        "annotations: no licence given; photos: Flickr's terms", "0.1 GB and 13 GB",
        (
            f"wget https://bvisionweb1.cs.unc.edu/licheng/referit/data/{folder}.zip",
            f"unzip {folder}.zip",
            "wget http://images.cocodataset.org/zips/train2014.zip",
            "unzip train2014.zip -d images",
        ),
        notes="The authors' server is often down; their issue 14 tells of copies: "
              "https://github.com/lichengunc/refer/issues/14",
    )
    for name, (folder, divided_by, splits) in _SETS.items()
)  # fmt: skip
