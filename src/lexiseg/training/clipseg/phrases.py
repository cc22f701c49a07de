"""Photos with phrases and the mask of each: what prompt decoders are trained on.

Read from the plain layout (``lexiseg.datasets``), and from PhraseCut, Pascal VOC and COCO-Stuff as
they are published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexiseg.datasets import PlainDataset
from lexiseg.datasets.labels import MaskFile
from lexiseg.errors import InputError
from lexiseg.training.clipseg.phrasecut import read_phrasecut

__all__ = ["PhraseSet", "Shot", "from_plain", "open_phrases"]

MaskOf = Callable[[str, tuple[int, int]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo and what it shows. mask: (phrase, size_hw) -> (H, W) bool, empty for another one."""

    id: str
    path: Path
    phrases: tuple[str, ...]
    mask: MaskOf
    ignored: Callable[[tuple[int, int]], NDArray[np.bool_]] | None = None


@dataclass(frozen=True, eq=False)
class PhraseSet:
    """Photos, and all phrases that there are."""

    name: str
    shots: tuple[Shot, ...]

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p for shot in self.shots for p in shot.phrases))

    @cached_property
    def by_phrase(self) -> dict[str, list[int]]:
        """Phrase -> the photos that show it."""
        out: dict[str, list[int]] = {}
        for i, shot in enumerate(self.shots):
            for phrase in shot.phrases:
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
    from lexiseg.datasets import find_sets

    root = Path(root)
    if (root / f"refer_{split}.json").is_file():
        shots = tuple(Shot(*parts) for parts in read_phrasecut(root, split))
        return [PhraseSet("phrasecut", shots)]
    if (root / "ImageSets" / "Segmentation").is_dir():
        return [_voc(root, split)]
    if (root / "stuffthingmaps").is_dir():
        return [_coco_stuff(root, split)]
    found = find_sets(root, split)
    return [from_plain(data, limit) for data in found if only is None or data.name in only]


def from_plain(data: PlainDataset, limit: int | None = None) -> PhraseSet:
    """The classes that each photo shows are its phrases, but for the background."""
    shots = []
    count = len(data) if limit is None else min(limit, len(data))
    for place in range(count):
        sample = data[place * len(data) // count]
        there = set(np.unique(sample.labels(_size_of(sample.path))).tolist())
        there -= {data.ignore_index, data.background_index}
        names = tuple(data.classes[i] for i in sorted(there))
        if names:
            shots.append(_labelled(sample.id, sample.path, names, sample, data))
    return PhraseSet(data.name, tuple(shots))


def _labelled(
    name: str, path: Path, phrases: tuple[str, ...], truth: MaskFile | object, data: PlainDataset
) -> Shot:
    places = {c: i for i, c in enumerate(data.classes)}
    last: list[tuple[tuple[int, int], NDArray[np.int32]]] = []

    def labels(size_hw: tuple[int, int]) -> NDArray[np.int32]:
        if not last or last[0][0] != size_hw:
            last[:] = [(size_hw, truth.labels(size_hw))]  # type: ignore[union-attr]
        return last[0][1]

    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == places.get(phrase, -1))

    def ignored(size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == data.ignore_index)

    return Shot(name, path, phrases, mask, ignored)


_VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train",
    "tv monitor",
)  # fmt: skip


def _voc(root: Path, split: str) -> PhraseSet:
    """``VOCdevkit/VOC2012``: lists of names, JPEGImages, palette masks with 255 for ignored."""
    listed = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    names = _lines(listed)
    data = PlainDataset("voc", "Pascal VOC", split, ("background", *_VOC), 0, 255, ())
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
    data = PlainDataset("coco-stuff", "COCO-Stuff", split, classes, None, 255, ())
    photos = sorted((root / "images" / f"{split}2017").glob("*.jpg"))
    masks = root / "stuffthingmaps" / f"{split}2017"
    return _from_masks(data, [(p.stem, p, masks / f"{p.stem}.png") for p in photos])


def _from_masks(data: PlainDataset, files: Sequence[tuple[str, Path, Path]]) -> PhraseSet:
    from PIL import Image

    shots = []
    for name, photo, mask in files:
        if not photo.is_file() or not mask.is_file():
            raise InputError(f"{photo} or {mask} is missing; the data set is not whole")
        truth = MaskFile(mask, data.classes, data.ignore_index)
        with Image.open(mask) as file:
            size_hw = (file.height, file.width)
        there = set(np.unique(truth.labels(size_hw)).tolist())
        there -= {data.ignore_index, data.background_index}
        if there:
            phrases = tuple(data.classes[i] for i in sorted(there))
            shots.append(_labelled(name, photo, phrases, truth, data))
    if not shots:
        raise InputError(f"{data.title} has no photo with a class in its {data.split!r} split")
    return PhraseSet(data.name, tuple(shots))


def _size_of(path: Path) -> tuple[int, int]:
    """The upright size of a photo, (H, W), from its header."""
    from PIL import Image

    with Image.open(path) as file:
        size = (file.height, file.width)
        return size[::-1] if file.getexif().get(0x0112, 1) >= 5 else size  # turned on its side


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a whole set") from error
