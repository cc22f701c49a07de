"""PhraseCut (Wu et al., CVPR 2020): phrases about parts of Visual Genome photos, with polygons.

    VGPhraseCut_v0/refer_<split>.json
    VGPhraseCut_v0/image_data_split.json       sizes of the photos
    VGPhraseCut_v0/images/<number>.jpg

Two evaluators are in use, and their numbers cannot be compared: PhraseCut's own draws the polygons
at the photo's size and takes the mean of a phrase's IoU; CLIPSeg's squashes photo and mask to
352x352, adds 1 to every union, draws the polygons otherwise, and leaves out 17 photos whose
annotations have another size. `phrasecut` is read as the first reads it (masks of those 17 are
scaled), `phrasecut-clipseg` as the second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lexiseg.datasets.card import read_json
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.layout import require
from lexiseg.datasets.phrases import (
    InclusivePolygons,
    PhraseDataset,
    PhraseSample,
    PhraseShape,
    RescaledShape,
    TruncatedPolygons,
)
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

# Photos whose size in the annotations is not that of the file.
_MISFITS = frozenset({
    150417, 285665, 498246, 61564, 285743, 498269, 498010, 150516, 150344, 286093, 61530, 150333,
    286065, 285814, 498187, 285761, 498042,
})  # fmt: skip
_TITLES = {
    "phrasecut": "PhraseCut, phrases about parts of photos, as its own evaluator reads it",
    "phrasecut-clipseg": "PhraseCut as CLIPSeg reads it: without 17 photos, other outlines",
}
_COUNTS = {"test": 14354, "val": 20316, "train": 310816, "miniv": 821}


def _open(root: Path, split: str, *, name: str) -> PhraseDataset:
    listed = require(root, name, f"refer_{split}.json")
    photos = require(root, name, "images")
    sizes = _sizes(root / "image_data_split.json")
    drawn: Callable[[Any], PhraseShape] = (
        TruncatedPolygons if name == "phrasecut" else InclusivePolygons
    )
    by_photo: dict[int, list[PhraseSample]] = {}
    content = read_json(listed)
    try:
        for place, task in enumerate(content):
            number = int(task["image_id"])
            if name == "phrasecut-clipseg" and number in _MISFITS:
                continue
            polygons = tuple(
                tuple((float(x), float(y)) for x, y in polygon)
                for thing in task["Polygons"]
                for polygon in thing
            )
            size, shape = sizes.get(number), drawn(polygons)
            fits = number not in _MISFITS or size is None
            sample = PhraseSample(
                str(task.get("task_id", f"{number}__{place}")),
                str(number),
                photos / f"{number}.jpg",
                str(task["phrase"]),
                shape if size is None or fits else RescaledShape(shape, size),
                size if fits else None,
            )
            by_photo.setdefault(number, []).append(sample)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{listed} is not PhraseCut's list of phrases (at {error!r}); take the published file"
        ) from error
    samples = tuple(sample for own in by_photo.values() for sample in own)
    missing = sorted(p.name for p in {s.path for s in samples} if not p.is_file())
    if missing or not samples:
        first = f", {missing[0]} first" if missing else ""
        raise InputError(
            f"{name}/{split}: {len(missing)} photos of {len(by_photo)} are missing in {photos}"
            f"{first}; download them: lexiseg datasets how {name}"
        )
    return PhraseDataset(name, _TITLES[name], split, samples)


def _sizes(path: Path) -> dict[int, tuple[int, int]]:
    """The annotated sizes of photos, (H, W); none where the file is not there."""
    if not path.is_file():
        return {}
    content: Any = read_json(path)
    try:
        return {int(one["image_id"]): (int(one["height"]), int(one["width"])) for one in content}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds no sizes of photos (at {error!r}); take the published file"
        ) from error


DATASETS = tuple(
    DatasetInfo(
        name, title, "phrases",
        ("VGPhraseCut_v0", "data/VGPhraseCut_v0", "PhraseCutDataset/data/VGPhraseCut_v0"),
        tuple(f"refer_{split}.json" for split in _COUNTS),
        tuple(
            Split(s, n if name == "phrasecut" else None,
                  (Part("phrases", (f"refer_{s}.json",)), Part("photos", ("images",)),
                   Part("sizes of photos", ("image_data_split.json",))))
            for s, n in _COUNTS.items()
        ),
        partial(_open, name=name), "https://github.com/ChenyunWu/PhraseCutDataset",
        "Visual Genome: CC BY 4.0; annotations: no licence given",
        "0.1 GB of annotations; photos one by one from Visual Genome",
        (
            "git clone https://github.com/ChenyunWu/PhraseCutDataset",
            "cd PhraseCutDataset && pip install gdown requests && "
            "python download_dataset.py -s test",
        ),
        # Photos that do not fit their annotations cannot be trained on.
        primary=name == "phrasecut-clipseg",
    )
    for name, title in _TITLES.items()
)  # fmt: skip
