"""Photos with phrases and the mask of each: what prompt decoders are trained on.

Read from the plain layout (``lexiseg.datasets``), and from PhraseCut, Pascal VOC and COCO-Stuff as
they are published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lexiseg.datasets import SemanticDataset, find_sets
from lexiseg.datasets.annotations import MaskFile, Truth
from lexiseg.errors import InputError
from lexiseg.training.run_folder import label_source

__all__ = ["LabelledPhoto", "PhraseSet", "from_plain", "open_phrases"]

# Photos whose size in PhraseCut's annotations is not that of the file; CLIPSeg's authors leave
# them out.
_PHRASECUT_INVALID = frozenset({
    150417, 285665, 498246, 61564, 285743, 498269, 498010, 150516, 150344, 286093, 61530, 150333,
    286065, 285814, 498187, 285761, 498042,
})  # fmt: skip

MaskOf = Callable[[str, tuple[int, int]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo and what it shows.

    mask: (phrase, size_hw) -> (H, W) bool, empty for another phrase. source: the file of the
    masks, or a text that says the same. ignored: size_hw -> (H, W) bool, what does not count.
    """

    id: str
    path: Path
    phrases: tuple[str, ...]
    mask: MaskOf
    source: Path | str
    ignored: Callable[[tuple[int, int]], NDArray[np.bool_]] | None = None


@dataclass(frozen=True, eq=False)
class PhraseSet:
    """Photos, and all phrases that there are."""

    name: str
    photos: tuple[LabelledPhoto, ...]

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p for photo in self.photos for p in photo.phrases))

    @cached_property
    def by_phrase(self) -> dict[str, list[int]]:
        """Phrase -> the photos that show it."""
        out: dict[str, list[int]] = {}
        for i, photo in enumerate(self.photos):
            for phrase in photo.phrases:
                out.setdefault(phrase, []).append(i)
        return out


