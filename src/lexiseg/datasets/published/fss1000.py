"""FSS-1000 (Li et al., CVPR 2020): a thousand classes with ten photos each, one object a photo.

    FSS-1000/<class>/{1..10}.jpg
    FSS-1000/<class>/{1..10}.png                  grey, 128 and more is the object
    FSS-1000/splits/fss/{trn,val,test}.txt        HSNet's lists of classes
    FSS-1000/fss_test_set.txt                     the authors' list of the 240 test classes

Episodes are HSNet's: every photo is the query once. Its mIoU sums areas a class; the mean over
episodes that the first paper reports is another number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lexiseg import imaging
from lexiseg.datasets.annotations import Labels
from lexiseg.datasets.catalogue import DatasetInfo, Part, Split
from lexiseg.datasets.episodes import Episode, hsnet_fss_episodes
from lexiseg.datasets.fewshot import FewShotDataset
from lexiseg.datasets.layout import read_list, require
from lexiseg.datasets.semantic import Sample
from lexiseg.errors import InputError

__all__ = ["DATASETS"]

_TITLE = "FSS-1000, classes with ten photos each, an episode a photo"
# The number of a split's first class: HSNet counts classes of training, then val, then test.
_FIRST = {"test": 760, "val": 520, "trn": 0}
_COUNTS = {"test": 2400, "val": 2400, "trn": 5200}


@dataclass(frozen=True)
class _GreyMask:
    """A mask whose pixels of 128 and more are the object, in any picture format."""

    path: Path
    index: int

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Read the mask, (H, W): `index` on the object, else 0. InputError for another size."""
        rgb = imaging.read(self.path).rgb
        if rgb.shape[:2] != size_hw:
            raise InputError(
                f"mask {self.path} is {rgb.shape[1]}x{rgb.shape[0]} and its photo "
                f"{size_hw[1]}x{size_hw[0]} (width x height); take the published file again"
            )
        # Pillow's grey, which HSNet reads: ITU-R 601, rounded.
        weights = np.array([19595, 38470, 7471], np.int64)
        grey = (rgb.astype(np.int64) @ weights + 0x8000) >> 16
        return np.where(grey >= 128, self.index, 0).astype(np.int32)


def _files(split: str) -> tuple[str, ...]:
    own = (f"splits/fss/{split}.txt", f"hsnet/data/splits/fss/{split}.txt")
    return ("fss_test_set.txt", *own) if split == "test" else own


def _open(root: Path, split: str) -> FewShotDataset:
    names = sorted(read_list(require(root, "fss1000", *_files(split))))
    photos: dict[str, Sample] = {}
    by_class: list[tuple[int, list[str]]] = []
    for place, name in enumerate(names):
        class_id = _FIRST[split] + place
        ids = [f"{name}/{number}" for number in range(1, 11)]
        by_class.append((class_id, ids))
        for one in ids:
            mask = _GreyMask(root / f"{one}.png", class_id + 1)
            photos[one] = Sample(one, root / f"{one}.jpg", mask)
            missing = next((p for p in (photos[one].path, mask.path) if not p.is_file()), None)
            if missing is not None:
                raise InputError(
                    f"fss1000/{split}: {missing} is missing; unpack FSS-1000 again, or take the "
                    "list of classes that belongs to it"
                )
    # Names of the other splits' classes are not known here; their places are held.
    classes = (*(f"class {i}" for i in range(_FIRST[split])), *(n.replace("_", " ") for n in names))
    class_ids = tuple(range(_FIRST[split], len(classes)))
    return FewShotDataset(
        "fss1000", _TITLE, split, "hsnet", classes, class_ids, photos, partial(_draw, by_class),
        ignore_index=-1,
    )  # fmt: skip


def _draw(
    by_class: list[tuple[int, list[str]]], *, shots: int, seed: int = 0, count: int | None = None
) -> tuple[Episode, ...]:
    return hsnet_fss_episodes(by_class, seed=seed, shots=shots)[:count]


DATASETS = (
    DatasetInfo(
        "fss1000", _TITLE, "few-shot", ("FSS-1000", "fewshot_data/fewshot_data", "fewshot_data"),
        tuple(file for split in _FIRST for file in _files(split)),
        tuple(
            Split(split, count, (Part("list of classes", _files(split)),))
            for split, count in _COUNTS.items()
        ),
        _open, "https://github.com/HKUSTCV/FSS-1000", "no licence given; for research", "0.7 GB",
        (
            "git clone https://github.com/HKUSTCV/FSS-1000 fss-repository",
            "mkdir -p FSS-1000 && cp fss-repository/fss_test_set.txt FSS-1000/",
            "git clone https://github.com/juhongm999/hsnet && cp -r hsnet/data/splits FSS-1000/",
        ),
        notes="The photos are on Google Drive: the README of the first repository has the link; "
              "unpack them so that FSS-1000/<class>/1.jpg is there.",
        primary=True,
    ),
)  # fmt: skip