def open_phrases(
    root: str | Path,
    split: str = "train",
    *,
    only: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[PhraseSet]:
    """Open what a folder holds: PhraseCut, VOC, COCO-Stuff, a plain data set, or several of them.

    only: names of plain sets. limit: photos of each plain set, evenly over the list. Raises
    InputError where it holds none of these.
    """
    root = Path(root)
    if (root / f"refer_{split}.json").is_file():
        return [_phrasecut(root, split)]
    if (root / "ImageSets" / "Segmentation").is_dir():
        return [_voc(root, split)]
    if (root / "stuffthingmaps").is_dir():
        return [_coco_stuff(root, split)]
    sets = find_sets(root, split)
    return [from_plain(data, limit) for data in sets if only is None or data.name in only]


def from_plain(data: SemanticDataset, limit: int | None = None) -> PhraseSet:
    """Return a data set whose phrases are the classes that each photo shows, but the background."""
    count = len(data) if limit is None else min(limit, len(data))
    samples = [data[place * len(data) // count] for place in range(count)]
    photos = (_labelled(s.id, s.path, s.truth, _size_of(s.path), data) for s in samples)
    return PhraseSet(data.name, tuple(one for one in photos if one.phrases))


def _labelled(
    name: str, path: Path, truth: Truth, size_hw: tuple[int, int], data: SemanticDataset
) -> LabelledPhoto:
    """A photo with a class mask."""
    index = {c: i for i, c in enumerate(data.classes)}
    present = set(np.unique(truth.labels(size_hw)).tolist())
    present -= {data.ignore_index, data.background_index}
    last: list[tuple[tuple[int, int], NDArray[np.int32]]] = []

    def labels(size_hw: tuple[int, int]) -> NDArray[np.int32]:
        if not last or last[0][0] != size_hw:
            last[:] = [(size_hw, truth.labels(size_hw))]
        return last[0][1]

    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == index.get(phrase, -1))

    def ignored(size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == data.ignore_index)

    phrases = tuple(data.classes[i] for i in sorted(present))
    return LabelledPhoto(name, path, phrases, mask, label_source(truth), ignored)


def _phrasecut(root: Path, split: str) -> PhraseSet:
    """PhraseCut (Wu et al., CVPR 2020): phrases with polygons on Visual Genome photos.

    Photos lie in ``images/<image id>.jpg``. A phrase may have several polygons of several things:
    its mask is all of them.
    """
    path = root / f"refer_{split}.json"
    by_photo: dict[int, dict[str, list[Any]]] = {}
    try:
        for entry in json.loads(path.read_text("utf-8")):
            if int(entry["image_id"]) not in _PHRASECUT_INVALID:
                phrases = by_photo.setdefault(int(entry["image_id"]), {})
                phrases.setdefault(str(entry["phrase"]), []).extend(entry["Polygons"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not PhraseCut's list of phrases: {error!r}") from error
    photos = []
    for number, own in by_photo.items():
        place = root / "images" / f"{number}.jpg"
        masks = _polygon_masks(own)
        photos.append(LabelledPhoto(str(number), place, tuple(own), masks, json.dumps(own)))
    return PhraseSet("phrasecut", tuple(photos))


def _polygon_masks(phrases: dict[str, list[Any]]) -> MaskOf:
    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        out = np.zeros(size_hw, np.uint8)
        for thing in phrases.get(phrase, ()):
            for polygon in thing:
                corners = np.rint(np.array(polygon, np.float64)).astype(np.int32)
                cv2.fillPoly(out, [corners.reshape(-1, 1, 2)], 1)
        return out.astype(np.bool_)

    return mask


_VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train",
    "tv monitor",
)  # fmt: skip


def _voc(root: Path, split: str) -> PhraseSet:
    """``VOCdevkit/VOC2012``: lists of names, JPEGImages, palette masks with 255 for ignored."""
    listed = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    names = _lines(listed)
    data = SemanticDataset("voc", "Pascal VOC", split, ("background", *_VOC), 0, 255, ())
    return _from_masks(
        data,
        [
            (n, root / "JPEGImages" / f"{n}.jpg", root / "SegmentationClass" / f"{n}.png")
            for n in names
        ],
    )


def _coco_stuff(root: Path, split: str) -> PhraseSet:
    """``images/<split>2017``, ``stuffthingmaps/<split>2017``, ``labels.txt`` ("1: person")."""
    pairs = [line.partition(":")[::2] for line in _lines(root / "labels.txt")]
    numbers = {int(number): name.strip() for number, _, name in ((a, "", b) for a, b in pairs)}
    # Pixel values are one less than the published numbers; 255 is not labelled.
    classes = tuple(numbers.get(i + 1, f"class {i + 1}") for i in range(max(numbers)))
    data = SemanticDataset("coco-stuff", "COCO-Stuff", split, classes, None, 255, ())
    photos = sorted((root / "images" / f"{split}2017").glob("*.jpg"))
    masks = root / "stuffthingmaps" / f"{split}2017"
    return _from_masks(data, [(p.stem, p, masks / f"{p.stem}.png") for p in photos])


def _from_masks(data: SemanticDataset, files: Sequence[tuple[str, Path, Path]]) -> PhraseSet:
    photos = []
    for name, path, mask in files:
        if not path.is_file() or not mask.is_file():
            raise InputError(f"{path} or {mask} is missing; the data set is not whole")
        truth = MaskFile(mask, data.classes, data.ignore_index)
        photos.append(_labelled(name, path, truth, _size_of(mask), data))
    if not any(one.phrases for one in photos):
        raise InputError(f"{data.title} has no photo with a class in its {data.split!r} split")
    return PhraseSet(data.name, tuple(one for one in photos if one.phrases))


def _size_of(path: Path) -> tuple[int, int]:
    """The upright size of a photo, (H, W), from its header."""
    with Image.open(path) as file:
        size = (file.height, file.width)
        return size[::-1] if file.getexif().get(0x0112, 1) >= 5 else size  # turned on its side


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a whole set") from error
